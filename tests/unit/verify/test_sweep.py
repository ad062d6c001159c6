"""The sweep of a store: whatever was done to it by hand is found, nothing else is, and sending again repairs it."""

# pyright: reportUnknownMemberType=false
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from connectors.sinks.contract import Held
from connectors.sinks.sqlite.search import SearchSink
from schemas.writes import RelationalWrite, SearchWrite
from streams.verify.lines import Kind
from streams.verify.repairs import can_be_repaired, origins_of, repairs_of
from streams.verify.sweep import LOOKS, StoreReport, StoreSweep
from tests.unit.verify.kafka_stand_in import AT_MS, TopicInMemory
from tests.unit.verify.sweeping import SweptStore, repairable

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def write(entity: str, version: int, **changed: Any) -> SearchWrite:
    given: dict[str, Any] = {
        "entity": entity,
        "version": version,
        "source": "events",
        "event_id": f"e-{version}",
        "occurred_at": NOW,
        "name": f"{entity} {version}",
    }
    return SearchWrite(**given | changed)


# What is done by hand to an entity that is there (or was deleted), and as what it is found.
BY_HAND: Mapping[str, tuple[str, Kind]] = {
    "removed": ("DELETE FROM documents WHERE entity = ?1", "missing"),
    "renamed": ("UPDATE documents SET name = 'other' WHERE entity = ?1", "different"),
    "moved": ("UPDATE documents SET lat = 1, lon = 1 WHERE entity = ?1", "different"),
    "broken": ("UPDATE documents SET fields = '{' WHERE entity = ?1", "different"),
    "forgotten": ("DELETE FROM versions WHERE entity = ?1", "missing"),
    "set back": ("UPDATE versions SET version = version - 1 WHERE entity = ?1", "stale"),
    "put ahead": ("UPDATE versions SET version = version + 1000 WHERE entity = ?1", "different"),
}
BY_HAND_TO_DELETED: Mapping[str, tuple[str, Kind]] = {
    "brought back": (
        "INSERT INTO documents (entity, kind, name, text, fields) VALUES (?1, '', 'back', '', '{}')",
        "extra",
    ),
    "forgotten": ("DELETE FROM versions WHERE entity = ?1", "missing"),
}


def swept(sink: SearchSink, topic: TopicInMemory, **options: Any) -> tuple[StoreSweep, StoreReport]:
    sweep = StoreSweep("search", sink, topic, patience=0, pause=lambda _: None, **options)
    return sweep, sweep.run()


def found(report: StoreReport) -> set[tuple[str, Kind]]:
    return {(one.entity, one.kind) for one in report.findings}


@pytest.fixture
def sink(tmp_path: Path) -> Any:
    made = SearchSink(tmp_path / "search.db")
    made.open()
    yield made
    made.close()


HISTORY = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 30), st.booleans()), min_size=1, max_size=25
).map(
    lambda steps: [
        write(entity, 2 * version + deleted, op="delete" if deleted else "upsert") for entity, version, deleted in steps
    ]
)


@given(history=HISTORY, hands=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 20)), added=st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_was_done_by_hand_is_found_and_nothing_else(
    history: Sequence[SearchWrite], hands: Mapping[str, int], added: bool
) -> None:
    with TemporaryDirectory() as folder:
        sink = SearchSink(Path(folder) / "search.db")
        sink.open()
        sink.write(history)
        topic = TopicInMemory(history)
        assert found(swept(sink, topic)[1]) == set()
        expected = tampered(Path(folder) / "search.db", history, hands)
        if added:
            sink.write([write("nobody's", 1)])
            expected.add(("nobody's", "extra"))
        store = SweptStore("search", sink, history)
        sweep, report = store.sweep()
        assert found(report) == expected
        store.repair()
        left = found(store.sweep()[1])
        assert left == {(one.entity, one.kind) for one in report.findings if not repairable(sweep, one)}
        sink.close()


def tampered(path: Path, history: Sequence[SearchWrite], hands: Mapping[str, int]) -> set[tuple[str, Kind]]:
    newest = {one.entity: one for one in sorted(history, key=lambda one: one.version)}
    connection = apsw.Connection(str(path))
    expected: set[tuple[str, Kind]] = set()
    for entity, number in hands.items():
        if entity not in newest:
            continue
        kinds = BY_HAND_TO_DELETED if newest[entity].op == "delete" else BY_HAND
        name = sorted(kinds)[number % len(kinds)]
        if name == "set back" and newest[entity].version == 0:
            continue
        statement, kind = kinds[name]
        connection.execute(statement, (entity,))
        expected.add((entity, kind))
    connection.close()
    return expected


