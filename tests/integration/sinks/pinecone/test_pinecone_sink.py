"""Vectors in the stand-in for Pinecone, while it fails in every way it knows."""

from typing import Any

import msgspec
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.pinecone import PineconeOptions, PineconeSink
from deploy.local.pinecone import Fault, PineconeStandIn
from tests.integration.sinks.pinecone.pinecone_writes import (
    BEYOND_THE_SDK,
    NAMESPACES,
    SOURCE,
    Opened,
    stored,
    texts,
    vector,
    write,
)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, times=BEYOND_THE_SDK, retry_after=7),
        Fault(status=500, times=BEYOND_THE_SDK),
        Fault(status=503, times=BEYOND_THE_SDK),
        Fault(status=0, times=BEYOND_THE_SDK),
        Fault(status=0, times=BEYOND_THE_SDK, applied=True),
        Fault(status=503, times=BEYOND_THE_SDK, applied=True),
    ],
    ids=["429", "500", "503", "reset", "reset after it took effect", "503 after it took effect"],
)
@pytest.mark.parametrize(
    "path", ["travelos/vectors/upsert", "travelos-versions/vectors/upsert", "vectors/fetch", "vectors/delete"]
)
def test_whichever_request_fails_the_same_writes_sent_again_end_as_if_it_had_not(
    service: PineconeStandIn, opened: Opened, path: str, fault: Fault
) -> None:
    sink = opened()
    sink.write([write("gone", 1), write("changed", 1)])
    batch = [write("gone", 2, op="delete"), write("changed", 2), write("new", 2)]
    service.fail(msgspec.structs.replace(fault, path=path))
    with pytest.raises(Unavailable) as caught:
        sink.write(batch)
    assert caught.value.after == fault.retry_after
    assert set(sink.write(batch)) <= {APPLIED, SUPERSEDED}
    assert sink.write(batch) == [SUPERSEDED] * 3
    assert texts(service) == {"changed": "text 2", "new": "text 2"}
    assert sink.held([("gone", SOURCE)]) == {("gone", SOURCE): Held(version=2, deleted=True, copies=0)}


def test_an_answer_that_does_not_come_in_time_leaves_the_store_as_if_it_had(
    service: PineconeStandIn, opened: Opened
) -> None:
    sink = opened(request_seconds=0.3)
    sink.write([write("a", 1)])
    service.fail(Fault(path="travelos/vectors/upsert", seconds=0.6, passes=True, times=BEYOND_THE_SDK))
    with pytest.raises(Unavailable, match="request_seconds"):
        sink.write([write("a", 2, values=vector(0.0, 1.0))])
    assert sink.write([write("a", 2, values=vector(0.0, 1.0)), write("a", 1)]) == [APPLIED, SUPERSEDED]
    assert texts(service) == {"a": "text 2"}


