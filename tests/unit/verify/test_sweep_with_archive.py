"""The sweep where Kafka has forgotten writes: they are read from the archive, and what lacks there is told."""

# pyright: reportUnknownMemberType=false
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.archive.formats import encoder_of
from connectors.archive.names import Format, Name
from connectors.kafka.reading import StoredRecord
from connectors.sinks.contract import APPLIED
from connectors.sinks.sqlite.search import SearchSink
from connectors.storage import FolderStorage
from connectors.storage.contract import Found
from schemas.writes import SearchWrite
from streams.verify.archived import ArchivedTopics
from streams.verify.history import WithArchive
from streams.verify.lines import Kind, Origin
from streams.verify.repairs import origins_of, repairs_of
from streams.verify.sweep import StoreReport, StoreSweep
from tests.unit.verify.kafka_stand_in import AT_MS, LETTERS, TOPIC, TopicInMemory

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def write(entity: str, version: int, *, deleted: bool = False) -> SearchWrite:
    return SearchWrite(
        entity=entity,
        version=version,
        source="events",
        event_id=f"e-{version}",
        occurred_at=NOW,
        op="delete" if deleted else "upsert",
        name=f"{entity} {version}",
    )


class Stand:
    """A store, open, a topic and an archive."""

    def __init__(self, folder: Path, writes: Sequence[SearchWrite]) -> None:
        self.path = folder / "search.db"
        self.sink = SearchSink(self.path)
        self.sink.open()
        self.topic = TopicInMemory(writes)
        self.storage = FolderStorage(folder / "archive")
        self.storage.open()
        if writes:
            assert self.sink.write(writes)

    def archives(self, records: Sequence[StoredRecord], first: int, last: int, form: Format = "jsonl") -> Name:
        """Keep some offsets of the records' topic in one object."""
        encoder = encoder_of(form)
        for record in records:
            if first <= record.offset <= last:
                encoder.add(record)
        name = Name(records[0].topic, 0, "2026-05-01", first, last, form)
        self.storage.put(name.path, encoder.finish(), encoder.content_type)
        return name

    def hand(self, statement: str, *entities: str) -> None:
        with apsw.Connection(str(self.path)) as connection:
            for entity in entities:
                connection.execute(statement, (entity,))

    def sweep(self) -> tuple[StoreSweep, StoreReport, WithArchive]:
        writes = WithArchive(self.topic.again(), ArchivedTopics(self.storage))
        sweep = StoreSweep("search", self.sink, writes, patience=0, pause=lambda _: None)
        return sweep, sweep.run(), writes


