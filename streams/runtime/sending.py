# pyright: reportPrivateUsage=false
"""librdkafka's producer in an event loop: room in its queue, its delivery reports, its end.

librdkafka sends from threads of its own that need no GIL. Only its delivery reports call Python, and they do so in the
event loop: a timer asks for all that have arrived. A thread that waits for them would take the GIL for each report,
against a loop that is busy (measured: 2,000 records then took up to seconds), and could wake no waiter any sooner.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka.connection import ClientConfig, Connection
from connectors.kafka.errors import error_of
from connectors.kafka.watermarks import partitions_of

log = structlog.get_logger(__name__)

OnDelivery = Callable[[KafkaError | None, Message], None]

ANY_PARTITION = -1  # librdkafka's RD_KAFKA_PARTITION_UA: the partitioner decides
# How often reports are asked for: while they come, while none has come for a while (the brokers are slow or away), and
# when nothing is on its way, for errors of the client itself.
REPORTS_SECONDS = 0.001
SLOW_SECONDS = 0.01
IDLE_SECONDS = 1.0
QUIET_POLLS = 100
GIVE_UP_SECONDS = 1.0
# What librdkafka or a broker says of the record itself, not of the state of the cluster.
PERMANENT = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.RECORD_LIST_TOO_LARGE})


class TryAgain(RuntimeError):  # noqa: N818 - says what to do
    """Something that processing needs is away; the batch is processed again later.

    Nothing is wrong with its records.
    """


class PublishFailed(TryAgain):
    """Some records were not acknowledged; which ones cannot be known, so all of the batch are to be sent again."""

    code: int | None = None  # of `KafkaError`


class Unpublishable(RuntimeError):  # noqa: N818
    """The brokers will never take one of the records (too large, for one); sending it again cannot help."""

    code: int | None = None  # of `KafkaError`


def failure_of(error: KafkaError, topic: str | None) -> PublishFailed | Unpublishable:
    """Return what a failed delivery means to whoever sent the record."""
    kind = Unpublishable if error.code() in PERMANENT else PublishFailed
    failure = kind(f"Kafka did not take a record for {topic}: {error.str()}")
    failure.code = error.code()
    return failure


def producer_config(connection: Connection, *, linger_ms: float, queue_records: int) -> ClientConfig:
    """Return librdkafka's configuration: what is queued is bounded in bytes, and waits for brokers for ever."""
    return {
        **connection.producer(),
        "linger.ms": linger_ms,
        "batch.num.messages": 10_000,
        "queue.buffering.max.messages": queue_records,
        "queue.buffering.max.kbytes": 131_072,
        "delivery.timeout.ms": 0,
        "log_level": 3,
    }


