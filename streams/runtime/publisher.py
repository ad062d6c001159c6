"""Records out, through librdkafka: many at once, and one wait until all of them are on the brokers."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import KafkaError, Message
from msgspec import Struct

from connectors.kafka.connection import Connection
from streams.runtime.faults import FaultPoints
from streams.runtime.sending import PublishFailed, Sender, TryAgain, Unpublishable, failure_of, producer_config

__all__ = ["Outgoing", "PublishFailed", "Publisher", "TryAgain", "Unpublishable"]

log = structlog.get_logger(__name__)

QUEUE_RECORDS = 200_000


class Outgoing(Struct, frozen=True, gc=False):
    """A record to publish. `partition` None leaves the choice to the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None


class _Batch:
    """Counts the delivery reports of one batch. All of it happens in the event loop, so nothing is locked."""

    def __init__(self) -> None:
        self.open = 0
        self.sealed = False
        self.error: RuntimeError | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.last_offsets: dict[tuple[str, int], int] = {}

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            home = (message.topic() or "", message.partition() or 0)
            offset = message.offset() or 0
            if offset > self.last_offsets.get(home, -1):
                self.last_offsets[home] = offset
        else:
            self.error = failure_of(error, message.topic())
        self.open -= 1
        if self.sealed and not self.open:
            self._finish()

    def seal(self) -> None:
        """Note that no more is added."""
        self.sealed = True
        if not self.open:
            self._finish()

    def _finish(self) -> None:
        if self.done.done():  # nobody waits any more
            return
        if self.error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self.error)


class Publisher:
    """A producer for one event loop. Records of one key keep their order, across batches too.

    It waits for brokers that are away rather than giving up: back-pressure, not loss. `stop` bounds that wait.

    Args:
        connection: how to reach the brokers.
        linger_ms: how long a record waits for others to share a request with.
        queue_records: how many may be sent and not acknowledged; whoever sends more waits. Their size is bounded too.
        faults: where the process is to be killed, in tests.
        on_published: told the records of a batch when all of them are acknowledged.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        linger_ms: float = 2,
        queue_records: int = QUEUE_RECORDS,
        faults: FaultPoints = FaultPoints(),  # noqa: B008 - off
        on_published: Callable[[Sequence[Outgoing]], None] | None = None,
    ) -> None:
        self.connection = connection
        self.sender = Sender(producer_config(connection, linger_ms=linger_ms, queue_records=queue_records))
        self._faults = faults
        self.on_published = on_published

    def start(self) -> None:
        """Create the producer; called in the event loop that publishes."""
        self.sender.start()

    @property
    def unacknowledged(self) -> int:
        """Number of records that are queued or sent, and not acknowledged yet."""
        return self.sender.unreported

    async def stop(self, timeout: float = 10) -> None:
        """Send what is queued, for at most `timeout` seconds; whoever still waits then gets `PublishFailed`."""
        left = await self.sender.stop(timeout)
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
        batch = _Batch()
        try:
            await self._queue(records, batch)
        except (PublishFailed, Unpublishable) as error:
            # Whatever was queued before the error is still on its way; its reports must find somebody.
            batch.error = batch.error or error
            batch.seal()
            await asyncio.wait([batch.done])
            batch.done.exception()
            raise
        self._faults.reach("before-flush")
        batch.seal()
        await batch.done
        if self.on_published is not None:
            self.on_published(records)
        return batch.last_offsets

    async def _queue(self, records: Sequence[Outgoing], batch: _Batch) -> None:
        done = 0
        while done < len(records):
            count, error = self.sender.offer_all(records[done:] if done else records, batch.on_delivery)
            batch.open += count
            done += count
            if error is not None:
                raise error
            if done < len(records):
                one = records[done]
                await self.sender.send(
                    one.topic, one.key, one.value, batch.on_delivery, partition=one.partition, headers=one.headers
                )
                batch.open += 1
                done += 1
