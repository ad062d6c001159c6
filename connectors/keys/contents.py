"""Seal the contents of writes with the key of the person whom they are about, and open them again. Pure.

The associated data name the store, the entity and the source of a write, not its version: what takes a write back is
sent again with a newer one.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from connectors.keys.sealing import Keys
from schemas.sealed import CONTENT, ERASED_KEY, SealedContent
from schemas.sensitive import Sealed
from schemas.writes import BaseWrite, store_of

W = TypeVar("W", bound=BaseWrite)

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


def owners_of(writes: Sequence[BaseWrite]) -> list[str]:
    """Return the persons whose keys open writes."""
    return list(dict.fromkeys(one.sealed.user_id for one in writes if one.sealed is not None))


def _place(write: BaseWrite) -> str:
    return f"write\0{store_of(write)}\0{write.entity}\0{write.source}"


@cache
def _emptied(kind: type[BaseWrite]) -> Mapping[str, Any]:
    """Return the fields of a kind of writes that are content, with what stands there instead; none: it has no such."""
    names = CONTENT.get(str(kind.__struct_config__.tag), ())
    return {one.name: _nothing(one) for one in structs.fields(kind) if one.name in names}


def _nothing(field: structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
