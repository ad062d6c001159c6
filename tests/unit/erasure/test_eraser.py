"""An erasure on a cluster of this process and embedded stores: whatever it is killed at, it comes to the same."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from connectors.kafka.connection import Connection
from connectors.kafka.reading import read_topics
from connectors.producers import EventProducer
from connectors.sinks.contract import Held, Sink
from connectors.sinks.embedded import embedded_sink
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from deploy.local.kafka import MemoryKafka
from schemas.claims import Claim, encode_claim
from schemas.erasures import (
    Certificate,
    Erasure,
    ErasureEnd,
    ErasureStart,
    decode_erasure_record,
    encode_erasure_record,
)
from schemas.headers import cloudevents_headers, dead_letter_headers
from schemas.topics import Catalogue
from schemas.writes import STORES, CacheWrite, StoreName, Write, decode_write, encode_write, key_of, store_of
from streams.erasure.certificate import check
from streams.erasure.eraser import Eraser, Parts
from streams.erasure.machine import STEPS, Answered, Failed, after, begin
from streams.erasure.stores import Stores
from streams.erasure.worker import ErasureWorker
from streams.persons.holdings import Holdings
from streams.routing.changes import route_change
from streams.routing.examples import events, inserts
from streams.routing.table import route

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
START = ErasureStart(id="forget", user_id="ann", version=10, requested_at=NOON)
OF_CARL = ("message_sent", "preference_stated", "place_reviewed", "search_performed", "urgent_request")
LARGE = Claim(bucket="local", key="aa/aa", size=1, sha256="aa", content_type="text/plain")


class NoRows:
    """Stands for the relational store, which needs a server: it takes all deletes and holds nothing."""

    def open(self) -> None: ...

    def close(self) -> None: ...

    def write(self, batch: Sequence[Any]) -> None: ...

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        return {one: Held(version=1, deleted=True, copies=0) for one in entities}


class Keys:
    """Stands for users' keys."""

    def __init__(self) -> None:
        self.destroyed: list[str] = []
        self.afresh: list[str] = []
        self.closed = 0

    def destroy(self, users: list[str]) -> None:
        self.destroyed += users

    def start_afresh(self, users: list[str]) -> None:
        self.afresh += users

    def close(self) -> None:
        self.closed += 1