def test_a_short_storm_of_429_is_over_within_the_request(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened()
    service.fail(Fault(status=429, times=2))
    assert sink.write([write("a", 1)]) == [APPLIED]


def test_a_refused_record_is_found_and_costs_only_itself(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened()
    service.fail(Fault(path="travelos/vectors/upsert", status=400, times=3))  # of four, of the first two, of the first
    outcomes = sink.write([write(name, 1) for name in "abcd"])
    assert outcomes[1:] == [APPLIED] * 3
    assert isinstance(outcomes[0], Rejected)
    assert "400" in outcomes[0].reason
    assert sink.write([write(name, 1) for name in "abcd"]) == [APPLIED, *[SUPERSEDED] * 3]


@pytest.mark.parametrize("index", ["travelos", "travelos-versions"])
def test_a_request_that_was_taken_in_part_counts_as_not_taken(
    service: PineconeStandIn, opened: Opened, index: str
) -> None:
    sink = opened()
    batch = [write(name, 1) for name in "abcd"]
    assert sink.write([write("a", 0)]) == [APPLIED]
    service.fail(Fault(path=f"{index}/vectors/upsert", passes=True, takes=2))
    with pytest.raises(Unavailable, match=r"took 2 of \d records"):
        sink.write(batch)
    assert set(sink.write(batch)) <= {APPLIED, SUPERSEDED}
    assert texts(service) == dict.fromkeys("abcd", "text 1")
    assert sink.held([(name, SOURCE) for name in "abcd"]) == {(name, SOURCE): Held(version=1) for name in "abcd"}


def test_a_refused_version_leaves_the_one_before_it(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened()
    service.fail(Fault(path="travelos/vectors/upsert", status=400))  # of the last version, before each goes by itself
    assert sink.write([write("a", 1), write("a", 2, op="delete"), write("a", 3)]) == [APPLIED] * 3
    service.fail(Fault(path="travelos/vectors/update", status=400))
    (outcome,) = sink.write([write("a", 4)])
    assert isinstance(outcome, Rejected)
    assert texts(service) == {"a": "text 3"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"api_key": "another"}, "stores.vector.api_key"),
        ({"dimension": 3}, "stores.vector.dimension"),
        ({"metric": "euclidean"}, "stores.vector.metric"),
        ({"index": "missing", "create_index": False}, "stores.vector.create_index"),
        ({"version_index": "other"}, "stores.vector.version_index"),
        ({"photo_index": "other", "photo_dimension": 5}, "stores.vector.photo_dimension"),
    ],
    ids=str,
)
def test_what_cannot_work_is_told_at_the_start_with_the_option(
    service: PineconeStandIn, opened: Opened, options: dict[str, Any], said: str
) -> None:
    opened(photo_index="other", photo_dimension=7)
    with pytest.raises(Fatal, match=said) as caught:
        opened(**options)
    assert service.api_key not in str(caught.value)


def test_a_service_that_does_not_answer_is_told_from_one_that_refuses(opened: Opened) -> None:
    with pytest.raises(Unavailable):
        opened(url="http://127.0.0.1:9")


def test_own_writes_are_known_before_they_show_and_nothing_waits_for_them() -> None:
    service = PineconeStandIn(lags=(0.0,))
    service.start()
    try:
        options = PineconeOptions(url=service.url, api_key=service.api_key, dimension=2, freshness_seconds=0.3)
        sink = PineconeSink(options)
        sink.open()
        sink.write([write("first", 1)])
        service.lag(60.0)
        service.recording = True
        assert sink.write([write("a", 1), write("b", 1)]) == [APPLIED] * 2
        assert sink.write([write("a", 3), write("b", 2, op="delete")]) == [APPLIED] * 2
        assert sink.write([write("a", 2), write("b", 1)]) == [SUPERSEDED] * 2
        assert sink.write([write("a", 4), write("b", 2)]) == [APPLIED, SUPERSEDED]
        fetches = [exchange for exchange in service.exchanges if "vectors/fetch" in exchange.path]
        assert len(fetches) == 4
        assert texts(service) == {"first": "text 1", "a": "text 4"}
        sink.close()
    finally:
        service.stop()


@pytest.mark.parametrize("lags", [(0.15,), (0.0, 0.15)], ids=["late", "now and then late"])
def test_a_late_write_is_late_for_whichever_sink_it_comes_to(lags: tuple[float, ...]) -> None:
    service = PineconeStandIn(lags=lags)
    service.start()
    options = PineconeOptions(url=service.url, api_key=service.api_key, dimension=2, freshness_seconds=5.0)
    one, two = PineconeSink(options), PineconeSink(options)
    try:
        one.open()
        two.open()
        assert one.write([write("a", 5), write("gone", 4)]) == [APPLIED] * 2
        assert one.write([write("gone", 5, op="delete")]) == [APPLIED]
        assert two.write([write("a", 4), write("gone", 3)]) == [SUPERSEDED] * 2
        assert two.write([write("a", 6)]) == [APPLIED]
        assert one.write([write("a", 5)]) == [SUPERSEDED]
        expected = {("a", SOURCE): Held(version=6), ("gone", SOURCE): Held(version=5, deleted=True, copies=0)}
        assert one.held(list(expected)) == two.held(list(expected)) == expected
        assert texts(service) == {"a": "text 6"}
    finally:
        one.close()
        two.close()
        service.stop()


