import json

from bench.conflicts.agreement import STORES, Agreement, Delay, share_in_agreement
from bench.conflicts.changes import SOURCES, Said, Sources
from connectors.kafka.reading import StoredRecord
from schemas.wire import unframe_without_registry
from streams.agents.changes import decode


def test_a_change_is_agreed_once_the_last_of_three_stores_has_it_or_something_newer() -> None:
    agreement = Agreement()
    for at_ms, made in ((100, 1.0), (200, 2.0), (300, 3.0)):
        agreement.said(Said(SOURCES[0], 1, "1", at_ms, at_ms), made)
    for at, store in enumerate(STORES, start=10):
        agreement.held("place:p1", store, 200 << 16, float(at))
    assert agreement.delays == [Delay(1.0, 11.0), Delay(2.0, 10.0)]
    assert (agreement.open, agreement.disagreement()) == (1, {})
    agreement.held("place:p1", STORES[0], 300 << 16, 20.0)
    assert (agreement.open, list(agreement.disagreement())) == (1, ["place:p1"])


def test_what_waits_for_less_than_the_patience_counts_as_in_agreement() -> None:
    delays = [Delay(0.0, 0.5), Delay(0.0, 3.0)]
    assert share_in_agreement(delays, entities=10, seconds=10, patience=1.0) == 0.98
    assert share_in_agreement(delays, entities=10, seconds=10, patience=0.0) == 0.965


def test_what_was_said_last_has_to_hold_and_of_one_millisecond_what_wins_there() -> None:
    sources = Sources(places=1, seed=3)
    said = [sources.first(0, 5), *(sources.any(5) for _ in range(9))]
    assert sources.expected == {"place:p0": max(said, key=lambda one: (one.source, one.lsn)).phone}


def test_a_change_is_told_as_debezium_tells_it() -> None:
    said = Said(SOURCES[1], 7, "12", 9, 1_795_000_000_000)
    record = StoredRecord(topic="t", partition=0, offset=0, timestamp=0, key=said.key, value=said.value)
    (change,) = decode([record], unframe_without_registry).changes
    assert (change.cause["source"], change.cause["version"], change.row_id) == (SOURCES[1], 9, "p7")
    assert json.loads(said.value)["after"]["phone"] == "12"
