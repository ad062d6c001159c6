# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""A Faust transport that gives each partition's run of records straight to the agent that takes runs.

Plain Faust makes two asyncio tasks, takes a lock, puts into a queue and acks for every record: some 8,000 records/s. A
run that took that way cost 900 calls by itself, which at 1,000 events a second, in runs of three or four, was most of
what a worker did. For topics that did not ask for runs, and for changelogs, everything is as in Faust.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

import structlog
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.transports import TPorTopicSet

from streams.runtime.acks import InWork, KeepsNothing
from streams.runtime.commits import CommittingConsumer
from streams.runtime.fetching import PARTITION_BYTES, Fetched, FetchThread, share_of
from streams.runtime.offsets import PartitionOffsets
from streams.runtime.producer import RunProducer
from streams.runtime.records import Record, Run

log = structlog.get_logger(__name__)

# While some partition waits for its runs to finish, the others are asked this often whether it has room again.
BUSY_POLL_SECONDS = 0.02
SEEK_PAUSE_SECONDS = 0.5
# Runs of changelogs that may wait to be applied. Faust bounds their queue at 4,096 messages, which would be gigabytes.
CHANGELOG_RUNS = 16
# How long a rebalance waits for runs that are being worked on before it gives them to the next owner.
DRAIN_SECONDS = 10.0
# A stop has ten seconds for everything: to wait, to commit, to leave the group and to close the tables.
STOP_DRAIN_SECONDS = 5.0


