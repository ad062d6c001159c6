"""Delivers the writes of one store: takes runs, shares them out to the ways into the store, sees each to its end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from connectors.sinks.contract import Limits, Sink
from schemas.topics import Catalogue
from schemas.writes import InvalidWrite, Priority, StoreName, decode_write, key_of, store_of
from streams.delivery.accounts import Accounts
from streams.delivery.breaker import DeliveryPolicy
from streams.delivery.channel import Channel
from streams.delivery.gate import Gate
from streams.delivery.metrics import DeliveryMetrics, StoreSample
from streams.delivery.opening import Opening
from streams.delivery.queue import Item, Parcel
from streams.delivery.shedding import Shedding, may_wait
from streams.delivery.token_bucket import TokenBucket
from streams.runtime.faults import FaultPoints
from streams.runtime.pauses import Pauses
from streams.runtime.publisher import Outgoing, Publisher
from streams.runtime.records import Run

log = structlog.get_logger(__name__)

TIMER_SECONDS = 0.001  # a timer may fire a little early; then it is set again


class StorePlan(Struct, frozen=True, kw_only=True):
    """How much a store is given.

    Attributes:
        max_records: of a request, where it is less than the sink's own; so are the other two.
        max_bytes: of a request.
        linger_ms: how long a write waits for others; may be more, too.
        rate: most writes per second; 0: no limit.
        burst: seconds of that rate that may be saved up.
        shed_lag: records of lag over which low-priority writes are put off; 0: never.
    """

    max_records: int | None = None
    max_bytes: int | None = None
    linger_ms: int | None = None
    rate: float = 0.0
    burst: float = 1.0
    shed_lag: int = 0

    def within(self, own: Limits) -> Limits:
        """Return a sink's limits with what is planned in their place, as far as the sink takes that much."""
        return Limits(
            max_records=min(own.max_records, self.max_records or own.max_records),
            max_bytes=min(own.max_bytes, self.max_bytes or own.max_bytes),
            linger_ms=own.linger_ms if self.linger_ms is None else self.linger_ms,
            requests=own.requests,
        )


