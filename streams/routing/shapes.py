"""The shapes that the rules of routing fill in: a vector, a relation, a row, a key of live state."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schemas.events import GpsUpdate
from schemas.writes import CacheWrite, GraphWrite, NodeRef, RelationalTable, RelationalWrite, Scalar, VectorWrite
from streams.enrichment.joins import Enriched
from streams.routing.entities import Cause, entity
from streams.routing.meaning import Embedded, Namespace, text_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.json.Encoder().encode
_position = struct.Struct("<dd").pack


def vector(
    embedded: Embedded, cause: Cause, namespace: Namespace, name: str, about: Mapping[str, Scalar]
) -> Iterator[VectorWrite]:
    """Yield the vector of an event with what it is about; nothing when the event has none."""
    if embedded.vector is None:
        return
    event = embedded.enriched.event
    known = {"user_id": event.user_id, "at": iso(event.occurred_at), **about}
    yield VectorWrite(
        version=cause["version"],
        source=cause["source"],
        event_id=cause["event_id"],
        occurred_at=cause["occurred_at"],
        entity=name,
        namespace=namespace,
        values=embedded.vector.values,
        model=embedded.vector.model,
        text=text_of(event) or "",
        metadata={field: value for field, value in known.items() if value is not None},
    )


def relation(
    cause: Cause,
    name: str,
    kind: str,
    start: tuple[str, str],
    end: tuple[str, str],
    about: Mapping[str, Scalar] | None,
) -> GraphWrite:
    """Return a relation between two nodes, given as (label, id); None for `about` removes it."""
    return GraphWrite(
        version=cause["version"],
        source=cause["source"],
        event_id=cause["event_id"],
        occurred_at=cause["occurred_at"],
        entity=name,
        op="delete" if about is None else "upsert",
        relation=kind,
        start=NodeRef(*start),
        end=NodeRef(*end),
        properties={field: value for field, value in (about or {}).items() if value is not None},
    )


def term(category: str, value: str) -> tuple[str, str]:
    """Return the node of what somebody likes, as (label, id).

    A place is the node of that place. Words are nodes whatever their spelling: the tables say "Italian" in New York and
    "italian" in Cambridge, and both are one cuisine.
    """
    return (category.capitalize(), value if category == "place" else value.strip().casefold())


def row(cause: Cause, table: RelationalTable, key: str, columns: Mapping[str, Scalar | list[str]]) -> RelationalWrite:
    """Return columns of a row."""
    return RelationalWrite(
        version=cause["version"],
        source=cause["source"],
        event_id=cause["event_id"],
        occurred_at=cause["occurred_at"],
        entity=entity(table, key),
        table=table,
        key=key,
        columns=dict(columns),
    )


def live(cause: Cause, name: str, value: Any, ttl_seconds: int) -> CacheWrite:
    """Return live state under a name; a value of None forgets it."""
    if value is None:
        return CacheWrite(**cause, entity=name, key=name, op="delete")
    return CacheWrite(
        version=cause["version"],
        source=cause["source"],
        event_id=cause["event_id"],
        occurred_at=cause["occurred_at"],
        entity=name,
        key=name,
        value=value,
        ttl_seconds=ttl_seconds,
    )


def place_facts(place_id: str | None, enriched: Enriched) -> dict[str, Scalar]:
    """Return what is known of the place an event names."""
    place = enriched.place
    if place is None:
        return {"place_id": place_id}
    return {"place_id": place.id, "place": place.name, "city": place.city, "cuisine": place.cuisine}


def point_time(fix: GpsUpdate) -> int:
    """Return a fix's time as ns since 1970: exact to the microsecond, and below that a number made of its position.

    Two fixes at the same instant in different positions are two points; the same fix sent twice is one.
    """
    micros = (fix.occurred_at - _EPOCH) // _MICROSECOND
    return micros * 1_000 + zlib.crc32(_position(fix.lat, fix.lon)) % 1_000


def iso(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC."""
    return _encode(moment.astimezone(UTC))[1:-1].decode()  # a quarter of the time of `isoformat`
