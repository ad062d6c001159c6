"""Intake: bytes in, checked and deduplicated events out, and a reason for each record that is none."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import msgspec
from msgspec import Struct

from schemas.claims import CLAIM
from schemas.clock import derived_version, milliseconds
from schemas.events import AnyEvent, InvalidEvent, decode_any_event
from schemas.wire import MAGIC_GUID, VALUE_SCHEMA_ID, InvalidFrame, Unframe
from streams.routing.entities import LARGEST_EVENT_VERSION
from streams.runtime.records import Record

_SAID = frozenset((VALUE_SCHEMA_ID, CLAIM))  # headers without which a value cannot be read
# Times of records are compared as numbers: a producer may give any 64 bits, which no timedelta holds.
_MILLISECOND = timedelta(milliseconds=1)


class IntakeRules(Struct, frozen=True, kw_only=True):
    """What intake accepts."""

    dedupe_window: timedelta = timedelta(hours=24)
    max_value_bytes: int = 1_048_576
    max_future: timedelta = timedelta(hours=24)


class Seen(Protocol):
    """The event ids seen, with the time of the record (ms) and its position; a `TableView[int]` is one."""

    def get(self, key: str, /) -> int | None:
        """Return when an id was seen first."""
        ...

    def position(self, key: str, topic: str, /) -> int:
        """Return the offset in `topic` at which an id was seen first; -1 when that was not there."""
        ...

    def put(self, key: str, value: int, record: Record, /) -> None:
        """Remember an id."""
        ...


class Admitted(Struct, frozen=True, gc=False):
    """An event with the record it came in."""

    event: AnyEvent
    record: Record


class Refused(Struct, frozen=True, gc=False):
    """A record that is no event, and why."""

    record: Record
    stage: str
    error: ValueError


class Intake(Struct, frozen=True):
    """What became of a batch: every record is admitted, refused, or a duplicate."""

    admitted: list[Admitted]
    refused: list[Refused]
    duplicates: int


def intake(records: Sequence[Record], *, seen: Seen, rules: IntakeRules, unframe: Unframe) -> Intake:
    """Decode, check and deduplicate a batch, in its order.

    The second sighting of an id within the window is a duplicate and goes no further. The same record again, after a
    crash, is a replay: it is admitted, because what followed from it may be lost.

    Raises:
        RegistryError: a framed value cannot be read now; the batch has to be tried again.
    """
    admitted: list[Admitted] = []
    refused: list[Refused] = []
    duplicates = 0
    window_ms = rules.dedupe_window / _MILLISECOND
    for record in records:
        try:
            event = _read(record, rules, unframe)
        except InvalidFrame as error:
            refused.append(Refused(record, "unframe", error))
        except InvalidEvent as error:
            refused.append(Refused(record, "decode", error))
        else:
            if _is_duplicate(event, record, seen, window_ms):
                duplicates += 1
            else:
                admitted.append(Admitted(event, record))
    return Intake(admitted, refused, duplicates)


def any_framed(records: Sequence[Record]) -> bool:
    """Whether a value or a key may have a frame, or a header says so or carries a claim; `unframe` looks closer."""
    # In as few passes as there are things to look at: a call for each record costs as much as decoding it.
    return (
        any(record.value and record.value[0] <= MAGIC_GUID for record in records)
        or any(record.key and record.key[0] <= MAGIC_GUID for record in records)
        or any(header[0] in _SAID for record in records for header in record.headers)
    )


def _read(record: Record, rules: IntakeRules, unframe: Unframe) -> AnyEvent:
    value = record.value
    if value is None:
        raise InvalidEvent("the value is missing")
    if len(value) > rules.max_value_bytes:
        # Told before decoding: a few hundred of these at once must not cost their weight in memory.
        raise InvalidEvent(
            f"the value has {len(value):,} bytes, more than the {rules.max_value_bytes:,} of intake.max_value_bytes"
        )
    event = decode_any_event(unframe(value, record.headers))
    if record.key is None:
        raise InvalidEvent("the key is missing: expected the event's `user_id`")
    if record.key != event.user_id.encode():
        # The key decides on the partition, and the partition on where this traveller's state is.
        raise InvalidEvent(f"the key {record.key[:128]!r} is not the event's `user_id`")
    ahead_ms = milliseconds(event.occurred_at) - record.timestamp
    if record.timestamp > 0 and ahead_ms > rules.max_future / _MILLISECOND:
        raise InvalidEvent(
            f"Expected `occurred_at` at most {rules.max_future} ahead of the record's time "
            f"(intake.max_future_hours), got {event.occurred_at.isoformat()}"
        )
    if event.version > LARGEST_EVENT_VERSION:
        raise InvalidEvent(f"Expected `version` <= {LARGEST_EVENT_VERSION}, got {event.version}")
    if event.version == 0:
        return msgspec.structs.replace(event, version=derived_version(event.occurred_at, event.event_id))
    return event


def _is_duplicate(event: AnyEvent, record: Record, seen: Seen, window_ms: float) -> bool:
    first = seen.get(event.event_id)
    if first is not None:
        if seen.position(event.event_id, record.topic) == record.offset:
            return False
        if record.timestamp - first <= window_ms:
            return True
    seen.put(event.event_id, record.timestamp, record)
    return False
