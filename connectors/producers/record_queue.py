"""Records to the brokers through librdkafka: accepted or not at once, acknowledged or failed later.

Nothing here waits for room: how to wait (a thread blocks, a coroutine awaits) is the difference between the two
producers that share this queue.
"""

import itertools
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from functools import partial

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec import Struct

from connectors.kafka.connection import Connection
from connectors.producers.errors import (
    DeliveryFailed,
    Failure,
    NotOpen,
    RawRecord,
    Refused,
    TopicMissing,
    Unreachable,
)
from connectors.producers.records import HeaderList, Record
from schemas.events import AnyEvent, decode_any_event

log = structlog.get_logger(__name__)

SLICE_SECONDS = 0.1  # how long one call into librdkafka may block: signals and deadlines are seen between two
WARN_SECONDS = 30.0  # between two warnings of one outage
SERVE_EVERY = 200  # accepted records between two looks at the delivery reports; their memory is then still in the cache


class QueueLimits(Struct, frozen=True, kw_only=True):
    """The bounds of a producer.

    Attributes:
        records: accepted records that are not acknowledged yet, at most.
        bytes: their keys and values together, at most; the same again for values that lie in the object store.
        linger_ms: how long a record waits for others to share its batch.
        delivery_seconds: after this a record that no broker acknowledged is given up on.
        failures: failed records that are kept for `flush`; with more, the next publish raises them.
    """

    records: int = 100_000
    bytes: int = 64 * 1024 * 1024
    linger_ms: float = 5
    delivery_seconds: float = 120
    failures: int = 10_000

    def __post_init__(self) -> None:
        allowed = {"records": 1, "bytes": 1024, "linger_ms": 0, "delivery_seconds": 0.001, "failures": 0}
        for name, least in allowed.items():
            if getattr(self, name) < least:
                raise ValueError(f"QueueLimits.{name} must be at least {least}, got {getattr(self, name)}")


class Delivered(Struct, frozen=True):
    """An acknowledged record and where it lies. `event` has the version it was sent with."""

    event: AnyEvent | RawRecord
    topic: str
    partition: int
    offset: int


class Counts(Struct, frozen=True):
    """Records so far: accepted, acknowledged by all in-sync replicas, given up on. The rest is on its way."""

    published: int
    acknowledged: int
    failed: int


DeliveryHook = Callable[[Delivered], None]
Report = Callable[[KafkaError | None, Message], None]


