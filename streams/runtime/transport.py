# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""A Faust transport that delivers one message for each partition's run of records.

Plain Faust makes two asyncio tasks, takes a lock, puts into a queue and acks for every record: some 8,000 records/s. A
run goes through that once. For topics that did not ask for runs, and for changelogs, everything is as in Faust.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

import structlog
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.transports import TPorTopicSet

from streams.runtime.acks import InWork, KeepsNothing
from streams.runtime.offsets import PartitionOffsets
from streams.runtime.records import Record, Run
from streams.runtime.unpacking import FetchedRecords

log = structlog.get_logger(__name__)

# How many bytes of a partition are delivered and not finished before no more of it is asked for. A run may be a handful
# of records, so counting runs would starve whoever batches across them. With many partitions each gets its share of the
# app's `buffer_bytes`: a store that is down fills its own share and leaves the others theirs.
PARTITION_BYTES = 512 * 1024
# How long a broker holds a fetch when it has nothing new. Faust has 1.5 s: a partition that has room again waits for
# that fetch, which was sent without it.
FETCH_WAIT_MS = 50
# While some partition waits for its runs to finish, the others are asked this often whether it has room again.
BUSY_POLL_SECONDS = 0.02
SEEK_PAUSE_SECONDS = 0.5
# How long a rebalance or a stop waits for runs that are being worked on before it gives them to the next owner.
DRAIN_SECONDS = 10.0


