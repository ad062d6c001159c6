"""Seal the contents of writes and events with the key of the person whom they are about, and open them again. Pure.

The associated data name the store, the entity and the source of a write, not its version: what takes a write back is
sent again with a newer one.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from connectors.keys.data_key import DataKey, NotSealedHere
from schemas.events import AnyEvent, BaseEvent, ErasureRequested, Event, SealedEvent, event_name
from schemas.sealed import CONTENT, ERASED_KEY, SealedContent
from schemas.sensitive import Sealed
from schemas.writes import BaseWrite, store_of

W = TypeVar("W", bound=BaseWrite)

Keys = Mapping[str, DataKey | None]  # by user; None: the key is destroyed

_decode_event = msgspec.msgpack.Decoder(Event).decode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class WriteSeal:
    """Seals the contents of writes, for one batch.

    Args:
        keys: of all whom its writes are about; None: contents stay as they are.
    """

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys

    def __call__(self, user_id: str, writes: Iterable[W]) -> list[W]:
        """Return writes with their contents sealed for a person.

        Deletes have no content. Of somebody whose key is destroyed nothing is kept.
        """
        if self._keys is None:
            return list(writes)
        return [sealed_write(write, user_id, self._keys) for write in writes]

    def event(self, event: AnyEvent) -> AnyEvent:
        """Return an event sealed."""
        return event if self._keys is None else whole_event(event, self._keys)


def sealed_write(write: W, user_id: str, keys: Keys) -> W:
    """Return a write with its content sealed for a person; a delete, and what is sealed already, as it is."""
    empty = _emptied(type(write))
    if not empty or write.op == "delete" or write.sealed is not None:
        return write
    key = keys[user_id]
    if key is None:
        sealed = SealedContent(user_id=user_id, key_id=ERASED_KEY, data=b"")
    else:
        # As JSON has it, times as texts: whoever opens it gets what they would have read.
        content = msgspec.to_builtins({name: getattr(write, name) for name in empty}, builtin_types=(bytes,))
        found = key.seal_bytes(_place(write), _encode(content), write.event_id)
        sealed = SealedContent(user_id=user_id, key_id=found.key_id, data=found.data)
    return structs.replace(write, **empty, sealed=sealed)


def opened_write(write: W, keys: Keys) -> W | None:
    """Return a write with its content; None when nobody can read that any more: its key is destroyed.

    Raises:
        NotSealedHere: the content was altered, or is of another entity or person.
    """
    sealed = write.sealed
    if sealed is None:
        return write
    key = keys.get(sealed.user_id)
    # The key of another id is the one with which the person started afresh.
    if key is None or key.key_id != sealed.key_id:
        return None
    content = _decode(key.unseal_bytes(_place(write), Sealed(sealed.key_id, sealed.data)))
    return structs.replace(write, **content, sealed=None)


def whole_event(event: AnyEvent, keys: Keys) -> AnyEvent:
    """Return an event with all its fields sealed but those that every event carries; one that is sealed as it is.

    That somebody asks to be erased is never sealed: it is to be understood when their key is gone. Of somebody whose
    key is destroyed nothing is kept.
    """
    if isinstance(event, SealedEvent | ErasureRequested):
        return event
    key, key_id, data = keys[event.user_id], ERASED_KEY, b""
    if key is not None:
        key_id, data = key.seal_bytes(_event_place(event), _encode(event), event.event_id)
    return SealedEvent(
        event_id=event.event_id,
        user_id=event.user_id,
        occurred_at=event.occurred_at,
        version=event.version,
        of_type=event_name(event),
        key_id=key_id,
        data=data,
    )


def opened_event(event: AnyEvent, keys: Keys) -> Event | None:
    """Return an event as it was sealed, with the version that it has got since; None when its key is destroyed.

    Raises:
        NotSealedHere: it was altered, or is another event or of another person than it says.
    """
    if not isinstance(event, SealedEvent):
        return event
    key = keys.get(event.user_id)
    if key is None or key.key_id != event.key_id:
        return None
    try:
        found = _decode_event(key.unseal_bytes(_event_place(event), Sealed(event.key_id, event.data)))
    except msgspec.MsgspecError as error:
        raise NotSealedHere(f"what was sealed of the event is none: {error}") from None
    return structs.replace(found, version=event.version) if event.version else found


def owners_of(writes: Sequence[BaseWrite]) -> list[str]:
    """Return the persons whose keys open writes."""
    return list(dict.fromkeys(one.sealed.user_id for one in writes if one.sealed is not None))


def _event_place(event: BaseEvent) -> str:
    return f"event\0{event.event_id}"


def _place(write: BaseWrite) -> str:
    return f"write\0{store_of(write)}\0{write.entity}\0{write.source}"


@cache
def _emptied(kind: type[BaseWrite]) -> Mapping[str, Any]:
    """Return the fields of a kind of writes that are content, with what stands there instead; none: it has no such."""
    names = CONTENT.get(str(kind.__struct_config__.tag), ())
    return {one.name: _nothing(one) for one in structs.fields(kind) if one.name in names}


def _nothing(field: structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