class RecordQueue:
    """A bounded queue in front of the brokers. May be used from several threads, except `open` and `close`.

    Reports are handled by `offer` (now and then), `serve`, `counts` and `drain`, in the thread that calls them;
    `on_delivery` is called there. What it raises comes out of that call.
    """

    def __init__(self, connection: Connection, limits: QueueLimits, on_delivery: DeliveryHook | None) -> None:
        self._connection = connection
        self._limits = limits
        self._on_delivery = on_delivery
        self._client: Producer | None = None
        self._lock = threading.RLock()  # a report may also be let go of by the garbage collector, while it is held
        # Counts accepted records without a lock: `next` of a counter is one step for all threads. Reading it is a step
        # too, so the readings are counted and taken off.
        self._ticket = itertools.count().__next__
        self._readings = 0
        self._failed = 0
        self._too_many_failures = False
        self._failures: list[Failure] = []
        self._held_bytes = 0  # of values that went to the object store, until librdkafka lets go of their records
        self._last_error = ""
        self._warned_at = -WARN_SECONDS
        self._report = self._on_report  # bound once, not for every record

    def open(self) -> None:
        """Create the client, which connects in the background. Harmless when open."""
        if self._client is not None:
            return
        limits = self._limits
        self._client = Producer(
            {
                **self._connection.producer(),
                "linger.ms": limits.linger_ms,
                "batch.num.messages": 10_000,
                "queue.buffering.max.messages": limits.records,
                "queue.buffering.max.kbytes": limits.bytes // 1024,
                "message.timeout.ms": round(limits.delivery_seconds * 1000),
                "reconnect.backoff.max.ms": 1_000,  # a broker that is back is used within a second, not after ten
                # Calling back for every record costs as much as encoding it. When nobody wants to see each, only the
                # failed ones are reported, and the acknowledged are what is left (see `counts`).
                "delivery.report.only.error": self._on_delivery is None,
                "log_level": 0,  # what librdkafka would print arrives in error_cb
                "error_cb": self._on_error,
            }
        )

    def close(self, timeout: float = 5) -> None:
        """Give up what is still queued, which makes it failures, and let go of the client. Harmless when closed."""
        client = self._client
        if client is not None and len(client):
            client.purge()
            client.flush(timeout)
        self._client = None

    def check(self, topics: Iterable[str], timeout: float) -> None:
        """Ask the brokers for these topics.

        Raises:
            Unreachable: no broker answered within `timeout` seconds.
            TopicMissing: names the topics that do not exist.
        """
        client = self._opened()
        missing: list[str] = []
        for topic in topics:
            try:
                found = client.list_topics(topic, timeout=timeout).topics[topic]
            except KafkaException as error:
                client.poll(0)  # brings the error of the connection, which says more than "transport failure"
                reason = self._last_error or error.args[0].str()
                raise Unreachable(f"no Kafka broker answers at {self._connection.bootstrap}: {reason}") from error
            if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                missing.append(topic)
        if missing:
            raise TopicMissing(f"Kafka at {self._connection.bootstrap} has no topic {', '.join(missing)}")

    def offer(self, record: Record, report: Report | None = None) -> bool:
        """Accept a record, or return False when there is no room.

        Args:
            record: the record of an event, unless `report` is given.
            report: called instead of our own when the record was acknowledged or failed.

        Raises:
            Refused: it will never be accepted.
            DeliveryFailed: too many earlier records have failed; this one was not accepted.
        """
        client = self._client
        if client is None:
            raise _not_open()
        if self._too_many_failures:
            self.raise_failures()
        topic, key, value, headers = record
        try:
            # By position (partition, callback, on_delivery, timestamp, headers): naming them costs a third of the call.
            client.produce(topic, value, key, -1, report or self._report, None, 0, headers)
        except BufferError:
            return False
        except KafkaException as error:
            raise Refused(f"Kafka's client refuses a record for {topic}: {error.args[0].str()}") from error
        if not self._ticket() % SERVE_EVERY:
            client.poll(0)
        return True

    def offer_raw(self, record: RawRecord) -> bool:
        """Accept bytes as they are; otherwise as `offer`."""
        headers: HeaderList = [*record.headers]
        return self.offer((record.topic, record.key, record.value, headers), partial(self._on_report, raw=record))

    def offer_for(self, record: Record, data: bytes) -> bool:
        """Accept a record that carries a claim to an event's value, `data`; otherwise as `offer`.

        The value is held until the record was acknowledged or failed, to tell the event; one always has room.
        """
        with self._lock:
            if self._held_bytes and self._held_bytes + len(data) > self._limits.bytes:
                return False
            self._held_bytes += len(data)
        report = partial(self._on_report, data=data)
        # Not in the report itself: of acknowledged records there is none when nobody wants to see each.
        weakref.finalize(report, self._let_go, len(data)).atexit = False
        return self.offer(record, report)

    def serve(self, timeout: float) -> None:
        """Handle the delivery reports that are there, or wait up to `timeout` seconds for one."""
        self._opened().poll(timeout)

    def drain(self, timeout: float) -> int:
        """Send what is queued without lingering, for at most `timeout` seconds; return how many are left."""
        return self._client.flush(timeout) if self._client is not None else 0

    def counts(self) -> Counts:
        """Return the counters, after the reports that are there.

        `acknowledged` is never ahead of the brokers, and exact when nothing is on its way.
        """
        client = self._client
        if client is not None:
            client.poll(0)
        # Read in this order, a record that moves on between two of the readings counts as on its way.
        with self._lock:
            published = self._ticket() - self._readings
            self._readings += 1
        pending = len(client) if client is not None else 0
        failed = self._failed
        return Counts(published, max(0, published - pending - failed), failed)

    def raise_failures(self) -> None:
        """Raise DeliveryFailed with the failures that nobody has seen yet; return when there are none."""
        with self._lock:
            failures, self._failures = self._failures, []
            self._too_many_failures = False
        if failures:
            raise DeliveryFailed(failures)

    def keep(self, failures: Iterable[Failure]) -> None:
        """Put failures back that were raised where nobody could see them."""
        with self._lock:
            self._failures[:0] = failures
            self._too_many_failures = len(self._failures) > self._limits.failures

    def _opened(self) -> Producer:
        if self._client is None:
            raise _not_open()
        return self._client

    def _let_go(self, size: int) -> None:
        with self._lock:
            self._held_bytes -= size

    def _on_report(
        self, error: KafkaError | None, message: Message, raw: RawRecord | None = None, data: bytes | None = None
    ) -> None:
        # One function for all events: what was sent is in the message, so no closure keeps each event alive.
        event = raw or decode_any_event(data or message.value() or b"")
        if error is not None:
            with self._lock:
                self._failed += 1
                self._failures.append(Failure(event, error.str()))
                self._too_many_failures = len(self._failures) > self._limits.failures
        elif self._on_delivery is not None:
            home = message.topic(), message.partition(), message.offset()
            self._on_delivery(Delivered(event, *home))  # pyright: ignore[reportArgumentType] - set on success

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            log.error("kafka_producer_failed", bootstrap=self._connection.bootstrap, reason=error.str())
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            now = time.monotonic()
            if now - self._warned_at >= WARN_SECONDS:  # it comes with every attempt to connect
                self._warned_at = now
                reason = self._last_error or error.str()
                log.warning("kafka_brokers_down", bootstrap=self._connection.bootstrap, reason=reason)
            return
        self._last_error = error.str()


def _not_open() -> NotOpen:
    return NotOpen("the producer is not open: use it as a context manager, or call open()")
