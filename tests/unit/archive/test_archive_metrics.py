"""What a worker of the archive says of itself."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from confluent_kafka import Producer
from msgspec import structs
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord
from connectors.sinks.errors import Unavailable
from connectors.storage.folder import FolderStorage
from deploy.local.kafka import MemoryKafka
from streams.archive import Archiver, Plan
from streams.archive.collecting import Bounds
from streams.archive.lane import Lane
from streams.archive.metrics import METRICS, ArchiveMetrics, LaneSample
from streams.archive.pages import ArchivePages
from streams.runtime.metrics import PREFIX
from streams.runtime.web import listen

BOUNDS = Bounds(records=100, bytes=10**7, seconds=3_600)
PLAN = Plan(include=("t",), exclude=(), form="jsonl", bounds=BOUNDS, memory_bytes=10**8)


def sample(**changes: float | None) -> LaneSample:
    return structs.replace(
        LaneSample(topic="t", partition=0, lag=7, records=5, bytes=900, opened=90.0, lost=0), **changes
    )


def test_the_gauges_show_the_last_sample_and_the_age_of_what_is_open_as_of_now() -> None:
    registry, clock = CollectorRegistry(), [100.0]
    metrics = ArchiveMetrics(registry, now=lambda: clock[0])
    metrics.shows([sample(), sample(partition=1, lag=None, opened=None)], left_out=2)
    clock[0] = 130.0

    def value(name: str, partition: str) -> float | None:
        return registry.get_sample_value(f"{PREFIX}archive_{name}", {"topic": "t", "partition": partition})

    assert (value("lag_records", "0"), value("open_records", "0"), value("open_seconds", "0")) == (7, 5, 40)
    assert value("lag_records", "1") is None  # Kafka has not said where it ends
    assert value("open_seconds", "1") is None
    assert registry.get_sample_value(f"{PREFIX}archive_partitions_left_out") == 2


def test_a_lane_tells_its_lag_what_it_collected_and_what_was_lost(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.open()
    lane = Lane(storage, "t", 0, "jsonl")
    lane.start(lambda: (0, 10), lambda: -1)
    assert lane.sample(10) == sample(lag=10, records=0, bytes=0, opened=None)
    lane.add(StoredRecord(topic="t", partition=0, offset=0, timestamp=0, key=None, value=b"v"), now=5.0)
    told = lane.sample(None)
    assert (told.lag, told.records, told.opened) == (None, 1, 5.0)
    lane.close("stop", 6.0)
    assert lane.sample(10) == sample(lag=9, records=0, bytes=0, opened=None)
    late = Lane(storage, "t", 0, "jsonl")
    late.start(lambda: (4, 10), lambda: -1)
    assert late.sample(10).lost == 3


class Away(FolderStorage):
    """A folder that may be away."""

    away = False

    def open(self) -> None:
        if self.away:
            raise Unavailable("away")
        super().open()


class Running:
    """An archiver with its pages."""

    def __init__(self, kafka: Connection, storage: FolderStorage) -> None:
        self._stop = threading.Event()
        registry = CollectorRegistry()
        archiver = Archiver(kafka, "group", storage, PLAN, ArchiveMetrics(registry))
        listener = listen("127.0.0.1", 0)
        self._port = listener.getsockname()[1]
        self._pages = ArchivePages(listener, archiver, registry)
        self._thread = threading.Thread(target=archiver.run, args=(self._stop,))

    def __enter__(self) -> "Running":
        self._pages.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._pages.__exit__()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def get(self, page: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over the labels that are not given; 0 when it is not there."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        wanted = f"{PREFIX}archive_{name}"
        return sum(
            one.value
            for family in families
            for one in family.samples
            if one.name == wanted and labels.items() <= one.labels.items()
        )


@pytest.fixture
def kafka() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    try:
        yield Connection(bootstrap=cluster.bootstrap)
    finally:
        cluster.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)  # between two looks; nothing tells when it comes true


def test_a_worker_counts_objects_records_and_bytes_and_shows_what_is_open(kafka: Connection, tmp_path: Path) -> None:
    producer = Producer({**kafka.producer(), "enable.idempotence": False})
    for number in range(250):
        producer.produce("t", b"%d" % number, partition=0)
    assert producer.flush(30) == 0
    storage = FolderStorage(tmp_path)
    with Running(kafka, storage) as worker:
        wait_for(lambda: worker.value("open_records", topic="t") == 50)
        assert worker.value("objects_total", topic="t", reason="records") == 2
        assert worker.value("records_total", topic="t") == 200
        assert worker.value("lag_records", topic="t", partition="0") == 50
        assert 0 < worker.value("open_seconds", topic="t") < 60
        assert worker.value("open_bytes", topic="t") > 0
        assert worker.get("/live")[0] == 200
        assert json.loads(worker.get("/ready")[1]) == {"state": "reading"}
        named = {family.name for family in text_string_to_metric_families(worker.get("/metrics")[1])}
        assert {metric.full_name.removesuffix("_total") for metric in METRICS} <= named
        worker.stop()
        assert worker.value("objects_total", reason="stop") == 1
        written = sum(file.stat().st_size for file in tmp_path.rglob("*.jsonl.gz"))
        assert worker.value("bytes_total", topic="t") == written
        assert worker.value("write_seconds_count") == 3


def test_a_store_that_is_away_is_counted_and_the_worker_is_live_but_not_ready(
    kafka: Connection, tmp_path: Path
) -> None:
    storage = Away(tmp_path)
    storage.away = True
    with Running(kafka, storage) as worker:
        wait_for(lambda: worker.value("failures_total", error="Unavailable") >= 1)
        assert (worker.get("/live")[0], worker.get("/ready")[0]) == (200, 503)
        storage.away = False
        wait_for(lambda: worker.get("/ready")[0] == 200)


def test_an_archiver_whose_loop_does_not_turn_is_not_live(tmp_path: Path) -> None:
    archiver = Archiver(Connection(bootstrap="127.0.0.1:1"), "group", FolderStorage(tmp_path), PLAN, now=lambda: 1_000)
    listener = listen("127.0.0.1", 0)
    clock = [1_599.0]
    with ArchivePages(listener, archiver, CollectorRegistry(), now=lambda: clock[0]):
        connection = HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)

        def live() -> int:
            connection.request("GET", "/live")
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert live() == 200
        clock[0] = 1_601.0
        connection = HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=10)
        assert live() == 503
        connection.close()
