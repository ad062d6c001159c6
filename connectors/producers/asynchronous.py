"""Publish typed events from asyncio code."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

from connectors.kafka.connection import Connection
from connectors.large_values import LargeValues
from connectors.producers.errors import DeliveryFailed, FlushTimedOut, QueueFull, RawRecord
from connectors.producers.large import claimed
from connectors.producers.record_queue import SLICE_SECONDS, Counts, Delivered, DeliveryHook, QueueLimits, RecordQueue
from connectors.producers.records import EventRecords, Record
from schemas.clock import HybridClock
from schemas.events import AnyEvent
from schemas.headers import Headers
from schemas.topics import Catalogue
from schemas.writes import EventPriority

YIELD_EVERY = 100  # publishes between two turns of the loop, so that a tight loop of publishes starves nobody


class AsyncEventProducer:
    """`EventProducer` for one event loop: the same guarantees, and it waits without blocking the loop.

    Events are accepted in the order of the calls, also of those that wait for room or for an upload; uploads run side
    by side. `on_delivery` is called in the loop. A cancelled `publish` that was waiting has not accepted its event.

    Args: as `EventProducer`.
    """

    def __init__(
        self,
        connection: Connection,
        catalogue: Catalogue,
        *,
        source: str,
        clock: HybridClock | None = None,
        limits: QueueLimits | None = None,
        room_seconds: float = 60,
        large_values: LargeValues | None = None,
        on_delivery: DeliveryHook | None = None,
    ) -> None:
        self._records = EventRecords(catalogue, source, clock or HybridClock())
        self._hook = on_delivery
        self._queue = RecordQueue(connection, limits or QueueLimits(), self._hand_over if on_delivery else None)
        self._room_seconds = room_seconds
        self._large_values = large_values
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()  # held by the one who waits for room or for an upload
        self._waiting = 0  # those who hold it or wait for it: while there are any, nobody may overtake them
        self._calls = 0

    async def open(self) -> None:
        """Create the client, which connects in the background. Harmless when open."""
        self._loop = asyncio.get_running_loop()
        self._queue.open()

    async def check(self, timeout: float = 5) -> None:
        """Ask the brokers for the topics of events. Raises as `EventProducer.check`."""
        await asyncio.to_thread(self._queue.check, self._records.topics, timeout)

    async def publish(
        self, event: AnyEvent, *, priority: EventPriority = "normal", traceparent: str | None = None
    ) -> None:
        """Accept an event for sending; waits while there is no room. Raises as `EventProducer.publish`."""
        record = self._records.record(event, priority, traceparent)
        values = self._large_values
        if values is not None and len(record[2] or b"") > values.over_bytes:
            await self._upload_and_accept(record, values)
        else:
            await self._accept(partial(self._queue.offer, record))

    async def publish_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Accept a record as it is, unchecked; otherwise as `publish`."""
        await self._accept(partial(self._queue.offer_raw, RawRecord(topic, key, value, headers)))

    def counts(self) -> Counts:
        """Return how many records were published, acknowledged and given up on, over all time."""
        return self._queue.counts()

    async def flush(self, timeout: float | None = None) -> None:
        """Return once everything that was published is acknowledged. Raises as `EventProducer.flush`."""
        left = await self._drain(timeout)
        if left:
            raise FlushTimedOut(left, timeout or 0)
        self._queue.raise_failures()

    async def close(self, timeout: float | None = None) -> None:
        """Flush, give up on what is left after `timeout` seconds, and let go. Raises as `EventProducer.close`."""
        try:
            await self._drain(timeout)
        finally:
            await asyncio.to_thread(self._queue.close)
        self._queue.raise_failures()

    async def _accept(self, offer: Callable[[], bool]) -> None:
        self._calls += 1
        if self._waiting == 0 and self._calls % YIELD_EVERY and offer():
            return
        async with self._in_turn():
            await asyncio.sleep(0)
            await self._offer_until_accepted(offer)

    async def _upload_and_accept(self, record: Record, values: LargeValues) -> None:
        uploading = asyncio.create_task(asyncio.to_thread(claimed, record, values))
        try:
            async with self._in_turn():
                await self._offer_until_accepted(partial(self._queue.offer_for, *await uploading))
        finally:
            uploading.cancel()  # when this was cancelled; else it is done

    @asynccontextmanager
    async def _in_turn(self) -> AsyncGenerator[None]:
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    async def _offer_until_accepted(self, offer: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._room_seconds
        while not offer():
            if time.monotonic() >= deadline:
                raise QueueFull(f"no room for a record within room_seconds={self._room_seconds:g}: {self.counts()}")
            await asyncio.to_thread(self._queue.serve, SLICE_SECONDS)

    async def _drain(self, timeout: float | None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while left := await asyncio.to_thread(self._queue.drain, SLICE_SECONDS):
            if deadline is not None and time.monotonic() >= deadline:
                break
        return left

    def _hand_over(self, delivered: Delivered) -> None:
        # Called in whichever thread serves the reports. The loop runs these in order and before the end of a flush,
        # because that end goes the same way after them.
        if self._loop is not None and self._hook is not None:
            self._loop.call_soon_threadsafe(self._hook, delivered)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except DeliveryFailed as failed:
            if error is None:
                raise
            self._queue.keep(failed.failures)
            error.add_note(f"{failed}; flush() raises them again")