def test_what_another_one_wrote_and_does_not_show_is_waited_for_and_never_guessed(
    service: PineconeStandIn, opened: Opened
) -> None:
    one, two = opened(freshness_seconds=0.2), opened(freshness_seconds=0.2)
    one.write([write("a", 5)])
    service.lag(60.0)
    with pytest.raises(Unavailable, match="freshness_seconds"):
        two.write([write("a", 4)])
    service.settle()
    service.lag(0.0)
    assert two.write([write("a", 4)]) == [SUPERSEDED]


def test_a_sink_that_is_opened_again_does_not_take_what_it_wrote_before_for_what_shows_now(
    service: PineconeStandIn, opened: Opened
) -> None:
    one, two = opened(freshness_seconds=0.2), opened(freshness_seconds=0.2)
    for version in range(1, 4):
        one.write([write("a", version)])
    two.write([write("b", 1)])
    service.lag(60.0)
    assert two.write([write("a", 5)]) == [APPLIED]
    one.close()
    one.open()
    with pytest.raises(Unavailable, match="freshness_seconds"):
        one.write([write("a", 4)])
    service.settle()
    service.lag(0.0)
    assert one.write([write("a", 4)]) == [SUPERSEDED]


def test_a_writer_that_is_too_far_ahead_of_what_shows_waits(
    service: PineconeStandIn, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.sinks.pinecone.ledger._REMEMBERED", 3)
    sink = opened(freshness_seconds=0.2)
    sink.write([write("first", 1)])
    service.lag(60.0)
    assert sink.write([write(name, 1) for name in "abcd"]) == [APPLIED] * 4
    with pytest.raises(Unavailable, match="freshness_seconds"):
        sink.write([write("e", 1)])
    service.settle()
    assert sink.write([write("e", 1), write("a", 1)]) == [APPLIED, SUPERSEDED]


def test_a_replay_from_the_start_changes_nothing(service: PineconeStandIn, opened: Opened) -> None:
    history = [write(f"e{number % 7}", number, op="delete" if number % 5 == 0 else "upsert") for number in range(60)]
    opened().write(history)
    before = stored(service), stored(service, "travelos-versions")["entities"]
    again = opened()
    assert again.write(history) == [SUPERSEDED] * 60
    entries = {name: one for name, one in stored(service, "travelos-versions")["entities"].items() if name[0] != "~"}
    assert stored(service) == before[0]
    assert entries == {name: one for name, one in before[1].items() if name[0] != "~"}


def test_a_vector_that_did_not_change_is_not_sent_again(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened()
    sink.write([write("a", 1, metadata={"rating": 3})])
    service.recording = True
    assert sink.write([write("a", 2, metadata={"rating": 4})]) == [APPLIED]
    (update,) = [exchange for exchange in service.exchanges if "vectors/update" in exchange.path]
    assert b"values" not in update.body
    assert stored(service)["places"]["a"][1]["rating"] == 4
    service.exchanges.clear()
    assert sink.write([write("a", 3)]) == [APPLIED]  # a field has to go, which an update cannot do
    assert sink.write([write("a", 4, values=vector(0.0, 1.0))]) == [APPLIED]
    assert not [exchange for exchange in service.exchanges if "vectors/update" in exchange.path]
    assert stored(service)["places"]["a"][0] == [0.0, 1.0]


def test_an_entity_that_changes_its_namespace_leaves_the_old_one(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened()
    sink.write([write("a", 1)])
    assert sink.write([write("a", 2, namespace="trips")]) == [APPLIED]
    assert stored(service).keys() == {"trips"}
    assert sink.write([write("a", 3, op="delete", namespace="trips")]) == [APPLIED]
    assert stored(service) == {}


def test_photos_may_have_an_index_of_their_own(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened(photo_index="looks", photo_dimension=3)
    values = vector(1.0, 0.0, 0.0)
    outcomes = sink.write([write("text", 1), write("photo", 1, namespace="photos", values=values)])
    assert outcomes == [APPLIED] * 2
    assert stored(service).keys() == {"places"}
    assert stored(service, "looks").keys() == {"photos"}
    assert len(sink.held([("text", SOURCE), ("photo", SOURCE)])) == 2


def test_a_large_batch_goes_in_requests_that_the_service_takes(service: PineconeStandIn, opened: Opened) -> None:
    sink = opened()
    batch = [write(f"place:{number:04}", 1, text="x" * 30_000) for number in range(100)]
    assert sink.write(batch) == [APPLIED] * 100
    assert len(sink.held([(one.entity, SOURCE) for one in batch])) == 100


def test_vectors_are_cleared_away_by_a_filter_and_come_back_with_a_newer_write(
    service: PineconeStandIn, opened: Opened
) -> None:
    sink = opened()
    seoul = [write(f"s{number:03}", 1, metadata={"city": "Seoul"}) for number in range(150)]
    sink.write([*seoul, write("paris", 1, metadata={"city": "Paris"})])
    assert sink.delete_matching("places", {"city": {"$eq": "Seoul"}}) == 150
    assert texts(service) == {"paris": "text 1"}
    assert sink.write(seoul) == [SUPERSEDED] * 150
    assert sink.write([write("s007", 2, metadata={"city": "Seoul"})]) == [APPLIED]
    assert texts(service) == {"paris": "text 1", "s007": "text 2"}
    assert sink.delete_matching("places", {"city": "Rome"}) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": vector(1.0)}, "`values`"),
        ({"values": vector(0.0, 0.0)}, "`values`"),
        ({"values": vector(1.0, float("inf"))}, "`values`"),
        ({"text": "x" * 41_000}, "`text`"),
        ({"metadata": {"text": "x"}}, "'text'"),
        ({"metadata": {"$in": 1}}, "reserved"),
        ({"metadata": {"n": 2**60}}, "`metadata.n`"),
        ({"metadata": {"n": float("nan")}}, "`metadata.n`"),
    ],
    ids=str,
)
def test_what_a_record_cannot_hold_is_refused_by_name(opened: Opened, changes: dict[str, Any], said: str) -> None:
    outcomes = opened().write([write("bad", 1, **changes), write("good", 1)])
    assert isinstance(outcomes[0], Rejected)
    assert said in outcomes[0].reason
    assert outcomes[1] == APPLIED


def test_the_undo_of_a_write_brings_everything_back_as_it_was(opened: Opened) -> None:
    sink = opened()
    first = write("a", 1, metadata={"rating": 4, "score": 0.5, "open": True, "city": "서울", "none": None})
    sink.write([first])
    (undo,) = sink.before([write("a", 2)])
    assert undo is not None
    assert undo.metadata == {"rating": 4, "score": 0.5, "open": True, "city": "서울"}
    assert (undo.values, undo.text, undo.model, undo.version) == (first.values, first.text, first.model, 1)


def test_a_key_is_in_no_repr() -> None:
    assert "secret-key" not in repr(PineconeOptions(api_key="secret-key"))


def test_names_of_metadata_that_the_ledger_cannot_keep_are_refused_and_cost_only_their_write(
    service: PineconeStandIn, opened: Opened
) -> None:
    """The entry has the names once more, as JSON in a text in JSON, which quotes each quote twice."""
    names = {'"' * 10 + f"{number}": 1 for number in range(1_300)}
    outcomes = opened().write([write("a", 1), write("a", 2, metadata=names), write("b", 1)])
    assert [one for one in outcomes if one != APPLIED] == outcomes[1:2]
    assert isinstance(outcomes[1], Rejected)
    assert "`metadata`" in outcomes[1].reason
    assert texts(service) == {"a": "text 1", "b": "text 1"}


def test_the_vectors_of_a_person_are_found_in_every_namespace_and_none_once_they_are_deleted(opened: Opened) -> None:
    sink = opened()
    own = [write(f"ann-{name}", 3, namespace=name, metadata={"user_id": "ann"}) for name in NAMESPACES]
    sink.write([*own, write("of bob", 1, metadata={"user_id": "bob"}), write("of nobody", 1)])
    found = sink.of_user("ann")
    assert {(one.entity, one.namespace, one.version) for one in found} == {
        (one.entity, one.namespace, 3) for one in own
    }
    assert sink.write([msgspec.structs.replace(one, version=9) for one in found]) == [APPLIED] * len(NAMESPACES)
    assert sink.of_user("ann") == []
    assert [one.entity for one in sink.of_user("bob")] == ["of bob"]
