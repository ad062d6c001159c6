"""Seal the sensitive fields of events and rows: which users' keys are needed, and what comes of each value."""

from collections.abc import Collection
from typing import Any, Protocol

import msgspec

from connectors.keys.contents import Keys, whole_event
from connectors.keys.data_key import DataKey
from connectors.keys.user_keys import UserKeys
from schemas.events import EVENT_TYPES, AnyEvent, Event, encode_event
from schemas.sensitive import (
    ERASED,
    SensitiveField,
    normalised,
    read_sealed,
    sealed_text,
    sensitive_fields,
)

# Asked for every event, so only those that have such fields are in it.
_FIELDS: dict[type[Any], tuple[SensitiveField, ...]] = {
    kind: fields for kind in EVENT_TYPES if (fields := sensitive_fields(kind))
}


class Indexing(Protocol):
    """What makes blind indexes; `MasterKeys` is one."""

    def index(self, field: str, value: str, /) -> str:
        """Return the blind index of a field's value."""
        ...


def to_seal(events: Collection[Event]) -> list[str]:
    """Return the users for whose events keys are needed: to seal a value, or to see if a blind index may stay."""
    if _FIELDS.keys().isdisjoint(map(type, events)):  # of all events at once: one by one, it would be felt
        return []
    found = (event for event in events if type(event) in _FIELDS)
    return list(
        dict.fromkeys(event.user_id for event in found if any(_needs_key(event, one) for one in _FIELDS[type(event)]))
    )


def sealed_event(event: Event, keys: Keys, indexing: Indexing) -> Event:
    """Return an event with its sensitive fields sealed, and their blind indexes beside them.

    What was sealed by the producer stays as it is, and its blind index as long as the value can be read. For a user
    whose key is destroyed nothing is kept of a value: the field says that it was erased. `keys` has whom `to_seal`
    named.
    """
    changed: dict[str, Any] = {}
    for field in _FIELDS.get(type(event), ()):
        value = _plain(event, field)
        if value is None:
            if field.index_field is not None and _has_index(event, field) and not _readable(event, field, keys):
                changed[field.index_field] = None
            continue
        key = keys[event.user_id]
        changed[field.name] = sealed_value(key, field.name, value, event.event_id)
        if field.index_field is not None:
            changed[field.index_field] = (
                None if key is None else indexing.index(field.name, normalised(field.name, value))
            )
    return msgspec.structs.replace(event, **changed) if changed else event


class EventSealing:
    """Seals events one by one, before they are published: `producer.publish(sealing(event))`.

    The topics of events then have no sensitive value either. Intake leaves what is sealed as it is.

    Args:
        keys: the same as ingest has.
        everything: whether events are sealed as a whole, with all their fields but those that every event carries.
    """

    def __init__(self, keys: UserKeys, *, everything: bool = False) -> None:
        self._keys, self._everything = keys, everything

    def __call__(self, event: Event) -> AnyEvent:
        """Return an event with its sensitive fields sealed, or all. It may wait for the key store; not for asyncio.

        Raises:
            InvalidEvent: the event breaks its schema, which nobody could see any more once it is sealed.
            Unavailable: the keys cannot be had now.
            Fatal: they cannot be had until somebody changes something; names the option.
        """
        if self._everything:
            encode_event(event)
            return whole_event(event, self._keys.get_or_create([event.user_id]))
        if not to_seal((event,)):
            return event
        encode_event(event)
        keys = self._keys.get_or_create([event.user_id])
        return sealed_event(event, keys, self._keys.masters)


def sealed_value(key: DataKey | None, field: str, value: str, event_id: str) -> str:
    """Return what stands in a field instead of its value."""
    return sealed_text(ERASED if key is None else key.seal(field, value, event_id))


def _needs_key(event: Event, field: SensitiveField) -> bool:
    return _plain(event, field) is not None or _has_index(event, field)


def _has_index(event: Event, field: SensitiveField) -> bool:
    return field.index_field is not None and getattr(event, field.index_field) is not None


def _readable(event: Event, field: SensitiveField, keys: Keys) -> bool:
    """Whether a field holds what its user's key of now opens; another id is of a key that was destroyed."""
    sealed, key = read_sealed(getattr(event, field.name) or ""), keys[event.user_id]
    return sealed is not None and key is not None and key.key_id == sealed.key_id


def _plain(event: Event, field: SensitiveField) -> str | None:
    value: str | None = getattr(event, field.name)
    return None if value is None or read_sealed(value) is not None else value