def test_writes_on_their_way_are_not_reported(sink: SearchSink) -> None:
    writes = [write("a", 1), write("b", 1), write("b", 2)]
    sink.write(writes[:2])
    _, report = swept(sink, TopicInMemory(writes, done=2))
    assert (found(report), report.compared, report.under_way) == (set(), 1, 1)


def test_what_is_delivered_between_the_first_look_and_the_second_is_not_reported(sink: SearchSink) -> None:
    class Delivering(TopicInMemory):
        looks = 0

        def positions(self) -> Any:
            self.looks += 1
            if self.looks == 2:  # something is written, and delivered, while the first look goes on
                sink.write([write("b", 1)])
                self.add([write("c", 1)])
                sink.write([write("c", 1)])
            return super().positions()

    _, report = swept(sink, Delivering([write("b", 1)]))
    assert found(report) == set()


class Written(SearchSink):
    """A store that somebody else's writes come to just before it is asked, once they are in the topic."""

    def __init__(self, path: Path, topic: TopicInMemory) -> None:
        super().__init__(path)
        self.topic = topic
        self.looks = 0
        self.coming: list[tuple[int, SearchWrite]] = []  # from which look on

    def held(self, entities: Any) -> Any:
        self.looks += 1
        arrived = [one for look, one in self.coming if look <= self.looks]
        self.coming = [(look, one) for look, one in self.coming if look > self.looks]
        self.topic.add(arrived)
        self.write(arrived)
        return super().held(entities)


def written(path: Path, topic: TopicInMemory, *coming: tuple[int, SearchWrite]) -> Written:
    sink = Written(path, topic)
    sink.open()
    sink.coming = list(coming)
    return sink


def test_what_is_written_between_reading_kafka_and_the_second_look_is_not_reported(tmp_path: Path) -> None:
    topic = TopicInMemory([write("a", 1), write("b", 1)])
    sink = written(tmp_path / "search.db", topic, (2, write("a", 2)), (2, write("c", 1)))
    sink.write([write("a", 1)])
    with apsw.Connection(str(tmp_path / "search.db")) as connection:
        connection.execute("UPDATE documents SET name = 'other'")
    _, report = swept(sink, topic)
    assert found(report) == {("b", "missing")}
    assert sink.looks == 3
    sink.close()


def test_what_is_written_at_every_look_is_left_out_and_looked_at_no_more_than_so_often(tmp_path: Path) -> None:
    topic = TopicInMemory([write("a", 1)])
    sink = written(tmp_path / "search.db", topic, *((look, write("a", look)) for look in range(2, 100)))
    assert found(swept(sink, topic)[1]) == set()
    assert sink.looks == 1 + LOOKS
    sink.close()


def test_what_is_still_under_way_after_the_look_is_not_reported(tmp_path: Path) -> None:
    topic = TopicInMemory([write("a", 1)], done=1)
    sink = written(tmp_path / "search.db", topic, (2, write("a", 2)))
    _, report = swept(sink, topic)
    assert (found(report), report.under_way) == (set(), 1)
    sink.close()


def test_what_nobody_had_written_and_is_written_while_it_is_looked_at_is_no_extra(sink: SearchSink) -> None:
    sink.write([write("new", 1)])

    class Late(TopicInMemory):
        reads = 0

        def records(self) -> Any:
            self.reads += 1
            self.add([write("new", 2)] if self.reads == 3 else [])  # after the second look
            return super().records()

    sweep, report = swept(sink, Late())
    assert (found(report), sweep.surplus) == (set(), {})


class Rows:
    """Stands for the relational store, which needs a server: rows, some by the names that nobody has written."""

    def __init__(self, *strays: RelationalWrite) -> None:
        self.strays = strays

    def held(self, entities: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Held]:
        return {one: Held(version=1) for one in entities if not one[0].startswith("bookings:")}

    def walk(self) -> Sequence[RelationalWrite]:
        return self.strays

    def before(self, writes: Sequence[RelationalWrite]) -> list[RelationalWrite]:
        return [structs.replace(one, op="upsert") for one in writes]


def booking(entity: str, key: str, op: Any = "upsert") -> RelationalWrite:
    common: Any = {"version": 1, "source": "events", "event_id": "e", "occurred_at": NOW}
    return RelationalWrite(**common, entity=entity, op=op, table="bookings", key=key)


