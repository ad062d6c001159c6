"""Versioned writes of one store, as many as are wanted: entities are written again and again, deleted, and repeated."""

import random
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    RelationalWrite,
    SearchWrite,
    StoreName,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
)

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
DIMENSION = 8  # of vectors
TIME_NS = 1_777_000_000_000_000_000
SOURCE = "user-events"
DELETED = 0.05  # of the writes are deletes
REPEATED = 0.03  # are sent a second time, later and out of order
_WORDS = "a quiet place with Korean food near the station, open after ten"


def writes(store: StoreName, entities: int, seed: int) -> Iterator[BaseWrite]:
    """Yield writes without end; versions grow by one each.

    Args:
        store: which one.
        entities: how many different ones, at most.
        seed: of all choices.
    """
    chance = random.Random(f"{store} {seed}")
    make = _MAKERS[store]
    sent: list[BaseWrite] = []
    version = 0
    while True:
        if sent and chance.random() < REPEATED:
            yield chance.choice(sent)
            continue
        version += 1
        number = chance.randrange(entities)
        common: dict[str, Any] = {"version": version, "source": SOURCE, "event_id": f"e{version}", "occurred_at": AT}
        write = make(common, number, version, chance.random() < DELETED)
        sent = [*sent[-99:], write]
        yield write


def _graph(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    if number % 2:
        user, place = number // 2 % 50, number
        return GraphWrite(
            **common,
            entity=f"likes:user-{user}:place-{place}",
            relation="LIKES",
            start=NodeRef("User", f"user-{user}"),
            end=NodeRef("Place", f"place-{place}"),
            op="delete" if deleted else "upsert",
            properties={} if deleted else {"strength": version % 100 / 100},
        )
    # A node that relations join is not deleted: that takes the relations along, whose own last word is another.
    node = NodeRef("Activity", f"activity-{number}")
    return GraphWrite(
        **common,
        entity=f"activity:activity-{number}",
        node=node,
        op="delete" if deleted else "upsert",
        properties={} if deleted else {"name": f"{_WORDS} {version}", "score": version},
    )


def _search(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    if deleted:
        return SearchWrite(**common, entity=f"place:{number}", op="delete")
    return SearchWrite(
        **common,
        entity=f"place:{number}",
        kind="restaurant",
        name=f"{version}",
        text=f"{_WORDS} {number}",
        lat=40.7 + number % 997 / 1e4,
        lon=-74.0,
        score=0.5,
    )


def _timeseries(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    time_ns = TIME_NS + number * 1_000_000
    return TimeSeriesWrite(
        **common,
        entity=f"gps:user-{number % 20}:{time_ns}",
        measurement="gps",
        tags={"user_id": f"user-{number % 20}"},
        time_ns=time_ns,
        op="delete" if deleted and not number % 10 else "upsert",  # a delete takes three requests
        fields={} if deleted and not number % 10 else {"lat": 40.7, "lon": -74.0, "speed": float(version)},
    )


def _objects(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    data = None if deleted else version.to_bytes(8, "big") * 256
    return ObjectWrite(
        **common,
        entity=f"photo:p{number}",
        key=f"photos/p{number}.jpeg",
        content_type="image/jpeg",
        data=data,
        op="delete" if deleted else "upsert",
    )


def _cache(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    key = f"position:user-{number}"
    value = None if deleted else {"lat": 40.7 + number % 997 / 1e4, "lon": -74.0, "n": version}
    return CacheWrite(**common, entity=key, key=key, value=value, op="delete" if deleted else "upsert")


def _relational(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    columns: dict[str, Any] = {"user_id": f"user-{number % 20}", "text": f"{_WORDS} {version}"}
    columns |= {"conversation_id": f"c{number % 100}", "role": "user", "sent_at": AT.isoformat()}
    return RelationalWrite(
        **common,
        entity=f"message:m{number}",
        table="messages",
        key=f"m{number}",
        op="delete" if deleted else "upsert",
        columns={} if deleted else columns,
    )


def _vector(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    """Return a vector that changes every third time; else only what is said of it does."""
    direction = (number + version // 3) % DIMENSION
    values = struct.pack(f"<{DIMENSION}f", *(float(place == direction) for place in range(DIMENSION)))
    content: dict[str, Any] = {"values": values, "model": "test", "text": f"{_WORDS} {version}"}
    content["metadata"] = {"user_id": f"user-{number % 20}", "n": version}
    return VectorWrite(
        **common,
        entity=f"message:m{number}",
        namespace="conversations",
        op="delete" if deleted else "upsert",
        **({} if deleted else content),
    )


def _warehouse(common: Mapping[str, Any], number: int, version: int, deleted: bool) -> BaseWrite:
    return WarehouseWrite(
        **common,
        entity=f"event:e{number}",
        dataset="events",
        day=AT.date() + timedelta(days=number % 3),
        type="message_sent",
        op="delete" if deleted else "upsert",
        body={} if deleted else {"text": f"{_WORDS} {version}", "n": version},
    )


_MAKERS: Mapping[StoreName, Callable[[Mapping[str, Any], int, int, bool], BaseWrite]] = {
    "graph": _graph,
    "search": _search,
    "timeseries": _timeseries,
    "objects": _objects,
    "cache": _cache,
    "relational": _relational,
    "vector": _vector,
    "warehouse": _warehouse,
}
