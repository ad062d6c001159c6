"""Names, formats and coverage of the archive, and the writing of one partition by several owners."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.archive.coverage import Span, coverage
from connectors.archive.errors import ArchiveConflict, ArchiveError, Unreadable
from connectors.archive.formats import encoder_of, records_in
from connectors.archive.names import EXTENSIONS, Format, Name, day_of, head_path, named, parse
from connectors.archive.partition import Overtaken, PartitionArchive
from connectors.archive.reading import Wanted, check, read
from connectors.kafka.reading import StoredRecord
from connectors.sinks.errors import Unavailable
from connectors.storage.contract import LostRace
from connectors.storage.folder import FolderStorage

JAN_5_MS = 1_767_571_200_000
DAY_MS = 86_400_000

bytes_or_none = st.none() | st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode())
records = st.builds(
    StoredRecord,
    topic=st.just("t"),
    partition=st.just(3),
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.integers(-1, 2**62),
    key=bytes_or_none,
    value=bytes_or_none,
    headers=st.lists(st.tuples(st.text(max_size=10), bytes_or_none), max_size=3).map(lambda found: found or ()),
)


def record(offset: int, value: bytes | None = b"v", *, timestamp: int = JAN_5_MS, key: bytes = b"k") -> StoredRecord:
    return StoredRecord(topic="t", partition=0, offset=offset, timestamp=timestamp, key=key, value=value)


def data_of(*found: StoredRecord, form: Format = "jsonl") -> bytes:
    encoder = encoder_of(form)
    for one in found:
        encoder.add(one)
    return encoder.finish()


def name(first: int, last: int, day: str = "2026-01-05", form: Format = "jsonl") -> Name:
    return Name("t", 0, day, first, last, form)


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    storage = FolderStorage(tmp_path / "archive")
    storage.open()
    return storage


@pytest.mark.parametrize("form", EXTENSIONS)
@given(found=st.lists(records, max_size=5))
def test_every_byte_of_a_record_comes_back(form: Format, found: list[StoredRecord]) -> None:
    data = data_of(*found, form=form)
    assert list(records_in(form, "t", data)) == found
    assert data_of(*found, form=form) == data  # and the same records are the same object


@pytest.mark.parametrize("form", EXTENSIONS)
@pytest.mark.parametrize("damaged", ["cut", "empty", "else"])
def test_a_damaged_object_is_told(form: Format, damaged: str) -> None:
    whole = data_of(*map(record, range(100)), form=form)
    with pytest.raises(Unreadable):
        list(records_in(form, "t", {"cut": whole[:-9], "empty": b"", "else": b"else"}[damaged]))


@given(
    st.builds(
        Name,
        topic=st.from_regex(r"[a-zA-Z0-9._-]{1,30}", fullmatch=True),
        partition=st.integers(0, 10_000),
        day=st.dates().map(lambda day: day.isoformat()),
        first=st.integers(0, 2**63 - 1),
        last=st.integers(0, 2**63 - 1),
        format=st.sampled_from(list(EXTENSIONS)),
    )
)
def test_a_name_says_what_it_was_made_of(one: Name) -> None:
    assert parse(one.path) == one


def test_names_sort_as_offsets_do_and_other_objects_are_left_out() -> None:
    paths = [name(10, 99).path, name(100, 120).path, name(9, 9).path, "topics/t/notes.txt", "heads/t/0.json"]
    assert [one.first for one in named(sorted(paths))] == [9, 10, 100]


@pytest.mark.parametrize(("timestamp", "day"), [(-1, "1970-01-01"), (JAN_5_MS, "2026-01-05"), (2**62, "9999-12-31")])
def test_any_timestamp_has_a_day(timestamp: int, day: str) -> None:
    assert day_of(timestamp) == day


def test_gaps_and_overlaps_are_found() -> None:
    found = coverage([name(0, 9), name(10, 19), name(25, 30), name(28, 40), name(29, 35)])
    assert found.span == Span(0, 40)
    assert found.gaps == (Span(20, 24),)
    assert found.overlaps == (Span(28, 30), Span(29, 35))
    assert not found.whole
    assert coverage([]).whole


def test_a_partition_goes_on_where_its_last_object_ends(storage: FolderStorage) -> None:
    owner = PartitionArchive(storage, "t", 0)
    assert owner.progress() == (None, None)
    owner.store(name(5, 7), data_of(record(5), record(7)), "x")
    assert PartitionArchive(storage, "t", 0).progress() == (8, None)


def test_an_object_that_was_decided_on_before_a_crash_is_made_by_the_next_owner(storage: FolderStorage) -> None:
    class CrashError(Exception):
        pass

    class Crashing(FolderStorage):
        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            if path.startswith("topics/"):
                raise CrashError
            return super().put(path, data, content_type, over)

    owner = PartitionArchive(Crashing(storage.folder), "t", 0)
    owner.progress()
    with pytest.raises(CrashError):
        owner.store(name(0, 4), data_of(record(0), record(4)), "x")
    heir = PartitionArchive(storage, "t", 0)
    assert heir.progress() == (0, name(0, 4))
    heir.store(name(0, 4), data_of(record(0), record(4)), "x")
    assert heir.progress() == (5, None)


def test_of_two_owners_that_decide_otherwise_the_later_one_is_told(storage: FolderStorage) -> None:
    paused, heir = PartitionArchive(storage, "t", 0), PartitionArchive(storage, "t", 0)
    paused.progress()
    heir.progress()
    heir.store(name(0, 2), data_of(*map(record, range(3))), "x")
    with pytest.raises(Overtaken):
        paused.store(name(0, 4), data_of(*map(record, range(5))), "x")
    assert [one.offset for one in read(storage, "t", Wanted())] == [0, 1, 2]
    paused.progress()
    paused.store(name(3, 4), data_of(record(3), record(4)), "x")
    assert check(storage, "t")[0].whole


def test_an_owner_that_wakes_up_after_its_heir_wrote_the_same_changes_nothing(storage: FolderStorage) -> None:
    paused, heir = PartitionArchive(storage, "t", 0), PartitionArchive(storage, "t", 0)
    paused.progress()
    heir.progress()
    for owner in (heir, paused):
        owner.store(name(0, 2), data_of(*map(record, range(3))), "x")
    assert len(list(storage.names("topics/"))) == 1


def test_records_that_compaction_took_meanwhile_are_no_conflict_and_others_are(storage: FolderStorage) -> None:
    storage.put(name(0, 2).path, data_of(*map(record, range(3))), "x")
    heir = PartitionArchive(storage, "t", 0)
    heir.store(name(0, 2), data_of(record(0), record(2)), "x")
    with pytest.raises(ArchiveConflict, match="other records"):
        PartitionArchive(storage, "t", 0).store(name(0, 2), data_of(record(0, b"else")), "x")
    assert [one.offset for one in read(storage, "t", Wanted())] == [0, 1, 2]


def test_a_head_that_was_removed_is_found_by_the_objects(storage: FolderStorage) -> None:
    owner = PartitionArchive(storage, "t", 0)
    owner.progress()
    owner.store(name(0, 2), data_of(*map(record, range(3))), "x")
    (storage.folder / head_path("t", 0)).unlink()
    assert owner.progress() == (3, None)
    storage.put(head_path("t", 0), b"{", "x")
    with pytest.raises(ArchiveError, match=r"heads/t/0\.json"):
        owner.progress()


def test_a_store_that_is_away_for_a_moment_is_asked_again(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[bool] = iter([False, True, True])
    monkeypatch.setattr("connectors.archive.partition._PAUSE_SECONDS", 0.001)

    class Flaky(FolderStorage):
        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            token = super().put(path, data, content_type, over)
            if not next(answers):  # it was written, and the answer was lost
                raise Unavailable("away")
            return token

    owner = PartitionArchive(Flaky(storage.folder), "t", 0)
    owner.progress()
    owner.store(name(0, 0), data_of(record(0)), "x")
    assert owner.progress() == (1, None)


def test_reading_looks_only_at_objects_that_may_have_what_is_wanted(storage: FolderStorage) -> None:
    days = [JAN_5_MS, JAN_5_MS + DAY_MS, JAN_5_MS + 2 * DAY_MS]
    for index, timestamp in enumerate(days):
        found = [record(10 * index + one, timestamp=timestamp, key=b"%d" % (one % 2)) for one in range(10)]
        storage.put(name(10 * index, 10 * index + 9, day_of(timestamp)).path, data_of(*found), "x")
    (storage.folder / name(0, 9).path).write_bytes(b"damaged")

    def offsets(wanted: Wanted) -> list[int]:
        return [one.offset for one in read(storage, "t", wanted)]

    assert offsets(Wanted(from_ms=days[1], to_ms=days[2])) == list(range(10, 20))
    assert offsets(Wanted(from_offset=15, to_offset=22)) == list(range(15, 22))
    assert offsets(Wanted(from_offset=10, key=b"1")) == list(range(11, 30, 2))
    assert offsets(Wanted(partition=1)) == []
    with pytest.raises(ArchiveError, match=r"2026-01-05/t\+0"):
        offsets(Wanted())
    (checked,) = check(storage, "t", content=True)
    assert checked.records == 20
    assert len(checked.problems) == 1


def test_records_of_objects_that_overlap_are_read_once(storage: FolderStorage) -> None:
    storage.put(name(0, 5).path, data_of(*map(record, range(6))), "x")
    storage.put(name(3, 9).path, data_of(*map(record, range(3, 10))), "x")
    assert [one.offset for one in read(storage, "t", Wanted())] == list(range(10))
    assert check(storage, "t")[0].coverage.overlaps == (Span(3, 5),)


def test_the_folder_writes_nothing_over_what_it_was_not_told_of(storage: FolderStorage) -> None:
    token = storage.put("heads/t/0.json", b"1", "x")
    with pytest.raises(LostRace):
        storage.put("heads/t/0.json", b"2", "x")
    with pytest.raises(LostRace):
        storage.put("heads/t/0.json", b"2", "x", over="other")
    storage.put("heads/t/0.json", b"3", "x", over=token)
    found = storage.get("heads/t/0.json")
    assert found is not None
    assert found.data == b"3"
    assert list(storage.names("heads/")) == ["heads/t/0.json"]


def test_lines_can_be_read_by_any_program(storage: FolderStorage) -> None:
    import gzip

    one = StoredRecord(
        topic="t", partition=1, offset=2, timestamp=3, key=b"k", value=b"\xff\x00", headers=[("h", b"1"), ("n", None)]
    )
    assert msgspec.json.decode(gzip.decompress(data_of(one))) == {
        "partition": 1,
        "offset": 2,
        "timestamp": 3,
        "key": "k",
        "value_base64": "/wA=",
        "headers": [{"name": "h", "value": "1"}, {"name": "n"}],
    }


@pytest.mark.parametrize("form", EXTENSIONS)
def test_what_an_open_object_takes_in_memory_is_told_with_its_headers_and_its_compressor(form: Format) -> None:
    # zlib allocates outside of Python; that it is counted at all is what can be seen from here.
    bare, full = encoder_of(form), encoder_of(form)
    assert bare.memory > 250_000
    tracemalloc.start()
    try:
        for offset in range(1_000):
            headers = [(f"ce_{number}", os.urandom(60)) for number in range(8)]
            full.add(msgspec.structs.replace(record(offset, None), headers=headers))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert full.memory - bare.memory > 0.8 * taken
