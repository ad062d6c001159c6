"""Of every topic that an archive may hold: which records are a person's."""

import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from connectors.kafka.reading import StoredRecord
from connectors.keys.contents import sealed_write
from schemas.receipts import Receipt, encode_receipt
from schemas.sagas import SagaStart, encode_saga_record
from schemas.topics import Catalogue
from schemas.writes import GraphWrite, NodeRef, RelationalWrite, WarehouseWrite, encode_write
from streams.persons.records import Belonging

CATALOGUE = Catalogue(prefix="t.", other_sources=("cdc.crm",))
NOW = datetime(2026, 5, 1, tzinfo=UTC)
BELONGS = Belonging(CATALOGUE)
WRITE: dict[str, Any] = {"version": 1, "source": "events", "event_id": "e", "occurred_at": NOW}
ROW = RelationalWrite(**WRITE, entity="trips:t1", table="trips", key="t1", columns={"user_id": "ann", "title": "Rome"})
NODE = GraphWrite(**WRITE, entity="user:ann", node=NodeRef("User", "ann"), op="delete")


def record(topic: str, key: str | None, value: bytes | None = None) -> StoredRecord:
    return StoredRecord(
        topic=topic, partition=0, offset=0, timestamp=0, key=None if key is None else key.encode(), value=value
    )


def start(write: RelationalWrite) -> bytes:
    saga = SagaStart(
        id="s", definition="d", subject="trip:t1", version=1, event_id="e", writes={"plan": write}, urgent=False
    )
    return encode_saga_record(saga)


def receipt(undo: RelationalWrite) -> bytes:
    told = Receipt(
        store="relational",
        entity=undo.entity,
        version=2,
        source="events",
        event_id="e",
        result="captured",
        at=NOW,
        undo=undo,
    )
    return encode_receipt(told)


@pytest.mark.parametrize(
    "theirs",
    [
        record(CATALOGUE.user_events.name, "ann", b"not JSON"),
        record(CATALOGUE.dead_letters.name, "ann", b"{"),
        record(CATALOGUE.changes["public.users"].name, '{"id":"ann"}'),
        record(CATALOGUE.changes_of("public.users", "cdc.crm").name, '{"schema":{},"payload":{"id":"ann"}}'),
        record(CATALOGUE.writes("relational").name, "trips:t1", encode_write(ROW)),
        record(CATALOGUE.deferred("graph").name, "User:ann", encode_write(NODE)),
        record(CATALOGUE.compensations("relational").name, "trips:t1", encode_write(ROW)),
        record(CATALOGUE.saga_starts.name, "trip:t1", start(ROW)),
        record(CATALOGUE.saga_receipts.name, "trip:t1", receipt(ROW)),
        record(CATALOGUE.claims.name, "user:ann", b"{}"),
        record(CATALOGUE.conflicts.name, "user:ann", None),
        record(CATALOGUE.waiting_events.name, "r1", b'{"place_id":"r1","event":{"user_id":"ann"}}'),
        record("t.cdc.travel.public.orders", '{"id":7}', b'{"payload":{"before":null,"after":{"user_id":"ann"}}}'),
        record("t.orders.of.an.outbox", None, b'[{"items":[{"user_id":"ann"}]}]'),
        record("t.travelos-ingest-waiting-changelog", "r1/e", msgspec.msgpack.encode({"event": {"user_id": "ann"}})),
    ],
    ids=lambda one: one.topic,
)
def test_a_persons_records_are_told_in_every_topic(theirs: StoredRecord) -> None:
    assert BELONGS(theirs, "ann")
    assert not BELONGS(theirs, "an")
    assert not BELONGS(theirs, "bob")


@pytest.mark.parametrize(
    "others",
    [
        record(CATALOGUE.user_events.name, "dora", b'{"user_id":"dora","friend_id":"ann"}'),
        record(CATALOGUE.erasure_log.name, "ann", b'{"user_id":"ann"}'),
        record(CATALOGUE.erasures.name, "forget-ann", b'{"statement":{"user_id":"ann"}}'),
        record(CATALOGUE.reference_places.name, "ann", b'{"id":"ann"}'),
        record(CATALOGUE.changes["public.places"].name, '{"id":"ann"}', b'{"after":{"id":"ann"}}'),
        record(CATALOGUE.writes("relational").name, "trips:t1", b"no write that says user_id ann"),
        record("t.other", None, b'{"text":"ann", "user_id": null}'),
        record("t.other", None, None),
    ],
    ids=lambda one: one.topic,
)
def test_what_only_mentions_a_person_or_tells_of_their_erasure_is_not_theirs(others: StoredRecord) -> None:
    assert not BELONGS(others, "ann")


def test_a_sealed_write_tells_whose_it_is_without_its_key() -> None:
    history = WarehouseWrite(**WRITE, entity="event:e", dataset="events", day=date(2026, 5, 1), user_id="ann")
    sealed = sealed_write(history, "ann", {"ann": None})
    assert BELONGS(record(CATALOGUE.writes("warehouse").name, "event:e", encode_write(sealed)), "ann")


@pytest.mark.parametrize("user", ["ünal", 'a"b', "a/b", "a\\b"])
def test_an_id_is_found_however_it_is_written(user: str) -> None:
    for value in (json.dumps({"user_id": user}), json.dumps({"user_id": user}, ensure_ascii=False)):
        assert BELONGS(record("t.other", None, value.encode()), user)
    assert BELONGS(record("t.other", None, json.dumps({"user_id": user}).replace("/", "\\/").encode()), user)