class Plane:
    """Topics and stores, with what follows from every event of ann, and from some of carl."""

    def __init__(self, bootstrap: str, folder: Path, *, new: bool = True) -> None:
        self.catalogue = Catalogue(partitions=MemoryKafka.partitions)
        self.connection = Connection(bootstrap=bootstrap)
        self.folder = folder
        self.large = FolderStorage(folder / "large")
        self.keys = Keys()
        self.away: set[StoreName] = set()
        self.unfit: set[str] = set()  # names that no store takes
        self.large.open()
        if new:
            self._begin()

    def _begin(self) -> None:
        self.large.put(LARGE.key, b"x", "text/plain")
        value, header = encode_claim(LARGE)
        with self.producer() as producer:
            for write in [*self.of("ann", list(events())), *self.of("carl", OF_CARL)]:
                topic = self.catalogue.writes(store_of(write)).name
                producer.publish_raw(topic, key_of(write).encode(), encode_write(write))
            producer.publish_raw(self.catalogue.user_events.name, b"ann", value, (header,))
            producer.publish_raw(self.catalogue.reference_users.name, b"ann", b"{}")
            producer.publish_raw(self.catalogue.changes["public.users"].name, b'{"id": "ann"}', b"{}")

    def of(self, user: str, names: Sequence[str]) -> list[Write]:
        found: list[Write] = []
        for one in (events()[name] for name in names):
            event = structs.replace(one.enriched.event, user_id=user, event_id=f"{user}-{one.enriched.event.event_id}")
            found += route(structs.replace(one, enriched=structs.replace(one.enriched, event=event)))
        return [*found, *route_change(structs.replace(inserts()["public.users"], row_id=user), None)]

    def refuse(self, write: Write, error: str = "WriteRejected", offset: int = 99) -> None:
        """Make a dead letter of a write, as deliveries do."""
        topic, store = self.catalogue.writes(store_of(write)).name, store_of(write)
        headers = dead_letter_headers(
            (),
            topic=topic,
            partition=0,
            offset=offset,
            component=f"deliver.{store}",
            stage="write",
            error=error,
            message="no",
            store=store,
        )
        with self.producer() as producer:
            name = self.catalogue.dead_letters.name
            producer.publish_raw(name, key_of(write).encode(), encode_write(write), headers)

    def producer(self) -> EventProducer:
        return EventProducer(self.connection, self.catalogue, source="/tests")

    def sink(self, store: StoreName) -> Sink[Any]:
        if store in self.away:
            raise Unavailable(f"{store} is away")
        made: Any = NoRows() if store == "relational" else embedded_sink(store, self.folder / "stores", "")
        return made

    def deliver(self) -> None:
        """Have all writes applied that lie in Kafka."""
        for store in STORES:
            sink = self.sink(store)
            sink.open()
            writes = self.written(store)
            sink.write([one for one in writes if one.entity not in self.unfit])
            sink.close()
            for one in writes:
                if one.entity in self.unfit:
                    self.refuse(one, offset=100)

    def written(self, store: StoreName) -> list[Write]:
        records = read_topics(self.connection, [self.catalogue.writes(store).name])
        return [decode_write(one.value or b"") for one in records]

    def eraser(self, policy: Any = "refuse") -> Eraser:
        """Return a new one, as after a crash."""
        keys: Any = self.keys
        parts = Parts(
            connection=self.connection,
            catalogue=self.catalogue,
            stores=Stores(self.sink),
            large_values=self.large,
            keys=keys,
            policy=policy,
            rewrite=True,
            signing_key=Ed25519PrivateKey.from_private_bytes(b"k" * 32),
            certificates=self.folder / "certificates",
            archived=False,
        )
        return Eraser(parts)

    def held(self, user: str) -> list[str]:
        holdings = Holdings(user)
        Stores(self.sink).search(holdings)
        return [one.write.entity for one in holdings.all()]

    def last(self, topic: str) -> bytes | None:
        return read_topics(self.connection, [topic])[-1].value


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield Plane(kafka.bootstrap, tmp_path)
    finally:
        kafka.stop()


def _through(plane: Plane, killed_at: str = "", policy: str = "refuse") -> Erasure:
    """Go through an erasure; at one step whoever does it is killed when it is done, before that is recorded."""
    eraser, erasure = plane.eraser(policy), begin(START, NOON)
    while erasure.step != "over":
        if erasure.step == "ask":
            plane.deliver()
        came = eraser.step(erasure)
        assert not isinstance(came, Failed), came
        if erasure.step == killed_at:
            killed_at, eraser = "", plane.eraser(policy)
            continue
        erasure = decode_erasure_record(encode_erasure_record(after(erasure, came, NOON)), Erasure)
    return erasure


@pytest.mark.parametrize("killed_at", ["", *STEPS[:-1]])
def test_whatever_step_it_is_killed_at_it_ends_with_nothing_held_and_the_same_certificate(
    plane: Plane, killed_at: str
) -> None:
    plane.deliver()
    before = plane.held("carl")
    erasure = _through(plane, killed_at)
    assert plane.held("ann") == []
    assert plane.held("carl") == before
    certificate = decode_erasure_record(plane.last(plane.catalogue.erasures.name), Certificate)
    check(certificate)
    statement = certificate.statement
    assert {one.found for one in statement.stores.values()} == {0}
    deleted = {store: one.deleted for store, one in statement.stores.items()}
    assert deleted == {
        "graph": 10,
        "vector": 5,
        "search": 0,
        "timeseries": 1,
        "objects": 1,
        "relational": 6,
        "cache": 3,
        "warehouse": len(events()) + 3,
    }
    assert statement.tombstones == {
        plane.catalogue.reference_users.name: 1,
        plane.catalogue.changes["public.users"].name: 1,
    }
    assert (statement.large_values, statement.key) == (1, "destroyed")
    assert not plane.large.exists(LARGE.key)
    assert set(plane.keys.destroyed) == {"ann"}
    end = decode_erasure_record(plane.last(plane.catalogue.erasure_ends.name), ErasureEnd)
    assert (end.id, end.highest) == ("forget", erasure.highest)