class Sendable(Protocol):
    """A record to send."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102
    @property
    def partition(self) -> int | None: ...  # noqa: D102


class Sender:
    """One idempotent producer for everything that a process sends. Used from one event loop only.

    Every record that was taken is reported exactly once, also when the producer is stopped or has to be replaced.

    Args:
        config: librdkafka's.
        open_producer: makes the producer.
    """

    def __init__(self, config: ClientConfig, *, open_producer: Callable[[ClientConfig], Producer] = Producer) -> None:
        self._config = config
        self._open = open_producer
        self._producer: Producer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle = True
        self._quiet = 0  # how often in a row there was no report
        self._reported = asyncio.Event()
        self._turn = asyncio.Lock()  # whoever waits for room is served in the order of asking

    @property
    def started(self) -> bool:
        """Whether records can be sent."""
        return self._producer is not None

    @property
    def unreported(self) -> int:
        """Number of records that are queued or sent, and not reported yet."""
        return 0 if self._producer is None else len(self._producer)

    def start(self) -> None:
        """Create the producer; called in the event loop that sends. Twice is harmless."""
        if self._producer is None:
            self._producer = self._open(self._config)
            self._idle = True
            self._ask_in(IDLE_SECONDS)

    async def stop(self, timeout: float) -> int:
        """Send what is queued, for at most `timeout` seconds; report the rest as failed and return its number."""
        producer = self._producer
        if producer is None:
            return 0
        self._ask_soon()
        try:
            async with asyncio.timeout(timeout):
                while len(producer):
                    await self._report()
        except TimeoutError:
            log.debug("not_all_sent_in_time", seconds=timeout)
        left, self._producer = len(producer), None
        if self._timer is not None:
            self._timer.cancel()
        _give_up(producer)
        self._reported.set()
        return left

    def offer(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        on_delivery: OnDelivery,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp_ms: int = 0,
    ) -> bool:
        """Queue a record; False when there is no room, or others wait for it. Then `send` does.

        Args:
            topic: where to.
            key: of the record; it decides the partition where `partition` does not.
            value: of the record; None is a tombstone.
            on_delivery: called in the event loop, once: with the error or None, and with the record as it was written.
            partition: where to.
            headers: of the record.
            timestamp_ms: of the record; 0 is now.

        Raises:
            PublishFailed: it is not queued; sending it again later may help.
            Unpublishable: it is not queued; sending it again cannot help.
        """
        if self._turn.locked():
            return False
        return self._queue(topic, key, value, on_delivery, partition, headers, timestamp_ms)

    def offer_all(self, records: Sequence[Sendable], on_delivery: OnDelivery) -> tuple[int, RuntimeError | None]:
        """Queue records in their order; return how many were, and the error that ended it where there was one.

        Without an error and with some left there is no room: then `send` waits for it. A call for each record would
        take half as long again.
        """
        producer = self._producer
        if producer is None or self._turn.locked():
            return 0, None
        produce, count = producer.produce, 0
        try:
            for one in records:
                partition = ANY_PARTITION if one.partition is None else one.partition
                if one.headers:
                    produce(one.topic, one.value, one.key, partition, on_delivery, headers=list(one.headers))
                else:
                    produce(one.topic, one.value, one.key, partition, on_delivery)
                count += 1
        except BufferError:
            log.debug("producer_queue_full", records=len(producer))
        except KafkaException as exception:
            return count, self._refused(records[count].topic, exception)
        if count and self._idle:
            self._ask_soon()
        return count, None

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        on_delivery: OnDelivery,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp_ms: int = 0,
    ) -> None:
        """Queue a record as soon as there is room; see `offer`."""
        async with self._turn:
            while not self._queue(topic, key, value, on_delivery, partition, headers, timestamp_ms):
                await self._report()

    def _queue(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        on_delivery: OnDelivery,
        partition: int | None,
        headers: Sequence[tuple[str, bytes | None]],
        timestamp_ms: int,
    ) -> bool:
        producer = self._producer
        if producer is None:
            raise PublishFailed(f"a record for {topic} was not sent: the publisher is not started, or stopped already")
        try:
            # One by one: produce_batch takes no headers, and with its dicts it is no faster (0.8 us a record).
            producer.produce(
                topic,
                value,
                key,
                ANY_PARTITION if partition is None else partition,
                on_delivery=on_delivery,
                headers=list(headers) if headers else None,
                timestamp=timestamp_ms,
            )
        except BufferError:
            log.debug("producer_queue_full", records=len(producer))
            return False
        except KafkaException as exception:
            raise self._refused(topic, exception) from exception
        if self._idle:
            self._ask_soon()
        return True

    def _refused(self, topic: str, exception: KafkaException) -> RuntimeError:
        error = error_of(exception)
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._replace(error)
        return failure_of(error, topic)

    def partitions(self, topic: str, *, timeout: float) -> int:
        """Ask the brokers how many partitions a topic has; blocks the caller.

        Raises:
            KafkaException: they do not answer in time.
            PublishFailed: the producer is not started.
        """
        if self._producer is None:
            raise PublishFailed(f"the partitions of {topic} are not known: the publisher is not started")
        return len(partitions_of(self._producer, topic, timeout=timeout))

    # -- delivery reports

    async def _report(self) -> None:
        """Return when there was a report since."""
        self._reported.clear()
        await self._reported.wait()

    def _ask_soon(self) -> None:
        self._idle, self._quiet = False, 0
        self._ask_in(REPORTS_SECONDS)

    def _ask_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ask)

    def _ask(self) -> None:
        """Have every report that has arrived delivered, and ask again later."""
        producer = self._producer
        if producer is None:
            return
        reported = 0
        try:
            reported = producer.poll(0)
        except KafkaException as exception:  # librdkafka tells in this way that its session has ended
            self._replace(error_of(exception))
        finally:
            self._quiet = 0 if reported else self._quiet + 1
            self._idle = self.unreported == 0
            busy = REPORTS_SECONDS if self._quiet < QUIET_POLLS else SLOW_SECONDS
            self._ask_in(IDLE_SECONDS if self._idle else busy)
        if reported:
            self._reported.set()

    def _replace(self, error: KafkaError) -> None:
        """Go on with a new producer: the idempotent session of the old one has ended, and it takes nothing more."""
        log.error("producer_replaced", error=error.str(), unreported=self.unreported)
        ended, self._producer = self._producer, self._open(self._config)
        if ended is not None:
            _give_up(ended)
        self._reported.set()


def _give_up(producer: Producer) -> None:
    """Have everything that is not acknowledged reported as failed. That takes milliseconds, no broker is asked."""
    producer.purge()
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while len(producer) and time.monotonic() < deadline:
        try:
            producer.poll(REPORTS_SECONDS)
        except KafkaException as exception:  # that it has ended, once more
            log.debug("producer_ended", error=error_of(exception).str())
