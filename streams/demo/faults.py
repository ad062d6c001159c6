"""Records that are bad on purpose, each with what has to become of it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct

from schemas.events import Event, MessageSent, encode_event, event_name
from schemas.headers import Headers, cloudevents_headers

TopicRole = Literal["user", "gps", "urgent"]
Fate = Literal["dead_letter", "duplicate", "arrives"]

FAULT_HEADER = "demo-fault"  # on every record of this module, with its name; dead letters keep it
SOURCE = "demo"
UNKNOWN_SCHEMA_ID = 424_242
DUPLICATES = 3
LATE_BY = timedelta(hours=26)  # longer than event ids are remembered by default


class Fault(Struct, frozen=True, kw_only=True):
    """One record as it goes on the wire.

    Attributes:
        name: what is wrong with it.
        topic: which of the topics of events.
        key: as sent.
        value: as sent.
        headers: as sent; FAULT_HEADER among them.
        fate: "dead_letter", "duplicate" (vanishes, its first sighting stays) or "arrives" (nothing is wrong but its
            time).
        reason: words of the dead letter's message; empty for the other fates.
        event_id: the event's id where the record is one.
        after: sent once so many of the world's events were; a duplicate's original is among them.
    """

    name: str
    topic: TopicRole
    key: bytes | None
    value: bytes
    headers: Headers
    fate: Fate
    after: int
    reason: str = ""
    event_id: str | None = None


class _Bad(Struct, frozen=True):
    """A way to spoil an event of the demo: from its fields to the value on the wire."""

    name: str
    reason: str
    spoil: Callable[[dict[str, Any]], bytes]
    topic: TopicRole = "gps"
    keyed: bool = True


def faults(rng: Random, events: Sequence[Event], user_id: str, now: datetime, new_id: Callable[[], str]) -> list[Fault]:
    """Return one record of each kind of badness, some duplicates and a late event, in the order they are sent.

    Args:
        rng: the dice.
        events: the world's events by time; the late one repeats a message of theirs under another id.
        user_id: whose records the bad ones pretend to be.
        now: the world's present.
        new_id: gives out event ids.
    """
    base = {
        "type": "gps_update",
        "event_id": "",
        "user_id": user_id,
        "occurred_at": now.isoformat(),
        "lat": 40.7484,
        "lon": -73.9857,
    }
    made: list[Fault] = []
    for number, bad in enumerate(_BAD, 1):
        event_id = new_id()
        headers = cloudevents_headers(event_id=event_id, event_type="gps_update", source=SOURCE, occurred_at=now)
        made.append(
            Fault(
                name=bad.name,
                topic=bad.topic,
                key=user_id.encode() if bad.keyed else None,
                value=bad.spoil({**base, "event_id": event_id}),
                headers=(*headers, (FAULT_HEADER, bad.name.encode())),
                fate="dead_letter",
                after=len(events) * number // (len(_BAD) + 1),
                reason=bad.reason,
                event_id=event_id,
            )
        )
    for number in sorted(rng.sample(range(len(events) // 2), min(DUPLICATES, len(events) // 2))):
        made.append(_sent_again(events[number], number + len(events) // 4 + 1))
    message = next(event for event in events if isinstance(event, MessageSent))
    late = msgspec.structs.replace(message, event_id=new_id(), occurred_at=now - LATE_BY)
    made.append(_as_it_is("late event", late, "arrives", len(events) // 2))
    return sorted(made, key=lambda fault: fault.after)


def _sent_again(event: Event, after: int) -> Fault:
    return _as_it_is("duplicate", event, "duplicate", after)


def _as_it_is(name: str, event: Event, fate: Fate, after: int) -> Fault:
    headers = cloudevents_headers(
        event_id=event.event_id, event_type=event_name(event), source=SOURCE, occurred_at=event.occurred_at
    )
    return Fault(
        name=name,
        topic="urgent" if event_name(event) == "urgent_request" else "user",
        key=event.user_id.encode(),
        value=encode_event(event),
        headers=(*headers, (FAULT_HEADER, name.encode())),
        fate=fate,
        after=after,
        event_id=event.event_id,
    )


def _with(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: msgspec.json.encode({**fields, **changes})


def _without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: msgspec.json.encode({key: value for key, value in fields.items() if key != name})


def _replacing(old: bytes, new: bytes) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: msgspec.json.encode(fields).replace(old, new)


def _oversized(fields: dict[str, Any]) -> bytes:
    """Return a valid event with a field that readers ignore, of 1.25 MiB."""
    return msgspec.json.encode({**fields, "padding": "x" * (5 * 1024 * 1024 // 4)})


def _framed(fields: dict[str, Any]) -> bytes:
    return b"\x00" + UNKNOWN_SCHEMA_ID.to_bytes(4) + msgspec.json.encode(fields)


_BAD: tuple[_Bad, ...] = (
    _Bad("broken JSON", "truncated", lambda fields: msgspec.json.encode(fields)[:60]),
    _Bad("no JSON", "malformed", lambda _: b"lat=40.7484;lon=-73.9857"),
    _Bad("JSON of another shape", "Expected `object`", lambda fields: msgspec.json.encode([fields])),
    _Bad("unknown type", "teleported", _with(type="teleported"), "user"),
    _Bad("latitude of 95", "$.lat", _with(lat=95.0)),
    _Bad("NaN", "malformed", _replacing(b"40.7484", b"NaN")),
    _Bad("year 1", "occurred_at", _with(occurred_at="0001-01-01T00:00:00Z")),
    _Bad("year 9999", "occurred_at", _with(occurred_at="9999-12-31T23:59:59Z")),
    _Bad("number as text", "$.lon", _with(lon="-73.9857")),
    _Bad("rating of 11", "$.rating", _with(type="place_visited", place_id="nyc-1", rating=11), "user"),
    _Bad("missing field", "`lon`", _without("lon")),
    _Bad("invalid UTF-8", "utf-8", _replacing(b'"gps_update"', b'"\xff\xfegps"')),
    _Bad("empty value", "truncated", lambda _: b""),
    _Bad("urgent without text", "`text`", _with(type="urgent_request", category="lost"), "urgent"),
    _Bad("value over 1 MiB", "bytes", _oversized),
    _Bad("unknown schema id", f"schema id {UNKNOWN_SCHEMA_ID}", _framed),
    _Bad("no key", "key", msgspec.json.encode, keyed=False),
)
FAULTS = len(_BAD) + DUPLICATES + 1  # what `faults` returns