class RunConsumer(driver.Consumer):
    """Faust's aiokafka consumer with runs for the topics in `app.run_topics` and offsets of our own for all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offsets: dict[TP, PartitionOffsets] = {}
        self._room = asyncio.Event()
        self._progress = asyncio.Event()
        self._working: set[Run] = set()
        self._singles: WeakKeyDictionary[Any, PartitionOffsets] = WeakKeyDictionary()
        self._unacked_messages = InWork(self._release)
        self._acked = defaultdict(lambda: cast(Any, deque(maxlen=0)))
        self._acked_index = defaultdict(KeepsNothing)
        self._open_bytes: dict[TP, int] = {}
        self.share = PARTITION_BYTES  # what each partition may have open now, and the most that one poll brings of it
        self._seeks = 0  # counts when positions begin to move and when they have moved
        self._seeking = 0  # how many seeks are on their way
        self._fetched_at = 0

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        self._fetched_at = self._seeks
        if active_partitions is None:
            return await super()._getmany(active_partitions, timeout)
        self.share = share_of(self._run_app.buffer_bytes, len(active_partitions))
        ready = {tp for tp in active_partitions if self._may_fetch(tp)}
        if len(ready) < len(active_partitions):
            timeout = min(timeout, BUSY_POLL_SECONDS)
            if not ready:
                await self._wait_for_room(timeout)
                return {}
        return await super()._getmany(ready, timeout)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Yield the next records: a run for each partition of a run topic, single messages for the others."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        if self._fetched_at != self._seeks and any(self._is_input(tp) for tp in records):
            # Recovery seeks while a fetch is on its way: what that brings may lie before the new position or after it.
            # Delivering it would put a hole into the offsets, and a commit would pass it.
            records = {tp: batch for tp, batch in records.items() if not self._is_input(tp)}
            await self._seek_back()
        seeks = self._seeks

        def is_ours(tp: TP) -> bool:
            # A rebalance or a seek may begin between two messages; what is left is then fetched again, by us or by
            # somebody else.
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return False
            return self._seeks == seeks or not self._is_input(tp)

        for tp, batch in self._in_order(records):
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            if not is_ours(tp):  # asked before anything of the batch is noted as delivered
                continue
            for message in self._messages(tp, batch):
                if not is_ours(tp):
                    break
                yield tp, message

    async def _seek_back(self) -> None:
        """Go back to what is committed, because what was fetched is not delivered."""
        while not self.should_stop and self.assignment():
            try:
                await self.perform_seek()
            except KafkaError as error:
                if not self.flow_active:
                    # The rebalance that stopped the flow has taken the partitions; there is nothing to seek in.
                    log.debug("seek_back_skipped", error=str(error))
                    return
                log.warning("seek_back_failed", error=str(error))
                await self.sleep(SEEK_PAUSE_SECONDS)
            else:
                return

    def _is_input(self, tp: TP) -> bool:
        """Whether offsets of this partition are committed; those of changelogs are not."""
        return bool(self.app.topics.acks_enabled_for(tp.topic))

    def _in_order(self, records: Mapping[TP, list[Record]]) -> Iterable[tuple[TP, list[Record]]]:
        urgent = self._run_app.urgent_topics
        return sorted(records.items(), key=lambda item: item[0].topic not in urgent)

    def _messages(self, tp: TP, batch: list[Record]) -> Iterator[ConsumerMessage]:
        if not batch:
            return
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        if tp.topic in self._run_app.run_topics:
            yield self._run_message(tp, batch)
        elif tp.topic in self._run_app.run_changelogs:
            yield self._message(tp, batch, batch[-1])
        elif self.app.topics.acks_enabled_for(tp.topic):
            offsets = self._offsets_of(tp)
            for record in batch:
                offsets.start(record.offset, record.offset)
                message = self._to_message(tp, record)
                self._singles[message] = offsets
                yield message
        else:
            for record in batch:
                yield self._to_message(tp, record)

    def _run_message(self, tp: TP, batch: list[Record]) -> ConsumerMessage:
        offsets = self._offsets_of(tp)
        offsets.start(batch[0].offset, batch[-1].offset)
        run = Run(tp, batch, offsets, self)
        self._open_bytes[tp] = self._open_bytes.get(tp, 0) + run.bytes
        return self._message(tp, run, batch[-1])

    def _message(self, tp: TP, value: object, last: Record) -> ConsumerMessage:
        """Return the one message that Faust sees of many records; it has the offset of the last."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            cast(Any, ()),
            cast(Any, None),
            cast(Any, value),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _to_message(self, tp: TP, record: Record) -> ConsumerMessage:
        """Return the message that Faust sees of one record."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp / 1000.0,
            0,
            cast(Any, record.headers),
            cast(Any, record.key),
            cast(Any, record.value),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    @property
    def _run_app(self) -> "RunApp":
        return cast(RunApp, self.app)

    # -- offsets

    def _offsets_of(self, tp: TP) -> PartitionOffsets:
        offsets = self._offsets.get(tp)
        if offsets is None:
            offsets = self._offsets[tp] = PartitionOffsets()
        return offsets

    def _may_fetch(self, tp: TP) -> bool:
        if self._seeking and self._is_input(tp):
            return False
        return self._open_bytes.get(tp, 0) < self.share

    async def _wait_for_room(self, timeout: float) -> None:
        self._room.clear()
        try:
            await asyncio.wait_for(self._room.wait(), timeout)
        except TimeoutError:
            return

    def is_stale(self, run: Run) -> bool:
        """See `Run.stale`."""
        return self._offsets.get(run.tp) is not run.offsets

    def begin(self, run: Run) -> bool:
        """See `Run.begin`."""
        if self.is_stale(run):
            return False
        self._working.add(run)
        return True

    def finish(self, run: Run) -> None:
        """See `Run.finish`."""
        if run not in self._working:
            return
        self._working.discard(run)
        run.offsets.finish(run.records[0].offset)
        if not self.is_stale(run):
            self._open_bytes[run.tp] -= run.bytes
        self._progress.set()
        self._room.set()

    def ack(self, message: Any) -> bool:
        """Take an ack of Faust's streams. A run is finished by whoever processes it, never by having been read."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _release(self, message: Any) -> None:
        """Finish a record that a stream has acked; one that it skipped because of a rebalance was never tracked."""
        offsets = self._singles.pop(message, None)
        if offsets is not None and message.tracked:
            offsets.finish(message.offset)
        self._progress.set()

    def _filter_tps_with_pending_acks(self, topics: TPorTopicSet | None = None) -> Iterator[TP]:
        for tp, offsets in list(self._offsets.items()):
            if offsets.committable is not None and (topics is None or tp in topics or tp.topic in topics):
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        offsets = self._offsets.get(tp)
        return None if offsets is None else offsets.committable

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: offsets that hold no record were never delivered, so nothing waits for them."""

    # -- rebalance and stop

    async def wait_empty(self) -> None:
        """Wait for what is being worked on, at most DRAIN_SECONDS, then commit what is finished."""
        self._run_app.on_drain()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._working or self._singles_in_work():
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            runs, singles = sorted(map(repr, self._working)), self._singles_in_work()
            log.warning("work_left_for_the_next_owner", runs=runs, records=singles)
        await self.commit_and_end_transactions()

    def _singles_in_work(self) -> int:
        return sum(message in self._singles for message in self._unacked_messages)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish and commit before the offsets are forgotten; upstream forgets first and then has nothing to commit."""
        await super().on_partitions_revoked(revoked)
        self._forget()

    async def perform_seek(self) -> None:
        """Go back to what is committed; runs delivered before that are stale."""
        self._forget()
        self._seeking += 1
        try:
            await super().perform_seek()
        finally:
            self._seeking -= 1
            self._seeks += 1

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go back to what is committed, and to the beginning where nothing is, which the driver leaves where it is."""
        committed = await super().seek_to_committed()
        fresh: list[Any] = [tp for tp, offset in committed.items() if not offset and self._is_input(tp)]
        if fresh:
            await self._thread.seek_to_beginning(*fresh)
        return committed

    def _forget(self) -> None:
        self._seeks += 1
        self._offsets.clear()
        self._open_bytes.clear()
        self._working.clear()
        self._singles.clear()
        self._progress.set()
        self._room.set()


def share_of(buffer_bytes: int, partitions: int) -> int:
    """Return how many bytes each of so many partitions may have open, so that all together keep to `buffer_bytes`."""
    return max(1, min(PARTITION_BYTES, buffer_bytes // max(1, partitions)))


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # What is fetched ahead, compressed; aiokafka holds at most one response of each broker.
        consumer._fetch_max_bytes = cast(RunApp, self.app).buffer_bytes // 4
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        fetched = consumer._fetcher._records
        if not isinstance(fetched, FetchedRecords):
            fetched = consumer._fetcher._records = FetchedRecords(fetched)
        fetched.poll_bytes = cast(RunConsumer, self.consumer).share
        return await super()._fetch_records(consumer, *args, **kwargs)


class RunTransport(driver.Transport):
    """The transport that `RunConsumer` belongs to."""

    Consumer = RunConsumer


class RunApp(Protocol):
    """What the consumer asks of its app."""

    run_topics: frozenset[str]
    urgent_topics: frozenset[str]
    run_changelogs: frozenset[str]
    buffer_bytes: int

    def on_drain(self) -> None:
        """Learn that the consumer waits for the runs in work: whatever lingers should go out now."""
        ...
