"""What the stores must hold, computed from the records that went in."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.reading import StoredRecord
from schemas.events import Event, PlaceVisited, PreferenceStated, SearchPerformed, encode_event
from schemas.wire import unframe_without_registry
from streams.agents.intake import IntakeRules
from streams.enrichment.track import GpsRules
from streams.verify.model import Expected, expect

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def event_record(event: Event, offset: int, partition: int = 0) -> StoredRecord:
    value = encode_event(event)
    return raw_record(value, offset, partition, key=event.user_id.encode())


def raw_record(value: bytes, offset: int, partition: int = 0, key: bytes = b"u") -> StoredRecord:
    timestamp = int(NOW.timestamp() * 1000)
    return StoredRecord(
        topic="user-events", partition=partition, offset=offset, timestamp=timestamp, key=key, value=value
    )


def change_record(op: str, place_id: str, offset: int, lsn: int) -> StoredRecord:
    row = {"id": place_id, "name": "Roma", "cuisine": "Italian", "borough": "Queens", "lat": 40.7, "lon": -73.9}
    change = {
        "before": {"id": place_id} if op == "d" else None,
        "after": None if op == "d" else row,
        "source": {
            "version": "3.4",
            "connector": "postgresql",
            "name": "cdc.travel",
            "ts_ms": 1_777_636_800_000,
            "db": "travel",
            "schema": "public",
            "table": "restaurants",
            "lsn": lsn,
        },
        "op": op,
    }
    key = json.dumps({"id": place_id}).encode()
    return StoredRecord(
        topic="cdc.travel.public.restaurants",
        partition=0,
        offset=offset,
        timestamp=0,
        key=key,
        value=json.dumps(change).encode(),
    )


def expectation(events: Sequence[StoredRecord], changes: Sequence[StoredRecord] = ()) -> Expected:
    return expect(
        events,
        changes,
        rules=IntakeRules(),
        unframe=unframe_without_registry,
        gps=GpsRules(),
        nearest_metres=150,
    )


def visit(number: int, place_id: str = "r-1") -> PlaceVisited:
    return PlaceVisited(
        event_id=f"v{number}",
        user_id="u",
        occurred_at=NOW + timedelta(seconds=number),
        version=number + 1,
        place_id=place_id,
        rating=4,
    )


def preference(number: int) -> PreferenceStated:
    return PreferenceStated(
        event_id=f"p{number}",
        user_id="u",
        occurred_at=NOW + timedelta(seconds=number),
        version=number + 1,
        category="cuisine",
        value="thai",
        strength=0.5,
    )


def stores_of(expected: Expected) -> set[str]:
    return {store for store, _, _ in expected.newest}


def test_an_event_is_expected_in_every_store_that_routing_names() -> None:
    expected = expectation([event_record(visit(0), 0)], [change_record("c", "r-1", 0, 100)])
    assert {"graph", "warehouse", "search", "vector"} <= stores_of(expected)
    assert (expected.events, expected.changes, expected.duplicates, expected.letters) == (1, 1, 0, {})


def test_a_duplicate_is_counted_and_expected_once() -> None:
    once = expectation([event_record(visit(0), 0)])
    twice = expectation([event_record(visit(0), 0), event_record(visit(0), 1)])
    assert twice.newest.keys() == once.newest.keys()
    assert (twice.events, twice.duplicates) == (1, 1)


def test_what_cannot_be_read_is_expected_as_a_dead_letter_at_its_position() -> None:
    expected = expectation([raw_record(b"{", 5), event_record(visit(0), 6)], [])
    assert list(expected.letters) == [("user-events", 0, 5)]
    assert expected.events == 1


def test_a_later_statement_replaces_an_earlier_one() -> None:
    expected = expectation([event_record(preference(0), 0), event_record(preference(1), 1)])
    (newest,) = (write for key, write in expected.newest.items() if key[0] == "vector")
    assert newest.event_id == "p1"


@pytest.mark.parametrize(
    ("changes", "unplaced"),
    [
        ([], {"v0"}),
        ([("c", 1)], set[str]()),
        ([("c", 1), ("d", 2)], {"v0"}),
        ([("c", 1), ("d", 2), ("c", 3)], set[str]()),
    ],
)
def test_only_an_event_about_a_place_that_is_not_there_at_the_end_may_still_wait(
    changes: Sequence[tuple[str, int]], unplaced: set[str]
) -> None:
    search = SearchPerformed(event_id="s", user_id="u", occurred_at=NOW, query="noodles", results=3)
    records = [change_record(op, "r-1", offset, lsn) for offset, (op, lsn) in enumerate(changes)]
    assert expectation([event_record(visit(0), 0), event_record(search, 1)], records).unplaced == unplaced


def test_a_deleted_row_is_expected_to_be_gone_and_its_history_to_stay() -> None:
    expected = expectation([], [change_record("c", "r-1", 0, 1), change_record("d", "r-1", 1, 2)])
    operations = {store: {w.op for k, w in expected.newest.items() if k[0] == store} for store in stores_of(expected)}
    assert operations["search"] == operations["vector"] == {"delete"}
    assert operations["warehouse"] == {"upsert"}


@given(st.permutations([event_record(preference(n), n, n % 2) for n in range(4)] + [event_record(visit(9), 4)]))
def test_the_order_in_which_records_are_given_does_not_matter(records: list[Any]) -> None:
    straight = expectation(sorted(records, key=lambda one: (one.partition, one.offset)))
    shuffled = expectation(records)
    assert shuffled.newest == straight.newest
