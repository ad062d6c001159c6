"""Records out, through librdkafka: many at once, and one wait until all of them are on the brokers."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec import Struct

from connectors.kafka.connection import Connection

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
ANY_PARTITION = -1  # librdkafka's RD_KAFKA_PARTITION_UA: the partitioner decides


class Outgoing(Struct, frozen=True):
    """A record to publish. `partition` None leaves the choice to the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None


class TryAgain(RuntimeError):  # noqa: N818 - says what to do
    """Something that processing needs is away; the batch is processed again later.

    Nothing is wrong with its records.
    """


class PublishFailed(TryAgain):
    """Some records were not acknowledged; which ones cannot be known, so all of the batch are to be sent again."""


class Unpublishable(RuntimeError):  # noqa: N818
    """The brokers will never take one of the records (too large, for one); sending it again cannot help."""


# What librdkafka or a broker says of the record itself, not of the state of the cluster.
PERMANENT = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.RECORD_LIST_TOO_LARGE})


def _failure(error: KafkaError, topic: str | None) -> RuntimeError:
    kind = Unpublishable if error.code() in PERMANENT else PublishFailed
    return kind(f"Kafka did not take a record for {topic}: {error.str()}")


class _Batch:
    """Counts the delivery reports of one batch, in librdkafka's thread, and wakes its waiter in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._open = 0
        self._sealed = False
        self._error: RuntimeError | None = None
        self.done: asyncio.Future[None] = loop.create_future()
        self.last_offsets: dict[tuple[str, int], int] = {}

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._error = _failure(error, message.topic())
        else:
            home = (message.topic() or "", message.partition() or 0)
            self.last_offsets[home] = max(self.last_offsets.get(home, -1), message.offset() or 0)
        self._count(-1)

    def opened(self, count: int) -> None:
        with self._lock:
            self._open += count

    def seal(self) -> None:
        with self._lock:
            self._sealed = True
        self._count(0)

    def _count(self, change: int) -> None:
        with self._lock:
            self._open += change
            complete = self._sealed and self._open == 0
        if complete:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self.done.done():
            return
        if self._error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self._error)


class Publisher:
    """A producer for one event loop. Records of one key keep their order, across batches too.

    It waits for brokers that are away rather than giving up: back-pressure, not loss. `stop` bounds that wait.
    """

    def __init__(self, connection: Connection, *, linger_ms: float = 2) -> None:
        self._config = {
            **connection.producer(),
            "linger.ms": linger_ms,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 131_072,
            "delivery.timeout.ms": 0,
            "log_level": 3,
        }
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Create the producer and the thread that serves its delivery reports."""
        self._stopping.clear()
        self._producer = Producer(self._config)
        self._thread = threading.Thread(target=self._serve, args=(self._producer,), name="publisher", daemon=True)
        self._thread.start()

    async def stop(self, timeout: float = 10) -> None:
        """Send what is queued, for at most `timeout` seconds."""
        producer, self._producer = self._producer, None
        if producer is None or self._thread is None:
            return
        left = await asyncio.to_thread(producer.flush, timeout)
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)
        if left:
            log.warning("records_not_acknowledged_at_stop", records=left)

    async def publish(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], int]:
        """Send records and return once every one is acknowledged by all in-sync replicas.

        Returns:
            The highest offset written, by (topic, partition).

        Raises:
            PublishFailed: at least one was not acknowledged; all are to be sent again.
            Unpublishable: at least one will never be taken.
        """
        if not records:
            return {}
        producer = self._producer
        if producer is None:
            raise PublishFailed("the publisher is not started")
        batch = _Batch(asyncio.get_running_loop())
        try:
            await self._queue(producer, records, batch)
        except (PublishFailed, Unpublishable):
            # Whatever was queued before the error is still on its way; its reports must find somebody.
            batch.seal()
            await asyncio.wait([batch.done])
            batch.done.exception()
            raise
        batch.seal()
        await batch.done
        return batch.last_offsets

    async def _queue(self, producer: Producer, records: Sequence[Outgoing], batch: _Batch) -> None:
        plain: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for record in records:
            if record.headers:
                await self._produce(producer, record, batch)
            else:
                message = {"key": record.key, "value": record.value}
                home = (record.topic, record.partition if record.partition is not None else ANY_PARTITION)
                plain.setdefault(home, []).append(message)
        for (topic, partition), messages in plain.items():
            await self._produce_batch(producer, topic, partition, messages, batch)

    async def _produce(self, producer: Producer, record: Outgoing, batch: _Batch) -> None:
        while True:
            batch.opened(1)
            try:
                producer.produce(
                    record.topic,
                    record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition if record.partition is not None else ANY_PARTITION,
                    on_delivery=batch.on_delivery,
                )
            except BufferError:
                batch.opened(-1)
                await self._room(producer)
            except KafkaException as error:
                batch.opened(-1)
                raise _failure(error.args[0], record.topic) from error
            else:
                return

    async def _produce_batch(
        self, producer: Producer, topic: str, partition: int, messages: list[dict[str, Any]], batch: _Batch
    ) -> None:
        while messages:
            batch.opened(len(messages))
            queued = producer.produce_batch(topic, messages, partition=partition, on_delivery=batch.on_delivery)
            batch.opened(queued - len(messages))
            if queued == len(messages):
                return
            refused: list[dict[str, Any]] = []
            for message in messages:
                error: KafkaError | None = message.pop("_error", None)
                if error is not None:
                    if error.code() != KafkaError._QUEUE_FULL:
                        raise _failure(error, topic)
                    refused.append(message)
            messages = refused
            await self._room(producer)

    async def _room(self, producer: Producer) -> None:
        # The queue is full: the brokers are slow or away. Reports are served by the thread; this only gives it time.
        full = len(producer)
        log.debug("producer_queue_full", records=full)
        await asyncio.to_thread(producer.flush, POLL_SECONDS)

    def _serve(self, producer: Producer) -> None:
        while not self._stopping.is_set():
            producer.poll(POLL_SECONDS)
