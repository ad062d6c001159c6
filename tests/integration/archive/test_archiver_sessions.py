"""The archiver on librdkafka's in-memory cluster; kills, rebalances and transactions are tested on a real broker."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec import structs
from structlog.testing import capture_logs

from connectors.archive.errors import ArchiveError
from connectors.archive.formats import encoder_of
from connectors.archive.names import Name, head_path, named
from connectors.archive.reading import Wanted, check, read
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from deploy.local.kafka import MemoryKafka
from streams.archive import Archiver, Plan
from streams.archive.collecting import Bounds

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # each joins its group several times, some seconds each

PLAN = Plan(
    include=("t.*",),
    exclude=(),
    form="jsonl",
    bounds=Bounds(records=100, bytes=10**7, seconds=0.5),
    memory_bytes=10**8,
)


@pytest.fixture
def kafka() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    try:
        yield Connection(bootstrap=cluster.bootstrap)
    finally:
        cluster.stop()


def produce(kafka: Connection, topic: str, count: int, size: int = 0) -> None:
    producer = Producer({**kafka.producer(), "enable.idempotence": False})
    for number in range(count):
        producer.produce(topic, b"%d" % number + b"x" * size, b"key%d" % number)
    assert producer.flush(30) == 0


@contextmanager
def running(
    kafka: Connection, storage: FolderStorage, plan: Plan = PLAN, group: str = "group"
) -> Generator[list[BaseException]]:
    """Run an archiver; what it raised is in the list."""
    stop, raised = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            Archiver(kafka, group, storage, plan).run(stop)
        except ArchiveError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        stop.set()
        thread.join(30)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90  # a rebalance of the in-memory cluster alone may take half a minute
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def values(storage: FolderStorage, topic: str) -> list[bytes]:
    return sorted(record.value or b"" for record in read(storage, topic, Wanted()))


def left_out(logs: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    found = [log for log in logs if log["event"] == "archive_partition_left_out"]
    return sorted((log["topic"], log["partition"]) for log in found)


def numbers(count: int) -> list[bytes]:
    return sorted(b"%d" % number for number in range(count))


def test_what_a_run_has_not_come_to_the_next_one_archives(kafka: Connection, tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    produce(kafka, "t1", 1_000)
    patient = structs.replace(PLAN, bounds=Bounds(records=100, bytes=10**7, seconds=3_600))
    with running(kafka, storage, patient):
        wait_for(lambda: len(values(storage, "t1")) > 0)
    with running(kafka, storage):
        wait_for(lambda: values(storage, "t1") == numbers(1_000))
    assert all(found.whole for found in check(storage, "t1", content=True))


def test_what_was_archived_before_is_committed_although_nothing_new_comes(kafka: Connection, tmp_path: Path) -> None:
    """An owner that was killed after it had written, or whose commit came into a rebalance, has told nobody."""
    storage = FolderStorage(tmp_path)
    produce(kafka, "t1", 1_000)
    with running(kafka, storage):
        wait_for(lambda: values(storage, "t1") == numbers(1_000))
    consumer = Consumer(kafka.consumer("other"))
    try:
        homes = [TopicPartition("t1", number) for number in consumer.list_topics("t1").topics["t1"].partitions]
        with running(kafka, storage, group="other"):
            wait_for(lambda: sum(max(one.offset, 0) for one in consumer.committed(homes, timeout=10)) == 1_000)
    finally:
        consumer.close()


def test_what_a_lifecycle_rule_removed_is_not_archived_again(kafka: Connection, tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    produce(kafka, "t1", 50)
    with running(kafka, storage):
        wait_for(lambda: values(storage, "t1") == numbers(50))
    storage.remove(list(storage.names("topics/")))
    with running(kafka, storage):
        produce(kafka, "t1", 10)
        wait_for(lambda: len(values(storage, "t1")) >= 10)
    assert values(storage, "t1") == numbers(10)


def test_a_topic_that_appears_later_is_archived_too(
    kafka: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.archive.archiver.TOPICS_SECONDS", 0.2)
    storage = FolderStorage(tmp_path)
    with running(kafka, storage):
        produce(kafka, "t1", 10)
        wait_for(lambda: values(storage, "t1") == numbers(10))
        produce(kafka, "t2", 10)
        wait_for(lambda: values(storage, "t2") == numbers(10))


def test_while_the_store_is_away_nothing_is_lost(
    kafka: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.archive.partition._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("streams.archive.archiver.FIRST_PAUSE_SECONDS", 0.05)

    class Away(FolderStorage):
        away = threading.Event()

        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            if self.away.is_set():
                raise Unavailable("away")
            return super().put(path, data, content_type, over)

        def open(self) -> None:
            if self.away.is_set() and self.folder.exists():
                self.tried.set()
            super().open()

        tried = threading.Event()

    storage = Away(tmp_path / "archive")
    with running(kafka, storage):
        produce(kafka, "t1", 500)
        wait_for(lambda: len(values(storage, "t1")) > 0)
        storage.away.set()
        produce(kafka, "t1", 500)
        wait_for(storage.tried.is_set)  # a session has ended for it, and the next began
        storage.away.clear()
        wait_for(lambda: len(values(storage, "t1")) == 1_000)
    assert values(storage, "t1") == sorted(2 * numbers(500))
    assert all(found.whole for found in check(storage, "t1", content=True))


def test_the_largest_object_is_complete_when_all_take_too_much_memory(kafka: Connection, tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    produce(kafka, "t1", 2_000, size=1_000)
    form = "parquet"  # so that bytes count as they are
    plan = structs.replace(
        PLAN, form=form, bounds=Bounds(records=10**6, bytes=10**9, seconds=3_600), memory_bytes=2_000_000
    )
    with running(kafka, storage, plan):
        wait_for(lambda: len(list(storage.names("topics/"))) > 0)
    with running(kafka, storage):
        wait_for(lambda: len(values(storage, "t1")) == 2_000)


def test_a_partition_with_other_records_under_a_name_is_left_out_and_the_others_go_on(
    kafka: Connection, tmp_path: Path
) -> None:
    storage = FolderStorage(tmp_path)
    storage.open()
    produce(kafka, "t1", 50)
    with running(kafka, storage):
        wait_for(lambda: len(values(storage, "t1")) == 50)
    name = named(storage.names("topics/"))[0]

    def ends() -> dict[int, int]:
        return {one.partition: one.last for one in named(storage.names("topics/"))}

    before = ends()
    assert len(before) > 1
    # As if the object had been decided on and something else had come under its name.
    head = {"first": name.first, "last": name.last, "day": name.day, "format": name.format}
    other = encoder_of("jsonl")
    other.add(StoredRecord(topic="t1", partition=name.partition, offset=name.first, timestamp=0, key=None, value=b"?"))
    object_there = other.finish()
    (storage.folder / name.path).unlink()
    (storage.folder / head_path("t1", name.partition)).write_bytes(msgspec.json.encode(head))

    class Late(FolderStorage):
        def exists(self, path: str) -> bool:
            found = super().exists(path)
            if path == name.path and not found:  # it comes between the look and the put
                super().put(path, object_there, "x")
            return found

    with (
        capture_logs() as logs,
        running(kafka, Late(tmp_path), group="other") as raised,  # which has committed nothing, as after a crash
    ):
        wait_for(lambda: bool(left_out(logs)))
        produce(kafka, "t1", 50)
        wait_for(lambda: all(ends()[partition] > before[partition] for partition in before.keys() - {name.partition}))
        assert raised == []
    assert left_out(logs) == [("t1", name.partition)]
    assert "other records" in str(raised[0])
    assert (storage.folder / name.path).read_bytes() == object_there
    assert ends()[name.partition] == name.last


def archived_further(storage: FolderStorage, topic: str) -> None:
    """Have the archive be that of an older namesake of the topic, which was longer."""
    for partition in range(MemoryKafka.partitions):
        head = b'{"first":0,"last":999,"day":"2026-01-04","format":"jsonl"}'
        storage.put(head_path(topic, partition), head, "x")
        storage.put(Name(topic, partition, "2026-01-04", 0, 999, "jsonl").path, b"", "x")


def test_a_partition_that_moved_away_counts_against_the_worker_that_has_it_only(
    kafka: Connection, tmp_path: Path
) -> None:
    storage = FolderStorage(tmp_path)
    storage.open()
    archived_further(storage, "t1")
    produce(kafka, "t1", 50)
    with capture_logs() as logs, ExitStack() as later:
        with running(kafka, storage) as first:
            wait_for(lambda: len(left_out(logs)) == 4)
            second = later.enter_context(running(kafka, storage))
            wait_for(lambda: len(left_out(logs)) == 6)
        assert "2 partitions are not archived" in str(first[0])
        wait_for(lambda: len(left_out(logs)) == 8)
    assert "4 partitions are not archived" in str(second[0])


def test_a_topic_that_was_made_anew_is_left_out_and_the_others_go_on(kafka: Connection, tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.open()
    archived_further(storage, "t1")
    produce(kafka, "t1", 50)
    produce(kafka, "t2", 50)
    with capture_logs() as logs, running(kafka, storage) as raised:
        wait_for(lambda: values(storage, "t2") == numbers(50))
        produce(kafka, "t1", 50)
        produce(kafka, "t2", 50)
        wait_for(lambda: len(values(storage, "t2")) == 100)
        assert raised == []
    assert left_out(logs) == [("t1", partition) for partition in range(MemoryKafka.partitions)]
    assert "archive.prefix" in str(raised[0])
