# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportIncompatibleMethodOverride=false
"""Faust's producer on librdkafka: what leaves through Faust shares the publisher's queue, session and bounds.

Faust sends without waiting: sinks of agents, changelogs of its tables, repartitioned streams. Whether such a record
arrived is known when the offsets of the work that sent it are to be committed, and decides whether they may be.
"""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

import structlog
from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaError, Message
from faust.exceptions import ImproperlyConfigured, ProducerSendError
from faust.transport.producer import Producer, ProducerBuffer
from faust.types import TP, FutureMessage, HeadersArg, ProcessingGuarantee, RecordMetadata
from faust.types.transports import TransportT
from mode import Seconds, want_seconds

from streams.runtime.declaring import declare_topic
from streams.runtime.outstanding import DeliveryFailure, Outstanding, Stretch
from streams.runtime.publisher import Outgoing, Publisher
from streams.runtime.sending import PublishFailed, Unpublishable, failure_of

log = structlog.get_logger(__name__)

# How long a flush waits for the brokers. What takes longer is waited for again at the next commit, which comes soon.
FLUSH_SECONDS = 5.0
METADATA_SECONDS = 5.0
METADATA_AGE_SECONDS = 300.0  # as long as librdkafka's own


class UnsupportedSetting(ImproperlyConfigured):
    """A setting of Faust that this producer cannot follow; the message names it and what to do."""

    def __init__(self, setting: str, instead: str) -> None:
        super().__init__(f"{setting} is not supported: {instead}")


def _no_transactions() -> UnsupportedSetting:
    return UnsupportedSetting(
        "processing_guarantee='exactly_once'",
        "leave it at 'at_least_once'. State tables (StreamApp.state) count every record once without transactions",
    )


class HasPublisher(Protocol):
    """What the producer asks of its app."""

    publisher: Publisher