class Delivery:
    """The way of all writes into one store.

    Every write ends in exactly one of: applied, superseded (both in the store), or a dead letter; one that is put off
    goes to a topic of its own and ends when it is read from there. A run is finished when all of its writes have ended
    and their receipts and dead letters are acknowledged by Kafka. Writes of one key go one way, in their order, and
    different keys side by side, one request for each sink; while there are few writes, those of several ways go in one
    request. While the store is away its topics are paused and what was read is kept and tried again; others do not
    notice.

    Args:
        store: which one.
        sinks: of the store, one for each request at a time, not open.
        publisher: of receipts and dead letters.
        catalogue: the topics.
        policy: how failures are answered.
        plan: how much the store is given.
        pauses: the topics of which nothing is fetched for now.
        metrics: counts what happens.
        opening: opens the contents of sealed writes.
        now: a clock in seconds that is never set back.
        faults: where the process is to be killed, in tests.
    """

    def __init__(
        self,
        store: StoreName,
        sinks: Sequence[Sink[Any]],
        *,
        publisher: Publisher,
        catalogue: Catalogue,
        policy: DeliveryPolicy,
        plan: StorePlan = StorePlan(),  # noqa: B008 - it cannot be changed
        pauses: Pauses | None = None,
        metrics: DeliveryMetrics | None = None,
        opening: Opening = Opening(),  # noqa: B008 - it cannot be changed
        now: Callable[[], float] = time.monotonic,
        faults: FaultPoints = FaultPoints(),  # noqa: B008 - off
    ) -> None:
        self.store: StoreName = store
        self.backlog = (catalogue.writes(store, "urgent").name, catalogue.writes(store).name)
        self._deferred = catalogue.deferred(store).name
        self._topics = (*self.backlog, self._deferred, catalogue.compensations(store).name)
        self._pauses = pauses or Pauses()
        self._metrics = metrics or DeliveryMetrics(CollectorRegistry())
        self._accounts = Accounts(store, publisher, catalogue, policy)
        self._shedding = Shedding(plan.shed_lag)
        self._now = now
        self._paused = False
        self._latest: dict[str, Run] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._reading_again: asyncio.TimerHandle | None = None
        self._gate = Gate(
            policy,
            TokenBucket(plan.rate, plan.burst, now()) if plan.rate else None,
            now,
            changed=self._pause_topics,
            throttled=lambda seconds: self._metrics.throttled(store, seconds),
        )
        self._channels = [
            Channel(
                sink,
                plan.within(sink.limits),
                gate=self._gate,
                accounts=self._accounts,
                policy=policy,
                metrics=self._metrics,
                opening=opening,
                held_up=self._hold_up,
                now=now,
                faults=faults,
            )
            for sink in sinks
        ]
        for channel in self._channels:
            channel.ways = self._channels
        self._metrics.read_from(store, self._sample)

    def accept(self, run: Run) -> None:
        """Take a run of one of this store's topics and see it through."""
        topic = run.tp.topic
        self._latest[topic] = run
        lane: Priority = "urgent" if topic == self.backlog[0] else "normal"
        sheds = self._shedding.active and topic == self.backlog[1]
        parcel = Parcel(run, len(run.records))
        items: list[list[Item]] = [[] for _ in self._channels]
        sent: list[Outgoing] = []
        put_off = 0
        for record in run.records:
            try:
                write = decode_write(record.value or b"")
                if store_of(write) != self.store:
                    raise InvalidWrite(f"Expected a write for the store {self.store} - at `$.store`")
            except InvalidWrite as error:
                sent.append(self._accounts.unreadable(record, error))
                continue
            if sheds and may_wait(record, write):
                sent.append(self._accounts.deferred(record))
                put_off += 1
                continue
            way = crc32(key_of(write).encode()) % len(items) if len(items) > 1 else 0
            items[way].append(Item(write, record, parcel, way))
        for channel, share in zip(self._channels, items, strict=True):
            channel.add(share, lane)
        if sent:
            self._metrics.ended(self.store, {"deferred": put_off, "rejected": len(sent) - put_off})
            task = asyncio.create_task(self._accounts.settle(sent, [parcel] * len(sent)))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    @property
    def tells_undo(self) -> bool:
        """Whether the store can tell what would undo a write."""
        return self._channels[0].tells_undo

    def drain(self) -> None:
        """Write what is queued without waiting for full batches; called before a rebalance or a stop.

        What cannot be written now, because the store is away or paused, is left to the next owner of its partition.
        """
        for channel in self._channels:
            channel.hurry()
            if self._gate.held:
                for parcel in channel.queue.parcels():
                    if parcel.run.leaving.is_set():
                        parcel.run.leave()

    def pause(self, why: str) -> None:
        """Call the store no more, and read no more of its topics, until `resume`; requests under way are finished."""
        if not self._paused:
            log.warning("delivery_paused", store=self.store, why=why)
        self._paused = True
        self._pauses.pause(self._topics, "operator", why)
        self._gate.pause()

    def resume(self) -> None:
        """Go on; harmless when it was not paused."""
        if self._paused:
            log.warning("delivery_resumed", store=self.store)
        self._paused = False
        self._pauses.resume(self._topics, "operator")
        self._gate.resume()

    def note_lag(self, records: int) -> None:
        """Take the lag of this store's topics; over the limit, low-priority writes are put off until it has fallen."""
        if not self._shedding.note(records):
            return
        log.warning("low_priority_deferred" if self._shedding.active else "deferred_drained", store=self.store)
        if self._shedding.active:
            self._pauses.pause([self._deferred], "deferred", f"the store {self.store} lags behind")
        else:
            self._pauses.resume([self._deferred], "deferred")

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for channel in self._channels:
                    group.create_task(channel.run())
        finally:
            if self._reading_again is not None:
                self._reading_again.cancel()

    def _hold_up(self, reason: str, seconds: float) -> None:
        for run in self._latest.values():
            run.hold_up(reason, seconds)

    def _pause_topics(self) -> None:
        """Have no more read while the breaker is open; half-open it needs something to try the store with."""
        if self._reading_again is not None:
            self._reading_again.cancel()
            self._reading_again = None
        if self._gate.state == "open":
            why = f"store {self.store}: {self._gate.failures} requests in a row failed"
            self._pauses.pause(self._topics, "breaker", why)
            loop = asyncio.get_running_loop()
            self._reading_again = loop.call_later(max(self._gate.open_for, TIMER_SECONDS), self._pause_topics)
        else:
            self._pauses.resume(self._topics, "breaker")

    def _sample(self) -> StoreSample:
        waiting = [channel.queue for channel in self._channels]
        in_flight = [item for channel in self._channels for item in channel.in_flight]
        return StoreSample(
            batch_limit=max(channel.most for channel in self._channels),
            queued=sum(map(len, waiting)),
            queued_bytes=sum(queue.bytes for queue in waiting),
            in_flight=len(in_flight),
            in_flight_bytes=sum(item.size for item in in_flight),
            breaker=self._gate.state,
            paused=self._paused,
        )
