"""From the call that produces an event to its writes being read, at a steady rate, by one process with one clock."""

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
from confluent_kafka import Consumer
from msgspec import Struct

from bench.runtime.broker import Broker
from bench.runtime.mix import Mix, publish_reference
from bench.runtime.timeline import Span, percentile, span
from bench.runtime.workers import MeasurementFailed, Worker, wait_until
from connectors.kafka.admin import ensure_topics
from connectors.producers import EventProducer
from schemas.events import Event
from schemas.topics import Catalogue

PREFIX = "latency."
PER_SECOND = 1_000
WARM_UP_SECONDS = 10.0
REST_SECONDS = 90.0  # what is not read so long after the last event is missing


class WriteOf(Struct):
    """A write, as far as it says which event it comes from."""

    event_id: str


_write_of = msgspec.json.Decoder(WriteOf).decode


class Delays(Struct, frozen=True):
    """The delays of all writes in milliseconds, and what the worker did meanwhile."""

    events: int
    milliseconds: list[float]
    span: Span
    profile: Mapping[str, Any] | None

    def told(self) -> dict[str, float]:
        """Return what is to be said of them."""
        return {
            "events": self.events,
            "writes": len(self.milliseconds),
            "p50_ms": percentile(self.milliseconds, 0.5),
            "p90_ms": percentile(self.milliseconds, 0.9),
            "p99_ms": percentile(self.milliseconds, 0.99),
            "most_ms": max(self.milliseconds),
            "worker_cores": self.span.cpu / self.span.seconds,
            "events_of_a_run": self.span.done / self.span.runs,
        }


def measure(broker: Broker, folder: Path, given: Mix, *, seconds: float, profile: bool = False) -> Delays:
    """Return the delays of the writes of all events after a warm-up.

    Raises:
        MeasurementFailed: an event had no write, or the events did not go out at their rate.
    """
    catalogue = Catalogue(prefix=PREFIX)
    ensure_topics(broker.connection, catalogue)
    publish_reference(broker, catalogue, given)
    home = folder / "latency"
    arguments = {"bootstrap": broker.bootstrap, "prefix": PREFIX, "folder": home, "profile": int(profile)}
    worker = Worker("latency", "ingest", arguments, home)
    try:
        wait_until(lambda: bool(worker.samples()), [worker])
        with _Reader(broker, catalogue) as reader:
            with EventProducer(broker.connection, catalogue, source="/bench") as producer:
                sent = _send(producer, given, round((WARM_UP_SECONDS + seconds) * PER_SECOND))
            reader.wait_for(set(sent), REST_SECONDS)
    finally:
        worker.stop()
    did, seen = span([worker.samples()]), worker.profile()
    broker.delete(PREFIX)
    shutil.rmtree(home)
    first = min(sent.values()) + WARM_UP_SECONDS
    delays = [(at - sent[event]) * 1_000 for event, at in reader.seen if event in sent and sent[event] >= first]
    return Delays(sum(at >= first for at in sent.values()), delays, did, seen)


def _send(producer: EventProducer, given: Mix, count: int) -> dict[str, float]:
    """Produce events at their rate; return when each was."""
    sent: dict[str, float] = {}
    began = time.monotonic()
    for number, event in zip(range(count), _mixed(given), strict=False):
        due = began + number / PER_SECOND
        if (left := due - time.monotonic()) > 0:
            producer.serve()
            time.sleep(left)  # this is the pace
        elif left < -1.0:
            raise MeasurementFailed(f"events go out {-left:.1f} s late: this machine does not keep the pace")
        sent[event.event_id] = time.monotonic()
        producer.publish(event)
    return sent


def _mixed(given: Mix) -> Iterator[Event]:
    """Yield four fixes, then one other event, and so on."""
    fixes, events = given.fixes(), given.events()
    for event in events:
        for _, fix in zip(range(4), fixes, strict=False):
            yield fix
        yield event


class _Reader:
    """Reads all topics of writes in a thread, and notes when each write came."""

    def __init__(self, broker: Broker, catalogue: Catalogue) -> None:
        self.seen: list[tuple[str, float]] = []
        self._known: set[str] = set()
        self._consumer = Consumer({**broker.connection.consumer("latency"), "fetch.wait.max.ms": 100})
        self._consumer.subscribe([topic.name for topic, _, _ in catalogue.all_writes()])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def wait_for(self, events: set[str], seconds: float) -> None:
        """Return when each event was seen.

        Raises:
            MeasurementFailed: some were not in time.
        """
        deadline = time.monotonic() + seconds
        while missing := events - self._known:
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"{len(missing)} events have no writes, {min(missing)} for one")
            time.sleep(0.1)  # between two looks; the condition decides

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            at = time.monotonic()
            event = _write_of(message.value() or b"").event_id
            self.seen.append((event, at))
            self._known.add(event)
