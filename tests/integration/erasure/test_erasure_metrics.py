"""What a worker of the role erasure says of itself, and what ingest counts."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable
from connectors.producers import EventProducer
from deploy.local.kafka import MemoryKafka
from schemas.erasures import ErasureStart, encode_erasure_record
from schemas.topics import Catalogue
from streams.erasure.machine import (
    STEPS,
    Answer,
    Answered,
    Came,
    Failed,
    begin,
)
from streams.erasure.metrics import HOLD_METRICS, METRICS, ErasureMetrics, HoldMetrics
from streams.erasure.worker import POLL_SECONDS_MOST, ErasureWorker
from streams.pages import LoopPages
from streams.runtime.metrics import PREFIX
from streams.runtime.web import listen
from tests.unit.erasure.going_well import WELL

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
START = ErasureStart(id="forget", user_id="ann", version=10, requested_at=NOON)
PATIENCE_SECONDS = 60


class StandIn:
    """Does the steps as it is told to, and publishes for real."""

    def __init__(self, connection: Connection, catalogue: Catalogue) -> None:
        self._connection, self._catalogue = connection, catalogue
        self.away = self.holding = True
        self.closed = False

    def step(self, erasure: Any) -> Came:
        if erasure.step == "delete" and self.away:
            return Failed("graph is away")
        if erasure.step == "ask" and self.holding:
            return Answered({store: Answer(asked=3, held=1) for store in erasure.stores})
        return WELL[erasure.step]

    def send(self, records: Any) -> None:
        with EventProducer(self._connection, self._catalogue, source="/tests") as producer:
            for topic, key, value in records:
                producer.publish_raw(topic, key, value)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cluster() -> Iterator[tuple[Connection, Catalogue]]:
    kafka = MemoryKafka()
    kafka.start()
    try:
        yield Connection(bootstrap=kafka.bootstrap), Catalogue(partitions=MemoryKafka.partitions)
    finally:
        kafka.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)  # between two looks; nothing tells when it comes true


@contextmanager
def serving(worker: ErasureWorker, registry: CollectorRegistry, now: Any = time.monotonic) -> Generator[Any]:
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]

    def get(page: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    with LoopPages(listener, worker, registry, POLL_SECONDS_MOST, now):
        yield get


def test_a_worker_shows_what_is_open_what_failed_what_waits_and_that_it_is_over(
    cluster: tuple[Connection, Catalogue],
) -> None:
    connection, catalogue = cluster
    eraser: Any = StandIn(connection, catalogue)
    registry, stop = CollectorRegistry(), threading.Event()
    worker = ErasureWorker(connection, catalogue, "erasures", eraser, metrics=ErasureMetrics(registry))
    start = encode_erasure_record(START)
    eraser.send([(catalogue.erasure_starts.name, b"ann", start), (catalogue.erasure_log.name, b"nobody", None)])

    def value(name: str, **labels: str) -> float:
        return registry.get_sample_value(PREFIX + name, labels) or 0

    running = threading.Thread(target=worker.run, args=(stop,))
    with serving(worker, registry) as get:
        assert get("/ready")[0] == 503
        running.start()
        try:
            wait_for(lambda: value("erasure_steps_total", step="delete", outcome="failed") >= 1)
            wait_for(lambda: value("erasures_open", step="delete") == 1)
            assert value("erasures_oldest_seconds") == pytest.approx(time.time() - NOON.timestamp(), abs=60)
            assert (get("/live")[0], get("/ready")[0]) == (200, 200)
            eraser.away = False
            wait_for(lambda: value("erasure_steps_total", step="ask", outcome="waits") >= 1)
            assert value("erasure_deletes_total", store="graph") == 2
            eraser.holding = False
            wait_for(lambda: value("erasures_over_total") == 1)
            wait_for(lambda: registry.get_sample_value(f"{PREFIX}erasures_oldest_seconds") is None)
            assert sum(value("erasures_open", step=step) for step in STEPS) == 0
            told = get("/metrics")[1]
            assert {one.full_name for one in METRICS if f"# HELP {one.full_name.removesuffix('_total')}" in told} == {
                one.full_name for one in METRICS
            }
        finally:
            stop.set()
            running.join(PATIENCE_SECONDS)
        assert eraser.closed
        assert get("/ready")[0] == 503
    done = {step: value("erasure_steps_total", step=step, outcome="done") for step in STEPS[:-1]}
    assert done == dict.fromkeys(STEPS[:-1], 1)
    assert value("erasure_step_seconds_count", step="purge") == 1


class NotAllowed:
    """Stands for events that may not be deleted where they came in."""

    every_seconds = 0.0

    def __init__(self) -> None:
        self.asked = 0

    def delete(self, now_ms: int) -> None:
        self.asked += 1
        raise KafkaUnavailable("no right to DELETE")


def test_erasures_go_on_while_events_that_came_plain_cannot_be_deleted(cluster: tuple[Connection, Catalogue]) -> None:
    connection, catalogue = cluster
    eraser: Any = StandIn(connection, catalogue)
    eraser.away = eraser.holding = False
    plain: Any = NotAllowed()
    registry, stop = CollectorRegistry(), threading.Event()
    worker = ErasureWorker(connection, catalogue, "erasures", eraser, metrics=ErasureMetrics(registry), plain=plain)
    eraser.send([(catalogue.erasure_starts.name, b"ann", encode_erasure_record(START))])
    running = threading.Thread(target=worker.run, args=(stop,))
    running.start()
    try:
        done = {"step": "release", "outcome": "done"}
        wait_for(lambda: registry.get_sample_value(f"{PREFIX}erasure_steps_total", done) == 1)
    finally:
        stop.set()
        running.join(PATIENCE_SECONDS)
    assert plain.asked > 0


def test_a_worker_of_the_role_whose_loop_does_not_turn_is_not_live() -> None:
    eraser: Any = StandIn(Connection(bootstrap="127.0.0.1:1"), Catalogue())
    worker = ErasureWorker(Connection(bootstrap="127.0.0.1:1"), Catalogue(), "erasures", eraser)
    clock = [worker.turned_at + POLL_SECONDS_MOST - 1]
    with serving(worker, CollectorRegistry(), lambda: clock[0]) as get:
        assert get("/live")[0] == 200
        clock[0] += 2
        assert get("/live")[0] == 503


def test_the_oldest_is_as_old_as_its_request_and_those_that_are_over_are_not_open() -> None:
    registry, clock = CollectorRegistry(), [NOON.timestamp() + 100]
    metrics = ErasureMetrics(registry, now=lambda: clock[0])
    young = structs.replace(begin(START, NOON), step="ask", requested_at=datetime(2026, 5, 1, 12, 1, tzinfo=UTC))
    metrics.shows([young, begin(START, NOON), structs.replace(begin(START, NOON), step="over")])
    clock[0] += 20
    assert registry.get_sample_value(f"{PREFIX}erasures_oldest_seconds") == 120
    steps = {step: registry.get_sample_value(f"{PREFIX}erasures_open", {"step": step}) for step in ("delete", "ask")}
    assert steps == {"delete": 1, "ask": 1}
    assert registry.get_sample_value(f"{PREFIX}erasures_open", {"step": "over"}) is None


def test_what_is_held_back_is_counted_by_what_became_of_it() -> None:
    registry = CollectorRegistry()
    metrics = HoldMetrics(registry)
    metrics.sieved("events", "held", 2)
    metrics.sieved("rows", "refused", 0)
    metrics.shows({"events": 2, "rows": 0})
    labels = {"what": "events", "outcome": "held"}
    assert registry.get_sample_value(f"{PREFIX}erasure_held_back_total", labels) == 2
    assert registry.get_sample_value(f"{PREFIX}erasure_held", {"what": "events"}) == 2
    assert {family.name for family in registry.collect()} == {
        metric.full_name.removesuffix("_total") for metric in HOLD_METRICS
    }
