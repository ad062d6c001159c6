"""One way into a store: a sink with a thread of its own, and the writes that wait for it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog

from connectors.sinks.contract import Applied, Limits, Outcome, Rejected, Retry, Sink, Superseded
from connectors.sinks.errors import Fatal, Unavailable
from schemas.receipts import Result
from schemas.writes import BaseWrite, Priority
from streams.delivery.accounts import Accounts
from streams.delivery.attempt import Attempts
from streams.delivery.batch_size import after_request, after_too_large, first_size
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.errors import Refused, RetriesExhausted, WriteRejected
from streams.delivery.gate import Gate
from streams.delivery.metrics import DeliveryMetrics
from streams.delivery.opening import Opening
from streams.delivery.queue import Item, Parcel, WriteQueue
from streams.runtime.faults import FaultPoints
from streams.runtime.publisher import Outgoing

log = structlog.get_logger(__name__)

T = TypeVar("T")

TOGETHER_RECORDS = (
    100  # of a request that takes the writes of other channels along; larger ones are faster side by side
)


class Channel:
    """Writes the batches of some keys of a store, one request after the other, and accounts for every single write.

    A request with few writes takes along what waits in channels that have none under way: a request costs the store and
    us much more than a write does. Those channels wait until it is over, so the writes of a key stay in their order.

    Args:
        sink: not open.
        limits: of a request.
        gate: shared by the channels of the store.
        accounts: where receipts and dead letters go.
        policy: of retries.
        metrics: counts what happens.
        opening: opens the contents of sealed writes.
        held_up: told why the store does not take anything and for how many seconds it is left alone.
        now: a clock in seconds that is never set back.
        faults: where the process is to be killed, in tests.

    Attributes:
        ways: all channels of the store, this one included.
    """

    def __init__(
        self,
        sink: Sink[Any],
        limits: Limits,
        *,
        gate: Gate,
        accounts: Accounts,
        policy: DeliveryPolicy,
        metrics: DeliveryMetrics,
        opening: Opening,
        held_up: Callable[[str, float], None],
        now: Callable[[], float],
        faults: FaultPoints,
    ) -> None:
        self._attempts = Attempts(accounts.store, sink, opening)
        self._limits = limits
        self._gate = gate
        self._accounts = accounts
        self._policy = policy
        self._metrics = metrics
        self._held_up = held_up
        self._now = now
        self._faults = faults
        self._size = first_size(limits.max_records)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{accounts.store}")
        self._settling: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._hurry = False
        self._busy = False  # what waits here is left alone until a request with writes from here is over
        self.ways: Sequence[Channel] = (self,)
        self.queue = WriteQueue(limits)
        self.in_flight: Sequence[Item] = ()

    @property
    def most(self) -> int:
        """The most writes of the next request."""
        return self._size.records if self._gate.most is None else min(self._size.records, self._gate.most)

    @property
    def tells_undo(self) -> bool:
        """Whether the sink can tell what would undo a write."""
        return self._attempts.tells_undo

    def add(self, items: Sequence[Item], lane: Priority) -> None:
        """Have writes written."""
        self.queue.add(items, lane, self._now())
        self._wake.set()

    def hurry(self) -> None:
        """Write what waits without waiting for full batches."""
        self._hurry = True
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            while True:
                await self._wait_for_batch()
                entered = await self._gate.enter(min(len(self.queue), self.most))
                batch = [] if self._busy else self.queue.take(self._now(), self.most)
                if not batch:
                    self._gate.unused()
                    continue
                await self._see_through(batch, entered)
        finally:
            if self._settling is not None:
                await asyncio.wait([self._settling], timeout=1)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._attempts.close)
            self._thread.shutdown(wait=False)

    def again(self, item: Item, due: float) -> None:
        """Have a write tried again."""
        self.queue.retry(item, due)
        self._wake.set()

    async def _see_through(self, batch: list[Item], entered: float) -> None:
        """Write a batch, with what others have, and have it accounted for after what was written before it."""
        together = [self, *self._taken_along(batch)]
        for channel in together:
            channel._busy = True
        try:
            outcomes = await self._write(batch, entered)
            if outcomes is None:
                return
            at = datetime.now(UTC)  # of the store's answer, not of when the receipts before these are acknowledged
            for channel in together:
                if channel._settling is not None:
                    await channel._settling  # at most one batch of receipts is on its way while the next is written
            settling = asyncio.create_task(self._settle(batch, outcomes, at))
            for channel in together:
                channel._settling = settling
        finally:
            for channel in together:
                channel._busy = False
                channel._wake.set()

    def _taken_along(self, batch: list[Item]) -> list["Channel"]:
        """Add what waits in other channels to a small batch; return whose it was."""
        if self._gate.most is not None:  # a rate limit has let in no more than the batch
            return []
        most, size = min(TOGETHER_RECORDS, self.most), sum(item.size for item in batch)
        found: list[Channel] = []
        for channel in self.ways:
            queue = channel.queue
            if channel is self or channel._busy or len(batch) + len(queue) > most:
                continue
            size += queue.bytes
            if size > self._limits.max_bytes:
                break
            if taken := queue.take(self._now()):
                batch += taken
                found.append(channel)
        return found

    async def _wait_for_batch(self) -> None:
        while True:
            wait = None if self._busy else self.queue.wait(self._now(), hurry=self._hurry, most=self.most)
            if wait == 0:
                return
            self._hurry = self._hurry and self._busy
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                return

    async def _write(self, batch: list[Item], entered: float) -> list[Outcome] | None:
        """Return the outcome of each write; None when the store took nothing and the batch waits again."""
        self._gate.spend(len(batch))
        self.in_flight = batch
        started, too_large = self._now(), self._attempts.too_large
        try:
            outcomes = await self._attempt(batch)
        except (Unavailable, Fatal) as error:
            self._put_back(batch, error, entered)
            return None
        finally:
            self.in_flight = ()
        self._gate.succeeded()
        seconds = self._now() - started
        self._metrics.request(self._accounts.store, len(batch), seconds)
        if self._attempts.too_large > too_large:
            self._size = after_too_large(self._size, taken=len(batch))
        else:
            target, most = self._policy.target_seconds, self._limits.max_records
            self._size = after_request(self._size, taken=len(batch), seconds=seconds, target=target, most=most)
        return outcomes

    async def _attempt(self, batch: Sequence[Item]) -> list[Outcome]:
        """Write a batch, in the sink's thread."""
        outcomes: list[Outcome] = []
        for part in _apart(batch):
            await self._capture(part)
            self._faults.reach("before-store-write")
            found = await self._in_thread(self._attempts.write, [item.write for item in part])
            self._faults.reach("after-store-write")
            await self._recognise(part, found)
            outcomes += found
        return outcomes

    async def _capture(self, batch: Sequence[Item]) -> None:
        """Tell what would undo writes, where they ask for it, before the store may hold them.

        After a crash in between they come again, and the store, which holds them then, can tell no more. That it held
        nothing needs not be told before, where the store recognises them.
        """
        # Once: after an attempt of which nothing is known the store may hold the write itself.
        asking = [item for item in batch if item.write.undo and item.undo is None]
        if not asking:
            return
        if not self._attempts.tells_undo:
            for item in asking:
                item.undo_unknown = True
            return
        undos = await self._in_thread(self._attempts.undoing, [item.write for item in asking])
        for item, undo in zip(asking, undos, strict=True):
            if isinstance(undo, Refused):
                item.undo_unknown = True
            else:
                item.undo = undo
                item.undo_told = undo is not None and not (undo.op == "delete" and self._attempts.recognises)
        told = [self._accounts.captured(item) for item in asking if item.undo_told]
        if told:
            await self._accounts.settle(told, [])

    async def _recognise(self, batch: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Find out which writes the store held already because they were cut off before their end was told.

        Nothing was told before them, or their coordinator goes by that: so nothing was there.
        """
        asking = [
            item
            for item, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, Superseded) and item.write.undo and item.undo is None and not item.undo_unknown
        ]
        if not asking or not self._attempts.recognises:
            return
        for item, undo in zip(
            asking, await self._in_thread(self._attempts.own, [one.write for one in asking]), strict=True
        ):
            if isinstance(undo, Refused):
                item.undo_unknown = True
            else:
                item.undo = undo

    async def _in_thread(self, call: Callable[[list[BaseWrite]], list[T]], writes: list[BaseWrite]) -> list[T]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, writes)

    def _put_back(self, batch: Sequence[Item], error: Unavailable | Fatal, entered: float) -> None:
        store = self._accounts.store
        pause = self._gate.failed(entered, getattr(error, "after", None))
        self._metrics.failed(store, error)
        log.warning(
            "store_unavailable" if isinstance(error, Unavailable) else "store_refuses",
            store=store,
            error=str(error),
            failures=self._gate.failures,
            pause=round(pause, 3),
        )
        self._held_up(f"store {store}: {error}", pause)
        for item in batch:
            self.ways[item.way].again(item, self._now())

    async def _settle(self, batch: Sequence[Item], outcomes: Sequence[Outcome], at: datetime) -> None:
        """Publish receipts and dead letters, and finish the runs whose writes have all ended."""
        records: list[Outgoing] = []
        ended: list[Parcel] = []
        counts: Counter[str] = Counter()
        for item, outcome in zip(batch, outcomes, strict=True):
            final = self._again_or_final(item, outcome)
            if final is None:
                counts["retried"] += 1
                continue
            records += self._accounts.ended(item, at, *final)
            ended.append(item.parcel)
            counts[final[0]] += 1
        self._metrics.ended(self._accounts.store, counts)
        applied = [item.write for item, one in zip(batch, outcomes, strict=True) if isinstance(one, Applied)]
        self._metrics.agreed(self._accounts.store, applied, at)
        await self._accounts.settle(records, ended)

    def _again_or_final(self, item: Item, outcome: Outcome) -> tuple[Result, Exception | None] | None:
        match outcome:
            case Retry(reason=reason, after=after):
                now = self._now()
                seconds = item.failed(now)
                if self._policy.gives_up(item.attempts, seconds):
                    return "rejected", RetriesExhausted(f"{reason} (after {item.attempts} attempts)")
                pause = self._policy.pause(item.attempts, after)
                item.parcel.run.hold_up(f"store {self._accounts.store}: {reason}", pause)
                self.ways[item.way].again(item, now + pause)
                return None
            case Rejected(reason=reason):
                item.failed(self._now())
                error = outcome.error if isinstance(outcome, Refused) else WriteRejected
                return "rejected", error(reason)
            case Applied():
                return "applied", None
            case Superseded():
                return "superseded", None


def _apart(batch: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut a batch before each write that asks for its undo and follows another one of its entity.

    What that one leaves is what this one is undone to, so it has to be written first.
    """
    seen: set[str] = set()
    begin = 0
    for index, item in enumerate(batch):
        if item.write.undo and item.write.entity in seen:
            yield batch[begin:index]
            begin = index
            seen.clear()
        seen.add(item.write.entity)
    yield batch[begin:]
