"""When objects are complete, and what one partition does with what it reads."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.archive.errors import ArchiveError
from connectors.archive.names import head_path
from connectors.archive.reading import Wanted, check, read
from connectors.kafka.reading import StoredRecord
from connectors.storage.folder import FolderStorage
from streams.archive.collecting import Bounds
from streams.archive.lane import Lane, largest_beyond
from streams.archive.plan import plan_of
from streams.settings import load

BOUNDS = Bounds(records=3, bytes=1_000_000, seconds=10)
JAN_5_MS = 1_767_571_200_000
DAY_MS = 86_400_000


def record(offset: int, timestamp: int = JAN_5_MS) -> StoredRecord:
    return StoredRecord(topic="t", partition=0, offset=offset, timestamp=timestamp, key=None, value=b"%d" % offset)


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    storage = FolderStorage(tmp_path)
    storage.open()
    return storage


@pytest.fixture
def lane(storage: FolderStorage) -> Lane:
    return Lane(storage, "t", 0, "jsonl")


def start(lane: Lane, edges: tuple[int, int], committed: int = -1) -> int:
    return lane.start(lambda: edges, lambda: committed)


def offsets(storage: FolderStorage) -> list[int]:
    return [one.offset for one in read(storage, "t", Wanted())]


def test_an_object_is_complete_by_records_and_by_time_also_when_nothing_comes(lane: Lane) -> None:
    start(lane, (0, 100))
    assert lane.complete(BOUNDS, 1_000) is None  # nothing to write
    lane.add(record(0), now=50)
    assert lane.complete(BOUNDS, 59.9) is None
    assert lane.complete(BOUNDS, 60) == "time"
    lane.add(record(1), now=55)
    lane.add(record(2), now=55)
    assert lane.complete(BOUNDS, 55) == "records"
    assert lane.complete(Bounds(records=9, bytes=1, seconds=99), 55) == "bytes"


def test_a_later_day_begins_another_object_and_a_late_record_does_not(lane: Lane) -> None:
    start(lane, (0, 100))
    lane.add(record(0), 0)
    assert lane.complete_before(record(1, JAN_5_MS - DAY_MS)) is None
    assert lane.complete_before(record(1, JAN_5_MS + DAY_MS)) == "day"


def test_objects_follow_each_other_without_a_gap_where_the_topic_has_one(lane: Lane, storage: FolderStorage) -> None:
    assert start(lane, (2, 100)) == 2
    for offset in (4, 6, 20):
        lane.add(record(offset), 0)
        written = lane.close("records", 0)
        assert written is not None
    (checked,) = check(storage, "t")
    assert checked.whole
    assert checked.coverage.span == (2, 20)
    assert start(lane, (0, 100)) == 21


def test_an_object_that_was_decided_on_keeps_its_boundaries(lane: Lane, storage: FolderStorage) -> None:
    head = b'{"first":0,"last":4,"day":"2026-01-04","format":"parquet"}'
    storage.put(head_path("t", 0), head, "x")
    assert start(lane, (0, 100)) == 0
    for offset in (0, 1, 2, 3):
        assert lane.complete_before(record(offset, JAN_5_MS + DAY_MS)) is None
        lane.add(record(offset), 0)
        assert lane.complete(BOUNDS, 1_000) is None
    assert lane.close("stop", 0) is None
    assert lane.close("memory", 0) is None
    assert not lane.complete_at(4)
    assert lane.complete_at(6)
    assert lane.complete_before(record(5)) == "pending"
    written = lane.close("pending", 0)
    assert written is not None
    assert written.name[2:] == ("2026-01-04", 0, 4, "parquet")
    assert offsets(storage) == [0, 1, 2, 3]
    assert lane.complete_before(record(5)) is None


def test_an_object_whose_records_are_all_gone_is_made_empty(lane: Lane, storage: FolderStorage) -> None:
    storage.put(head_path("t", 0), b'{"first":0,"last":4,"day":"2026-01-04","format":"jsonl"}', "x")
    start(lane, (0, 100))
    assert lane.complete_before(record(9)) == "pending"
    assert lane.close("pending", 0) is not None
    lane.add(record(9), 0)
    lane.close("stop", 0)
    assert offsets(storage) == [9]
    assert check(storage, "t", content=True)[0].whole


def test_records_that_the_topic_lost_first_are_a_gap_in_the_archive(lane: Lane, storage: FolderStorage) -> None:
    start(lane, (0, 100))
    lane.add(record(0), 0)
    lane.close("stop", 0)
    assert start(lane, (50, 100)) == 50
    lane.add(record(50), 0)
    lane.close("stop", 0)
    (checked,) = check(storage, "t")
    assert checked.coverage.gaps == ((1, 49),)


def test_an_object_that_was_removed_later_is_not_made_again(lane: Lane, storage: FolderStorage) -> None:
    start(lane, (0, 100))
    lane.add(record(4), 0)
    written = lane.close("time", 0)
    assert written is not None
    storage.remove([written.name.path])
    assert start(lane, (0, 100), committed=5) == 5
    lane.add(record(5), 0)
    lane.close("time", 0)
    assert offsets(storage) == [5]
    assert check(storage, "t")[0].coverage.span == (5, 5)


def test_records_that_kafka_forgot_after_they_were_archived_are_not_lost(lane: Lane, storage: FolderStorage) -> None:
    start(lane, (0, 100))
    lane.add(record(4), 0)
    written = lane.close("time", 0)
    assert written is not None
    storage.remove([written.name.path])
    with capture_logs() as logs:
        assert start(lane, (5, 5), committed=5) == 5
    assert logs == []


def test_an_object_that_was_never_written_is_made_whatever_was_committed_before_it(
    lane: Lane, storage: FolderStorage
) -> None:
    storage.put(head_path("t", 0), b'{"first":5,"last":9,"day":"2026-01-04","format":"jsonl"}', "x")
    assert start(lane, (0, 100), committed=5) == 5
    assert lane.complete_at(10)


def test_a_topic_that_was_made_anew_is_refused(lane: Lane) -> None:
    start(lane, (0, 100))
    lane.add(record(40), 0)
    lane.close("stop", 0)
    with pytest.raises(ArchiveError, match=r"archive\.prefix"):
        start(lane, (0, 10))


def test_memory_is_made_by_the_largest_objects_that_may_end(storage: FolderStorage) -> None:
    lanes = [Lane(storage, "t", partition, "parquet") for partition in range(4)]
    storage.put(head_path("t", 3), b'{"first":0,"last":9,"day":"2026-01-04","format":"parquet"}', "x")
    for lane, records in zip(lanes, (0, 1, 100, 200), strict=True):
        start(lane, (0, 1_000))
        for offset in range(records):
            lane.add(record(offset), 0)
    empty, small, large, decided = lanes
    everything = sum(lane.memory for lane in lanes)
    assert empty.memory == 0
    assert decided.memory > large.memory > small.memory > 0
    assert largest_beyond(everything, lanes) == []
    assert largest_beyond(everything - 1, lanes) == [large]
    assert largest_beyond(everything - large.memory - 1, lanes) == [large, small]
    assert largest_beyond(0, lanes) == [large, small]


def test_by_default_events_and_changes_are_archived() -> None:
    there = ["user-events", "gps-events", "cdc.travel.public.users", "cdc.travel-signal", "receipts", "__internal"]
    plan = plan_of(load(environ={}).options)
    assert plan.topics(there) == ["cdc.travel.public.users", "gps-events", "user-events"]


def test_what_is_only_claimed_is_archived_where_conflicts_are_settled() -> None:
    settled = load(environ={}, overrides={"conflicts.types.place.strategy": "merge"}).options
    there = ["claims", "conflicts", "user-events", "writes.search"]
    assert plan_of(settled).topics(there) == ["claims", "user-events"]
    assert plan_of(load(environ={}).options).topics(there) == ["user-events"]


def test_expressions_say_which_topics_are_archived() -> None:
    options = load(environ={"TRAVELOS_ARCHIVE_INCLUDE": ".*", "TRAVELOS_ARCHIVE_EXCLUDE": "gps-.*"}).options
    assert plan_of(options).topics(["gps-events", "receipts", "__internal"]) == ["receipts"]
