"""An erasure on a cluster of this process and embedded stores: whatever it is killed at, it comes to the same."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from schemas.claims import encode_claim
from schemas.erasures import (
    Certificate,
    Erasure,
    ErasureEnd,
    decode_erasure_record,
    encode_erasure_record,
)
from schemas.headers import cloudevents_headers
from schemas.writes import STORES, CacheWrite
from streams.erasure.certificate import check
from streams.erasure.machine import STEPS, Answered, Failed, after, begin
from streams.erasure.worker import ErasureWorker
from streams.routing.examples import events
from tests.unit.erasure.plane import LARGE, NOON, START, Plane, begun


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    with begun(tmp_path) as made:
        yield made


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