class RunProducer(Producer):
    """Faust's producer, on the publisher of the app.

    The partition of a key is that of the Java client (murmur2), as for everything else that is published here.

    Raises:
        UnsupportedSetting: the app asks for transactions, a thread for the producer, or a partitioner of its own.
    """

    def __init__(self, transport: TransportT, loop: asyncio.AbstractEventLoop | None = None, **kwargs: Any) -> None:
        conf = transport.app.conf
        if cast(ProcessingGuarantee, conf.processing_guarantee) is ProcessingGuarantee.EXACTLY_ONCE:
            raise _no_transactions()
        if conf.producer_threaded:
            raise UnsupportedSetting("producer_threaded", "leave it out; librdkafka sends from threads of its own")
        if conf.producer_partitioner is not None:
            raise UnsupportedSetting("producer_partitioner", "send with partition=; keys are hashed as in Java")
        super().__init__(transport, loop, **kwargs)
        self.outstanding = Outstanding()
        self.buffer = _Buffer(self.outstanding, loop=self.loop, beacon=self.beacon)
        self.buffer.app = self.app
        self._publisher = cast(HasPublisher, self.app).publisher
        self._starts_publisher = False
        self._acknowledged: list[Outgoing] = []
        self._partitions: dict[str, tuple[int, float]] = {}  # number, and until when it is believed

    @property
    def failure(self) -> DeliveryFailure | None:
        """Why offsets are not committed: the first record that was not delivered. None when all were."""
        return self.outstanding.failure

    async def on_start(self) -> None:
        """Start the publisher, unless the app has: a command of the command line only starts its producer."""
        self._starts_publisher = not self._publisher.sender.started
        self._publisher.start()
        await super().on_start()

    async def on_stop(self) -> None:
        """Stop the publisher when it was started here."""
        await super().on_stop()
        if self._starts_publisher:
            await self._publisher.stop(FLUSH_SECONDS)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,
    ) -> asyncio.Future[RecordMetadata]:
        """Queue a record, as soon as there is room, and return a future of where it was written.

        Raises:
            TypeError: key or value are not bytes.
            UnsupportedSetting: it is to be part of a transaction.
        """
        if transactional_id is not None:
            raise _no_transactions()
        pairs: Any = list(headers.items()) if isinstance(headers, Mapping) else headers
        self.app.on_produce_message.send(key=key, value=value, partition=partition, timestamp=timestamp, headers=pairs)
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        stretch = self.outstanding.sent()
        sender = self._publisher.sender
        report = partial(self._reported, future, stretch, pairs or ())
        more: Any = {"partition": partition, "headers": pairs or (), "timestamp_ms": int((timestamp or 0) * 1000)}
        try:
            if not sender.offer(topic, key, value, report, **more):
                await sender.send(topic, key, value, report, **more)
        except (PublishFailed, Unpublishable) as error:
            self._fail(future, DeliveryFailure.of(topic, error))
            self.outstanding.reported(stretch)
        except BaseException:
            self.outstanding.reported(stretch)
            raise
        return future

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,
    ) -> RecordMetadata:
        """Send a record and return where it was written.

        Raises:
            ProducerSendError: it was not.
        """
        sent = await self.send(topic, key, value, partition, timestamp, headers, transactional_id=transactional_id)
        return await sent

    async def flush(self) -> None:
        """Wait until all that was sent so far is acknowledged or has failed, but not for long; see `refusal`."""
        self.outstanding.seal()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.outstanding.settled()
        except TimeoutError:
            log.warning("records_not_acknowledged", records=self.outstanding.unsettled, seconds=FLUSH_SECONDS)

    @property
    def refusal(self) -> str | None:
        """Why offsets must not be committed after the last flush; None when they may."""
        if self.failure is not None:
            return self.failure.message
        unsettled = self.outstanding.unsettled
        return f"{unsettled} records that were sent are not acknowledged yet" if unsettled else None

    async def create_topic(
        self,
        topic: str,
        partitions: int,
        replication: int,
        *,
        config: Mapping[str, Any] | None = None,
        timeout: Seconds = 20.0,
        retention: Seconds | None = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        ensure_created: bool = False,
    ) -> None:
        """Create a topic that is not there; one that is there stays as it is.

        Raises:
            TopicNotCreated: the brokers refuse to; the message says why.
        """
        if not self.app.conf.topic_allow_declare:
            log.warning("topic_not_declared", topic=topic, reason="topic_allow_declare is off")
            return
        settings: dict[str, str] = {}
        policies = [name for name, wanted in (("compact", compacting), ("delete", deleting)) if wanted]
        if policies:
            settings["cleanup.policy"] = ",".join(policies)
        if retention:
            settings["retention.ms"] = str(int(want_seconds(retention) * 1000))
        settings |= {name: str(value) for name, value in (config or {}).items()}
        await asyncio.to_thread(
            declare_topic,
            self._publisher.connection,
            topic,
            partitions=partitions,
            replication=replication,
            settings=settings,
            timeout=want_seconds(timeout),
            must_be_new=ensure_created,
        )

    def key_partition(self, topic: str, key: bytes | None) -> TP:
        """Return where a record with this key goes. Asks the brokers, now and then, how many partitions there are."""
        number, until = self._partitions.get(topic, (0, 0.0))
        if time.monotonic() >= until:
            number = self._publisher.sender.partitions(topic, timeout=METADATA_SECONDS)
            self._partitions[topic] = number, time.monotonic() + METADATA_AGE_SECONDS
        return TP(topic, random.randrange(number) if key is None else partition_of(key, number))

    def supports_headers(self) -> bool:
        """Return True."""
        return True

    async def _refuse(self, *_: Any, **__: Any) -> None:
        raise _no_transactions()

    begin_transaction = commit_transaction = abort_transaction = stop_transaction = _refuse
    maybe_begin_transaction = commit_transactions = _refuse

    # -- delivery reports

    def _reported(
        self,
        future: asyncio.Future[RecordMetadata],
        stretch: Stretch,
        headers: Sequence[tuple[str, bytes | None]],
        error: KafkaError | None,
        message: Message,
    ) -> None:
        topic = message.topic() or ""
        if error is not None:
            self._fail(future, DeliveryFailure.of(topic, failure_of(error, topic)))
        else:
            partition, offset, (kind, timestamp) = message.partition() or 0, message.offset() or 0, message.timestamp()
            if not future.done():
                # librdkafka counts the kinds of timestamps from 1, Faust from 0.
                future.set_result(
                    RecordMetadata(topic, partition, TP(topic, partition), offset, timestamp, max(0, kind - 1))
                )
            if not self._acknowledged:
                self.loop.call_soon(self._tell_acknowledged)  # once for all that are reported now
            self._acknowledged.append(Outgoing(topic, None, None, headers))
        self.outstanding.reported(stretch)

    def _tell_acknowledged(self) -> None:
        told, self._acknowledged = self._acknowledged, []
        if self._publisher.on_published is not None:
            self._publisher.on_published(told)

    def _fail(self, future: asyncio.Future[RecordMetadata], failure: DeliveryFailure) -> None:
        self.outstanding.failed(failure)
        if not future.done():
            future.set_exception(ProducerSendError(failure.message))


class _Buffer(ProducerBuffer):
    """What Faust sends from functions that cannot wait, changes of tables above all."""

    def __init__(self, outstanding: Outstanding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._outstanding = outstanding

    def put(self, fut: FutureMessage) -> None:
        """Queue a message. A flush waits for it, although the producer does not have it yet."""
        self.pending.put_nowait((fut, self._outstanding.sent()))

    async def on_stop(self) -> None:
        """Hand the producer what is left."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                while not self.pending.empty():
                    await self._send_pending(self.pending.get_nowait())
        except TimeoutError:
            log.warning("records_not_sent_at_stop", records=self.pending.qsize())

    async def _send_pending(self, queued: tuple[FutureMessage, Stretch]) -> None:
        message, stretch = queued
        try:
            sent: Any = await message.message.channel.publish_message(message, wait=False)
        # A key that is not bytes, or a channel of the user's: it must not end the task that sends for all others.
        except Exception as error:  # noqa: BLE001
            self._outstanding.failed(DeliveryFailure.of(str(message.message.channel), error))
            self._outstanding.reported(stretch)
            message.set_exception(error)
        else:
            sent.add_done_callback(partial(self._sent, stretch))

    def _sent(self, stretch: Stretch, _: asyncio.Future[Any]) -> None:
        self._outstanding.reported(stretch)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, as the Java client, aiokafka and librdkafka's murmur2 partitioners do."""
    return (cast(int, murmur2(key)) & 0x7FFFFFFF) % partitions
