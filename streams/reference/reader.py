"""Follows a compacted topic from its beginning, all partitions, without a consumer group.

Used instead of a Faust GlobalTable, whose standby partitions stall recoveries (docs/decisions/0003).
"""

import asyncio
import threading
from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import OFFSET_BEGINNING as BEGINNING
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from connectors.kafka.connection import Connection
from connectors.kafka.watermarks import watermarks
from schemas.topics import Topic

log = structlog.get_logger(__name__)

# Called in the event loop with (key, value or None) pairs in the order of their partition.
Apply = Callable[[Sequence[tuple[bytes, bytes | None]]], object]

BATCH = 5_000
POLL_SECONDS = 0.2


class ReferenceReader:
    """Feeds every record of a topic to `apply`, now and as they come.

    `ready` is set once everything has been applied that was in the topic when reading began.
    """

    def __init__(self, connection: Connection, topic: Topic, apply: Apply) -> None:
        self._config = {**connection.consumer(f"reference-{topic.name}"), "log_level": 3, "fetch.wait.max.ms": 100}
        self._topic = topic
        self._apply = apply
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.ready = asyncio.Event()

    def start(self) -> None:
        """Begin to read; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._read, args=(loop,), name=f"reference-{self._topic.name}", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Stop reading and wait until the thread has ended."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        consumer = Consumer(self._config)
        try:
            ends = self._ends(consumer)
            consumer.assign([TopicPartition(self._topic.name, partition, BEGINNING) for partition in ends])
            missing = {partition for partition, end in ends.items() if end > 0}
            if not missing:
                loop.call_soon_threadsafe(self.ready.set)
            while not self._stopping.is_set():
                messages = consumer.consume(BATCH, POLL_SECONDS)
                pairs = [pair for message in messages if (pair := self._pair(message)) is not None]
                if pairs:
                    loop.call_soon_threadsafe(self._apply, pairs)
                if missing:
                    missing -= self._reached(consumer, ends)
                    if not missing:
                        loop.call_soon_threadsafe(self.ready.set)
        finally:
            consumer.close()

    def _ends(self, consumer: Consumer) -> dict[int, int]:
        while not self._stopping.is_set():
            try:
                metadata = consumer.list_topics(self._topic.name, timeout=5).topics[self._topic.name]
                return {
                    partition: watermarks(consumer, TopicPartition(self._topic.name, partition), timeout=5)[1]
                    for partition in metadata.partitions
                }
            except KafkaException as error:
                log.warning("reference_topic_unreachable", topic=self._topic.name, error=str(error))
        return {}

    def _reached(self, consumer: Consumer, ends: dict[int, int]) -> set[int]:
        partitions = [TopicPartition(self._topic.name, partition) for partition in ends]
        return {at.partition for at in consumer.position(partitions) if at.offset >= ends[at.partition]}

    def _pair(self, message: Message) -> tuple[bytes, bytes | None] | None:
        error = message.error()
        if error is not None:
            log.warning("reference_topic_error", topic=self._topic.name, error=error.str())
            return None
        key = message.key()
        return None if key is None else (key.encode() if isinstance(key, str) else key, _bytes(message.value()))


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