def test_while_deletes_are_not_delivered_no_store_answers_nothing(plane: Plane) -> None:
    plane.deliver()
    eraser, erasure = plane.eraser(), begin(START, NOON)
    erasure = after(erasure, eraser.step(erasure), NOON)
    came = eraser.step(erasure)
    assert isinstance(came, Answered)
    assert {store for store, one in came.answers.items() if one.held} == {*STORES} - {"search", "relational"}


def live(entity: str) -> CacheWrite:
    return CacheWrite(entity=entity, key=entity, version=7, source="events", event_id="e", occurred_at=NOON, value="x")


def test_what_was_refused_and_is_sent_again_after_the_erasure_does_not_come_back(plane: Plane) -> None:
    refused = live("note:ann")
    plane.refuse(refused)
    _through(plane)
    sink = plane.sink("cache")
    sink.open()
    sink.write([refused])
    sink.close()
    assert plane.held("ann") == []


def test_what_a_store_refuses_to_delete_and_does_not_hold_is_gone_and_the_certificate_says_so(plane: Plane) -> None:
    plane.refuse(live("..:ann"))
    plane.unfit = {"..:ann"}
    _through(plane)
    statement = decode_erasure_record(plane.last(plane.catalogue.erasures.name), Certificate).statement
    assert {store: one.refused for store, one in statement.stores.items() if one.refused} == {"cache": 1}


@pytest.mark.parametrize("error", ["WriteRejected", "RetriesExhausted"])
def test_only_a_refusal_of_this_erasures_delete_counts(plane: Plane, error: str) -> None:
    plane.refuse(live("..:ann"))
    eraser, erasure = plane.eraser(), begin(START, NOON)
    erasure = after(erasure, eraser.step(erasure), NOON)
    (delete,) = [one for one in plane.written("cache") if one.entity == "..:ann"]
    plane.refuse(structs.replace(delete, event_id="another erasure"), offset=100)
    plane.refuse(delete, error, offset=101)
    came = eraser.step(erasure)
    assert isinstance(came, Answered)
    assert came.answers["cache"].refused == (error == "WriteRejected")
    assert came.answers["cache"].held == came.answers["cache"].asked - came.answers["cache"].refused


def test_a_store_that_is_away_fails_the_step_with_its_reason(plane: Plane) -> None:
    plane.away = {"graph"}
    assert plane.eraser().step(begin(START, NOON)) == Failed("graph is away")


def test_a_worker_that_is_told_to_stop_closes_the_keys(plane: Plane) -> None:
    stop = threading.Event()
    stop.set()
    ErasureWorker(plane.connection, plane.catalogue, "erasures", plane.eraser("refuse")).run(stop)
    assert plane.keys.closed == 1


def test_who_starts_afresh_may_have_a_new_key(plane: Plane) -> None:
    _through(plane, policy="afresh")
    assert plane.keys.afresh == ["ann"]


@pytest.mark.parametrize(("policy", "left"), [("refuse", []), ("afresh", ["late"])])
def test_a_large_event_that_goes_on_after_the_erasure_keeps_its_object(
    plane: Plane, policy: str, left: list[str]
) -> None:
    minute = timedelta(minutes=1)
    sent = {"old": NOON - minute, "forget": NOON, "late": NOON + minute, "too late": NOON - minute}
    with plane.producer() as producer:
        for name, at in sent.items():
            plane.large.put(name, b"x", "text/plain")
            value, header = encode_claim(structs.replace(LARGE, key=name))
            headers = cloudevents_headers(event_id=name, event_type="t", source="s", occurred_at=at)
            producer.publish_raw(plane.catalogue.user_events.name, b"ann", value, (*headers, header))
    _through(plane, policy=policy)
    assert [name for name in sent if plane.large.exists(name)] == left
    assert not plane.large.exists(LARGE.key)
