"""Delivers the writes of one store: takes runs, batches across them, writes, and accounts for every single write."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import structlog

from connectors.sinks.contract import Applied, Outcome, Rejected, Retry, Sink, Superseded
from connectors.sinks.errors import BatchTooLarge, Fatal, SinkError, Unavailable
from schemas.receipts import Receipt, Result, encode_receipt
from schemas.topics import Catalogue
from schemas.writes import BaseWrite, InvalidWrite, Priority, StoreName, decode_write, store_of
from streams.deadletters import dead_letter, publish_with_letters
from streams.delivery.breaker import Breaker, DeliveryPolicy
from streams.delivery.queue import Item, Parcel, WriteQueue
from streams.runtime.publisher import Outgoing, Publisher, TryAgain
from streams.runtime.records import Run

log = structlog.get_logger(__name__)


class Delivery:
    """The way of all writes into one store.

    Every write ends in exactly one of: applied, superseded (both in the store), or a dead letter. A run is finished
    when all of its writes have ended and their receipts and dead letters are acknowledged by Kafka. The store is called
    from one thread. While it is away its batch is kept and tried again; other stores do not notice.
    """

    def __init__(
        self,
        store: StoreName,
        sink: Sink[Any],
        *,
        publisher: Publisher,
        catalogue: Catalogue,
        policy: DeliveryPolicy,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store: StoreName = store
        self._sink = sink
        self._publisher = publisher
        self._catalogue = catalogue
        self._policy = policy
        self._now = now
        self._breaker = Breaker(policy)
        self._queue = WriteQueue(sink.limits)
        self._wake = asyncio.Event()
        self._hurry = False
        self._open = False
        self._latest: dict[str, Run] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{store}")
        self._settling: asyncio.Task[None] | None = None
        self._undecodable: set[asyncio.Task[None]] = set()

    def accept(self, run: Run) -> None:
        """Take a run of this store's writes topic and see it through."""
        self._latest[run.tp.topic] = run
        lane: Priority = "urgent" if run.tp.topic == self._catalogue.writes(self.store, "urgent").name else "normal"
        parcel = Parcel(run, len(run.records))
        items: list[Item] = []
        for record in run.records:
            try:
                write = decode_write(record.value or b"")
                if store_of(write) != self.store:
                    raise InvalidWrite(f"Expected a write for the store {self.store} - at `$.store`")
            except InvalidWrite as error:
                letter = dead_letter(
                    self._catalogue, record, component=self._component, stage="decode", error=error, store=self.store
                )
                task = asyncio.create_task(self._send([letter], [parcel]))
                self._undecodable.add(task)
                task.add_done_callback(self._undecodable.discard)
            else:
                items.append(Item(write, record, parcel))
        self._queue.add(items, lane, self._now())
        self._wake.set()

    def drain(self) -> None:
        """Write what is queued without waiting for full batches; called before a rebalance or a stop."""
        self._hurry = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                await self._wait_for_batch()
                batch = self._queue.take(self._now())
                if not batch:
                    continue
                outcomes = await self._write(batch)
                if self._settling is not None:
                    await self._settling  # at most one batch of receipts is on its way while the next is written
                self._settling = asyncio.create_task(self._settle(batch, outcomes))
        finally:
            if self._settling is not None:
                await asyncio.wait([self._settling], timeout=1)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sink.close)
            self._thread.shutdown(wait=False)

    @property
    def _component(self) -> str:
        return f"deliver.{self.store}"

    async def _wait_for_batch(self) -> None:
        while True:
            wait = self._queue.wait(self._now(), hurry=self._hurry)
            if wait == 0:
                return
            self._hurry = False
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                return

    async def _write(self, batch: list[Item]) -> list[Outcome]:
        """Return the outcome of each write, however often the store has to be asked."""
        while True:
            if all(item.parcel.run.stale for item in batch):
                return [Retry("the partition was taken away")] * len(batch)
            pause = self._breaker.wait(self._now())
            if pause:
                await asyncio.sleep(pause)
            try:
                outcomes = await self._call(self._attempt, [item.write for item in batch])
            except (Unavailable, Fatal) as error:
                self._open = False
                pause = self._breaker.failed(self._now(), getattr(error, "after", None))
                log.warning(
                    "store_unavailable" if isinstance(error, Unavailable) else "store_refuses",
                    store=self.store,
                    error=str(error),
                    failures=self._breaker.failures,
                    pause=round(pause, 3),
                )
                for run in self._latest.values():
                    run.hold_up(f"store {self.store}: {error}", pause)
            else:
                self._breaker.succeeded()
                return outcomes

    def _attempt(self, writes: Sequence[BaseWrite]) -> list[Outcome]:
        """Open the sink if need be and write; runs in the sink's thread."""
        if not self._open:
            self._sink.close()
            self._sink.open()
            self._open = True
        return self._bisect(writes)

    def _bisect(self, writes: Sequence[BaseWrite]) -> list[Outcome]:
        try:
            outcomes = self._sink.write(writes)
        except (Unavailable, Fatal):
            raise
        except BatchTooLarge as error:
            reason = f"too large for the store by itself: {error}"
        # A fault in a sink must cost the write that provokes it, not the batch, and never the worker.
        except Exception as error:
            log.exception("sink_raised", store=self.store, writes=len(writes))
            reason = f"{type(error).__name__}: {error}"
        else:
            if len(outcomes) == len(writes):
                return outcomes
            reason = f"the sink returned {len(outcomes)} outcomes for {len(writes)} writes"
        if len(writes) == 1:
            return [Rejected(reason)]
        middle = len(writes) // 2
        return [*self._bisect(writes[:middle]), *self._bisect(writes[middle:])]

    async def _call(self, function: Callable[[Sequence[BaseWrite]], list[Outcome]], writes: list[BaseWrite]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, writes)

    async def _settle(self, batch: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Publish receipts and dead letters, and finish the runs whose writes have all ended."""
        records: list[Outgoing] = []
        ended: list[Parcel] = []
        for item, outcome in zip(batch, outcomes, strict=True):
            final = self._again_or_final(item, outcome)
            if final is None:
                continue
            result, reason = final
            if result == "rejected":
                records.append(self._dead_letter(item, reason or ""))
            records.append(self._receipt(item.write, result, reason))
            ended.append(item.parcel)
        await self._send(records, ended)

    async def _send(self, records: list[Outgoing], ended: list[Parcel]) -> None:
        attempt = 0
        while True:
            try:
                await publish_with_letters(self._publisher, self._catalogue, records)
                break
            except TryAgain as error:
                attempt += 1
                pause = self._policy.pause(attempt)
                log.warning("receipts_retried", store=self.store, attempt=attempt, error=str(error))
                await asyncio.sleep(pause)
        for parcel in ended:
            parcel.settle()

    def _again_or_final(self, item: Item, outcome: Outcome) -> tuple[Result, str | None] | None:
        match outcome:
            case Retry(reason=reason, after=after):
                item.failed()
                if item.attempts < self._policy.attempts:
                    pause = self._policy.pause(item.attempts, after)
                    item.parcel.run.hold_up(f"store {self.store}: {reason}", pause)
                    self._queue.retry(item, self._now() + pause)
                    self._wake.set()
                    return None
                return "rejected", f"{reason} (after {item.attempts} attempts)"
            case Rejected(reason=reason):
                item.failed()
                return "rejected", reason
            case Applied():
                return "applied", None
            case Superseded():
                return "superseded", None

    def _receipt(self, write: BaseWrite, result: Result, reason: str | None) -> Outgoing:
        receipt = Receipt(
            store=self.store,
            entity=write.entity,
            version=write.version,
            source=write.source,
            event_id=write.event_id,
            result=result,
            at=datetime.now(UTC),
            reason=reason,
        )
        return Outgoing(self._catalogue.receipts.name, write.entity.encode(), encode_receipt(receipt))

    def _dead_letter(self, item: Item, reason: str) -> Outgoing:
        return dead_letter(
            self._catalogue,
            item.record,
            component=self._component,
            stage="write",
            error=SinkError(reason),
            attempts=item.attempts,
            first_failed_at=item.first_failed_at,
            store=self.store,
        )