@pytest.mark.parametrize("read", [1, 2, 3])
def test_a_row_that_a_write_tells_of_by_another_name_by_then_is_not_removed(read: int) -> None:
    class Late(TopicInMemory):
        reads = 0

        def records(self) -> Any:
            self.reads += 1
            self.add([booking("booking-of-ann", "7")] if self.reads == read else [])
            return super().records()

    sink: Any = Rows(booking("bookings:7", "7", "delete"), booking("bookings:8", "8", "delete"))
    sweep = StoreSweep("relational", sink, Late(), patience=0, pause=lambda _: None)
    assert found(sweep.run()) == {("bookings:8", "extra")}
    assert sweep.surplus.keys() == {"bookings:8"}


def test_an_entity_that_is_written_while_the_store_is_walked_is_not_extra(sink: SearchSink) -> None:
    topic = TopicInMemory([write("a", 1)])
    sink.write([write("a", 1), write("new", 1)])

    class Late(TopicInMemory):
        def records(self) -> Any:
            records = list(super().records())
            self.add([write("new", 1)] if len(self.all) == 1 else [])
            return iter(records)

    late = Late()
    late.all = topic.all
    assert found(swept(sink, late)[1]) == set()


def test_dead_letters_are_not_expected(sink: SearchSink) -> None:
    sink.write([write("a", 1)])
    topic = TopicInMemory([write("a", 1), write("a", 2, lat=95.0, lon=0.0), write("b", 1, lat=95.0, lon=0.0)])
    topic.refused = {1, 2}
    _, report = swept(sink, topic)
    assert (found(report), report.entities, report.rejected) == (set(), 1, 2)


def test_what_the_topics_do_not_go_back_to_is_counted_and_not_called_extra(sink: SearchSink) -> None:
    sink.write([write("old", 1), write("a", 1)])
    _, report = swept(sink, TopicInMemory([write("a", 1)], low=100))
    assert (found(report), report.unaccounted) == (set(), 1)


def test_a_sample_has_the_same_entities_each_time_and_finds_what_is_wrong_with_them(sink: SearchSink) -> None:
    writes = [write(f"entity-{number}", 1) for number in range(400)]
    sink.write(writes[1:])
    whole = swept(sink, TopicInMemory(writes), share=1.0)[1]
    assert (whole.compared, found(whole)) == (400, {("entity-0", "missing")})
    halves = [swept(sink, TopicInMemory(writes), share=0.5)[1] for _ in range(2)]
    assert 150 < halves[0].compared < 250
    assert halves[0].compared == halves[1].compared
    assert halves[0].findings == halves[1].findings


def test_a_rate_is_kept_to(sink: SearchSink) -> None:
    writes = [write(f"entity-{number:04}", 1) for number in range(2_000)]
    sink.write(writes)
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    sweep = StoreSweep("search", sink, TopicInMemory(writes), rate=100, now=lambda: now[0], pause=pause)
    sweep.run()
    assert 30 < now[0] < 60  # 4,000 looks, the walk included, at 100 a second


def test_a_repair_does_not_touch_what_is_newer_by_now(sink: SearchSink) -> None:
    topic = TopicInMemory([write("a", 1)])
    sweep, report = swept(sink, topic)
    assert found(report) == {("a", "missing")}
    repairs = list(repairs_of(topic.records_at(origins_of(sweep.expected.lines("a"))), AT_MS))
    sink.write([write("a", 2)])
    sink.write([one for one in repairs if isinstance(one, SearchWrite)])
    assert sink.held([("a", "events")])["a", "events"].version == 2


def test_what_several_sources_tell_of_is_not_repaired_because_one_could_undo_what_another_says_meanwhile(
    sink: SearchSink,
) -> None:
    removed = write("b", 1, source="verify", op="delete")
    topic = TopicInMemory([write("a", 5), write("a", 7, source="partner"), removed, write("b", 1)])
    sweep, report = swept(sink, topic)
    assert found(report) == {("a", "missing"), ("b", "missing")}
    assert {one.entity for one in report.findings if repairable(sweep, one)} == {"b"}
    (finding, *_) = report.findings
    assert can_be_repaired(structs.replace(finding, store="warehouse"), sweep.expected.lines("a"))


def test_a_finding_tells_no_content(sink: SearchSink) -> None:
    sink.write([write("a", 1, text="secret"), write("b", 1)])
    topic = TopicInMemory([write("a", 1, text="another secret"), write("b", 2)])
    _, report = swept(sink, topic)
    assert found(report) == {("a", "different"), ("b", "stale")}
    assert "secret" not in str(structs.asdict(report))