def found(report: StoreReport) -> set[tuple[str, Kind]]:
    return {(one.entity, one.kind) for one in report.findings}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A topic of six writes that begins at offset 4; nothing is in the archive yet."""
    made = Stand(tmp_path, [write("a", 1), write("b", 1), write("c", 1), write("b", 2, deleted=True)])
    made.topic.add([write("d", 1), write("c", 2)])
    assert made.sink.write([write("d", 1), write("c", 2)]) == [APPLIED, APPLIED]
    yield made
    made.sink.close()


def test_what_was_written_before_the_topics_begin_is_missing_when_it_was_removed_and_repaired_from_the_archive(
    stand: Stand,
) -> None:
    stand.archives(stand.topic.all, 0, 1)
    stand.archives(stand.topic.all, 2, 5, "parquet")
    stand.topic.forgets(4)
    assert found(stand.sweep()[1]) == set()
    stand.hand("DELETE FROM documents WHERE entity = ?1", "a")
    stand.sink.write([write("nobody's", 1)])
    sweep, report, writes = stand.sweep()
    assert found(report) == {("a", "missing"), ("nobody's", "extra")}
    assert (report.entities, report.compared, report.unaccounted, report.known_from) == (4, 4, 0, {})
    (again,) = repairs_of(writes.records_at(origins_of(sweep.expected.lines("a"))), AT_MS)
    assert isinstance(again, SearchWrite)
    assert (again.entity, again.version, again.name, again.repair) == ("a", 1, "a 1", True)
    assert stand.sink.write([again]) == [APPLIED]
    assert found(stand.sweep()[1]) == {("nobody's", "extra")}


HISTORY = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 30), st.booleans()), min_size=1, max_size=25
).map(
    lambda steps: [write(entity, 2 * version + deleted, deleted=deleted) for entity, version, deleted in steps],
)
HANDS = ("DELETE FROM documents WHERE entity = ?1", "UPDATE documents SET name = 'other' WHERE entity = ?1")


@given(
    history=HISTORY,
    low=st.integers(0, 25),
    ends=st.sets(st.integers(0, 25)),
    removed=st.sets(st.sampled_from("abcdefgh")),
    altered=st.sets(st.sampled_from("abcdefgh")),
)
@settings(max_examples=40, deadline=None)
def test_it_makes_no_difference_how_much_of_the_writes_lies_in_the_archive_only(
    history: Sequence[SearchWrite], low: int, ends: set[int], removed: set[str], altered: set[str]
) -> None:
    with TemporaryDirectory() as folder:
        stand = Stand(Path(folder), history)
        last, first = len(history) - 1, 0
        for end in sorted({*(end for end in ends if end < last), last}):
            stand.archives(stand.topic.all, first, end)
            first = end + 1
        stand.hand(HANDS[0], *sorted(removed))
        stand.hand(HANDS[1], *sorted(altered))
        stand.sink.write([write("nobody's", 1)])
        _, whole, _ = stand.sweep()
        assert ("nobody's", "extra") in found(whole)
        stand.topic.forgets(min(low, len(history)))
        _, report, _ = stand.sweep()
        assert (report.findings, report.compared, report.known_from) == (whole.findings, whole.compared, {})
        stand.sink.close()


def test_what_neither_kafka_nor_the_archive_has_is_told_and_what_came_before_a_gap_is_not_expected(
    stand: Stand,
) -> None:
    stand.archives(stand.topic.all, 0, 1)  # b is deleted at offset 3, which nobody has any more
    stand.topic.forgets(4)
    _, report, _ = stand.sweep()
    assert (found(report), report.known_from, report.unaccounted) == (set(), {f"{TOPIC}/0": 4}, 1)
    stand.hand("DELETE FROM versions WHERE entity = ?1", "b")
    assert found(stand.sweep()[1]) == set()


def test_what_the_archive_has_from_the_middle_on_is_used_from_there(stand: Stand) -> None:
    stand.archives(stand.topic.all, 1, 5)
    stand.topic.forgets(4)
    stand.hand("DELETE FROM versions WHERE entity = ?1", "b")
    _, report, _ = stand.sweep()
    assert (found(report), report.known_from, report.unaccounted) == ({("b", "missing")}, {f"{TOPIC}/0": 1}, 1)


def letter(offset: int, refused: int) -> StoredRecord:
    return StoredRecord(
        topic=LETTERS, partition=0, offset=offset, timestamp=AT_MS, key=None, value=str(refused).encode()
    )


def test_writes_that_were_refused_before_the_dead_letters_begin_are_not_expected(stand: Stand) -> None:
    stand.archives(stand.topic.all, 0, 5)
    stand.hand("DELETE FROM documents WHERE entity = ?1", "a")
    stand.hand("DELETE FROM versions WHERE entity = ?1", "a")
    stand.topic.forgets(4)
    stand.topic.first_letter = 1
    assert stand.sweep()[1].known_from == {f"{TOPIC}/0": 4, f"{LETTERS}/0": 1}
    stand.archives([letter(0, refused=0)], 0, 0)
    _, report, _ = stand.sweep()
    assert (found(report), report.rejected, report.known_from) == (set(), 1, {})


def test_what_kafka_forgets_while_it_is_read_is_read_from_the_archive(stand: Stand) -> None:
    class Forgetting(TopicInMemory):
        def records(self) -> Iterator[StoredRecord]:
            self.forgets(2)
            return super().records()

    stand.archives(stand.topic.all, 0, 5)
    forgetting = Forgetting()
    forgetting.all = stand.topic.all
    history = WithArchive(forgetting, ArchivedTopics(stand.storage))
    assert sorted(one.offset for one in history.records()) == [0, 1, 2, 3, 4, 5]
    assert list(history.records()) == []
    assert history.begins() == {(TOPIC, 0): 0}


def test_a_repair_reads_each_object_once_and_only_those_that_it_needs(stand: Stand) -> None:
    for first in range(6):
        stand.archives(stand.topic.all, first, first)

    read: list[str] = []

    class Counted(FolderStorage):
        def get(self, path: str) -> Found | None:
            read.append(path)
            return super().get(path)

    storage = Counted(stand.storage.folder)
    stand.topic.forgets(6)
    wanted = [Origin(TOPIC, 0, offset) for offset in (4, 1, 1, 9)]
    history = WithArchive(stand.topic, ArchivedTopics(storage))
    assert sorted(one.offset for one in history.records_at(wanted)) == [1, 4]
    assert len(read) == 2
