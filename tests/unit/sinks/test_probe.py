"""The round trip of `travelos sinks check` fails for every store that does not do what it says."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.embedded import EmbeddedReaders, embedded_sink
from connectors.sinks.errors import Unavailable
from connectors.sinks.probe import ProbeFailed, probe_writes, round_trip
from schemas.writes import STORES, BaseWrite, Write, decode_write, encode_write

NOW = datetime(2026, 5, 1, 12, 30, tzinfo=UTC)
FILES = [store for store in STORES if store != "relational"]


class StandInSink:
    limits = Limits()

    def __init__(self, outcome: Outcome = APPLIED, *, forgets: bool = False, keeps: bool = False) -> None:
        self.outcome, self.forgets, self.keeps = outcome, forgets, keeps
        self.written: list[Any] = []
        self.open_now = False

    def open(self) -> None:
        self.open_now = True

    def close(self) -> None:
        self.open_now = False

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        self.written += batch
        return [self.outcome]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        if self.forgets:
            return {}
        last = self.written[-1]
        gone = last.op == "delete"
        copies = 0 if gone and not self.keeps else 1
        return {entities[0]: Held(version=last.version, deleted=gone, copies=copies)}


@pytest.mark.parametrize("store", FILES)
def test_a_round_trip_through_an_embedded_store_may_be_repeated_and_leaves_nothing_but_its_tombstone(
    store: Any, tmp_path: Path
) -> None:
    for number in range(3):
        assert round_trip(store, embedded_sink(store, tmp_path, ""), NOW + timedelta(seconds=number)) >= 0
    with getattr(EmbeddedReaders(tmp_path, ""), store)() as reader:
        counts = {table: count for table, count in reader.counts().items() if table not in ("versions", "series")}
    assert sum(counts.values()) == 0, counts


@pytest.mark.parametrize("store", STORES)
def test_the_writes_of_a_round_trip_are_of_the_stores_kind_and_survive_their_encoding(store: Any) -> None:
    kinds = {kind.__struct_config__.tag: kind for kind in get_args(Write)}
    for write in probe_writes(store, NOW):
        assert isinstance(write, kinds[store])
        assert decode_write(encode_write(write)) == write


def test_where_a_test_entry_would_be_seen_nothing_but_a_delete_is_written() -> None:
    def ops(store: Any) -> list[str]:
        return [write.op for write in probe_writes(store, NOW)]

    assert [store for store in STORES if ops(store) == ["delete"]] == ["vector", "warehouse"]
    assert ops("graph") == ["upsert", "delete"]


def test_two_checks_of_one_hour_are_of_one_point() -> None:
    def entities(later: timedelta) -> set[str]:
        writes: list[BaseWrite] = probe_writes("timeseries", NOW + later)
        return {write.entity for write in writes}

    assert entities(timedelta(0)) == entities(timedelta(minutes=20)) != entities(timedelta(minutes=31))


@pytest.mark.parametrize(
    ("sink", "reason"),
    [
        (StandInSink(Rejected("`key` is too long")), "a test upsert was not applied: `key` is too long"),
        (StandInSink(Retry("429")), "a test upsert was not applied: 429"),
        (StandInSink(SUPERSEDED), "the store says that it holds a newer one"),
        (StandInSink(forgets=True), "a test upsert was applied, but the store holds nothing of it"),
        (StandInSink(keeps=True), "a test delete was applied, but the store holds"),
    ],
)
def test_a_store_that_does_not_do_what_it_says_fails_the_round_trip_and_is_closed(
    sink: StandInSink, reason: str
) -> None:
    with pytest.raises(ProbeFailed) as caught:
        round_trip("cache", sink, NOW)
    assert reason in str(caught.value)
    assert not sink.open_now


def test_a_store_that_does_not_answer_says_so_itself() -> None:
    class Away(StandInSink):
        def open(self) -> None:
            raise Unavailable("connection refused")

    with pytest.raises(Unavailable, match="connection refused"):
        round_trip("cache", Away(), NOW)