class RunConsumer(CommittingConsumer):
    """Faust's aiokafka consumer with runs for the topics in `app.lanes` and offsets of our own for all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offsets: dict[TP, PartitionOffsets] = {}
        self._room = asyncio.Event()
        self._progress = asyncio.Event()
        self._working: set[Run] = set()
        self._leaving = asyncio.Event()  # for the runs delivered since positions moved last
        self._singles: WeakKeyDictionary[Any, PartitionOffsets] = WeakKeyDictionary()
        self._unacked_messages = InWork(self._release)
        self._acked = defaultdict(lambda: cast(Any, deque(maxlen=0)))
        self._acked_index = defaultdict(KeepsNothing)
        self._passed: dict[TP, int] = {}  # up to where partitions were read when that was noted last
        self._open_bytes: dict[TP, int] = {}
        self.share = PARTITION_BYTES  # what each partition may have open now, and the most that one poll brings of it
        self._seeks = 0  # counts when positions begin to move and when they have moved
        self._seeking = 0  # how many seeks are on their way
        self._fetched_at = 0
        self._dropped = False  # whether something was fetched and not delivered because the flow had stopped

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        if self._dropped and self.flow_active:
            await self._seek_back()
            self._dropped = False
        self._fetched_at = self._seeks
        if active_partitions is None:
            return await super()._getmany(active_partitions, timeout)
        self.share = share_of(self._run_app.buffer_bytes, len(active_partitions))
        ready = self._fetchable(active_partitions)
        if len(ready) < len(active_partitions):
            timeout = min(timeout, BUSY_POLL_SECONDS)
            if not ready:
                await self._wait_for_room(timeout)
                return {}
        return await super()._getmany(ready, timeout)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Give the next records that are read in runs to their lanes, and yield the others as messages."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        # What agents send through Faust from functions that cannot wait; Faust holds messages up for it as well.
        await self._producer.buffer.wait_until_ebb()
        if not self.flow_active:
            # A rebalance or a stop still waits for what is in work, and commits it; going back now would forget that.
            self._dropped = self._dropped or bool(records)
            return
        # Up to where the partitions are read when all that was fetched is delivered.
        positions: Mapping[TP, int] = records.positions if isinstance(records, Fetched) else {}
        reached = dict(positions) if self._fetched_at == self._seeks else {}
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
            end = reached.pop(tp, None)
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            if not is_ours(tp):  # asked before anything of the batch is noted as delivered
                continue
            for message in self._delivered(tp, batch):
                if not is_ours(tp):
                    break
                yield tp, message
            else:
                if end is not None:
                    reached[tp] = end
        moved = (item for item in reached.items() if self._passed.get(item[0]) != item[1])
        self._pass_over({tp: end for tp, end in moved if is_ours(tp)})

    def _pass_over(self, reached: Mapping[TP, int]) -> None:
        """Note up to where partitions were read: the end of a partition may hold nothing that is ever delivered."""
        for tp, end in reached.items():
            if self._is_input(tp):
                self._offsets_of(tp).pass_over(end)
                self._passed[tp] = end

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

    def _delivered(self, tp: TP, batch: list[Record]) -> Iterator[ConsumerMessage]:
        """Note what is delivered; give a run to its lanes, and yield the messages that Faust passes on."""
        if not batch:
            return
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        if self._is_input(tp):
            self._run_app.metrics.delivered(tp.topic, len(batch))
        lanes = self._run_app.lanes.get(tp.topic)
        if lanes is not None:
            lanes.put(self._run(tp, batch))
        elif tp.topic in self._run_app.run_changelogs:
            self._run_app.faults.reach("restoring")
            yield self._message(tp, batch[-1], batch)
        elif self.app.topics.acks_enabled_for(tp.topic):
            offsets = self._offsets_of(tp)
            for record in batch:
                offsets.start(record.offset, record.offset, record.timestamp)
                message = self._message(tp, record, record.value, record.key, record.headers)
                self._singles[message] = offsets
                yield message
        else:
            for record in batch:
                yield self._message(tp, record, record.value, record.key, record.headers)

    def _run(self, tp: TP, batch: list[Record]) -> Run:
        offsets = self._offsets_of(tp)
        offsets.start(batch[0].offset, batch[-1].offset, batch[0].timestamp)
        run = Run(tp, batch, offsets, self)
        self._open_bytes[tp] = self._open_bytes.get(tp, 0) + run.bytes
        return run

    def _message(
        self, tp: TP, last: Record, value: object, key: bytes | None = None, headers: object = ()
    ) -> ConsumerMessage:
        """Return the one message that Faust sees of a record, or of many of which this is the last."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            cast(Any, headers),
            cast(Any, key),
            cast(Any, value),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- offsets

    def _offsets_of(self, tp: TP) -> PartitionOffsets:
        offsets = self._offsets.get(tp)
        if offsets is None:
            offsets = self._offsets[tp] = PartitionOffsets()
        return offsets

    def _fetchable(self, tps: set[TP]) -> set[TP]:
        """Return those of which more may be fetched; asked fifty times a second, for some hundred partitions."""
        if self._seeking or self._run_app.pauses.some or self._restoring_runs() >= CHANGELOG_RUNS:
            return {tp for tp in tps if self._may_fetch(tp)}
        return tps - {tp for tp, size in self._open_bytes.items() if size >= self.share}

    def _may_fetch(self, tp: TP) -> bool:
        if self._seeking and self._is_input(tp):
            return False
        if tp.topic in self._run_app.run_changelogs and self._restoring_runs() >= CHANGELOG_RUNS:
            return False
        if self._run_app.pauses.kinds(tp.topic):
            return False
        return self._open_bytes.get(tp, 0) < self.share

    def _restoring_runs(self) -> int:
        return cast(Any, self.app.tables).changelog_queue.qsize()

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
        # What has not begun when a rebalance or a stop waits for what has, is read again by the next owner.
        if self._leaving.is_set() or self.is_stale(run):
            return False
        run.begun_at = time.monotonic()
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
        agent = self._run_app.agent_of(run.tp.topic)
        self._run_app.metrics.processed(agent, len(run.records), time.monotonic() - run.begun_at)
        self._progress.set()
        self._room.set()

    def reach(self, run: Run, offset: int) -> None:
        """See `Run.reach`."""
        if run in self._working:
            run.offsets.advance(run.records[0].offset, offset)

    def leaving(self, run: Run) -> asyncio.Event:
        """See `Run.leaving`."""
        if not self.is_stale(run):
            return self._leaving
        gone = asyncio.Event()
        gone.set()
        return gone

    def leave(self, run: Run) -> None:
        """See `Run.leave`."""
        self._working.discard(run)
        self._progress.set()

    def hold_up(self, run: Run, reason: str, seconds: float) -> None:
        """See `Run.hold_up`."""
        self._run_app.hold_ups.note(run.tp.topic, reason, seconds)
        self._run_app.metrics.retried(self._run_app.agent_of(run.tp.topic))

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
        self._leaving.set()
        self._run_app.on_drain()
        try:
            async with asyncio.timeout(STOP_DRAIN_SECONDS if self.app.should_stop else DRAIN_SECONDS):
                while self._working or self._singles_in_work():
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            runs, singles = sorted(map(repr, self._working)), self._singles_in_work()
            log.warning("work_left_for_the_next_owner", runs=runs, records=singles)
            # It is not waited for again: a stop comes here twice.
            self._working.clear()
            self._singles.clear()
        # A commit that is under way does not know what was finished since it began, and Faust would take it for ours.
        await self.maybe_wait_for_commit_to_finish()
        await self.commit_and_end_transactions()

    def _singles_in_work(self) -> int:
        return sum(message in self._singles for message in self._unacked_messages)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish and commit before the offsets are forgotten; upstream forgets first and then has nothing to commit."""
        await super().on_partitions_revoked(revoked)
        self._forget()
        self._run_app.faults.reach("revoked")

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
        self._passed.clear()
        self._open_bytes.clear()
        self._working.clear()
        self._singles.clear()
        self._leaving.set()
        self._leaving = asyncio.Event()
        self._run_app.crashes.let_go()
        self._progress.set()
        self._room.set()


class RunTransport(driver.Transport):
    """The transport that `RunConsumer` and `RunProducer` belong to."""

    Consumer = RunConsumer
    Producer = RunProducer
