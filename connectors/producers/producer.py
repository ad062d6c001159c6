"""Publish typed events from ordinary (blocking) code."""

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from connectors.kafka.connection import Connection
from connectors.large_values import LargeValues
from connectors.producers.errors import DeliveryFailed, FlushTimedOut, QueueFull, RawRecord
from connectors.producers.large import claimed
from connectors.producers.record_queue import SLICE_SECONDS, Counts, DeliveryHook, QueueLimits, RecordQueue
from connectors.producers.records import EventRecords
from schemas.clock import HybridClock
from schemas.events import AnyEvent
from schemas.headers import Headers
from schemas.topics import Catalogue
from schemas.writes import EventPriority


class EventProducer:
    """Publishes events idempotently, with acknowledgement by all in-sync replicas.

    What `publish` accepted is either acknowledged or raised by `flush` with its reason; it is never dropped. Events of
    one traveller keep the order in which one thread publishes them. Memory is bounded by `limits`: when the brokers are
    slow, `publish` blocks. May be used from several threads, except `open` and `close`.

    As a context manager it opens, and flushes at the end, also when the block raises; then that exception goes on, with
    a note about the events that failed, and a later `flush()` still raises those.

    Args:
        connection: how to reach the brokers.
        catalogue: the topics.
        source: who publishes, as CloudEvents' `source` (a URI reference, "/apps/mobile").
        clock: gives versions to events that have none; share one clock between the producers of one process.
        limits: the bounds of memory and time.
        room_seconds: how long `publish` waits for room.
        large_values: where values go that are larger than its `over_bytes`; their records carry claims to them.
        on_delivery: called once for each acknowledged record, in whichever thread then calls this producer. It must
            not raise, and makes publishing slower by about a third.
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
        self._queue = RecordQueue(connection, limits or QueueLimits(), on_delivery)
        self._room_seconds = room_seconds
        self._large_values = large_values

    def open(self) -> None:
        """Create the client, which connects in the background. Harmless when open."""
        self._queue.open()

    def check(self, timeout: float = 5) -> None:
        """Ask the brokers for the topics of events, so that a wrong address shows before the first event.

        Raises:
            Unreachable: no broker answered within `timeout` seconds.
            TopicMissing: names the topics that do not exist.
        """
        self._queue.check(self._records.topics, timeout)

    def publish(self, event: AnyEvent, *, priority: EventPriority = "normal", traceparent: str | None = None) -> None:
        """Accept an event for sending; blocks while there is no room.

        Args:
            event: goes to the topic of its type. Version 0 is replaced by the clock's next version.
            priority: "urgent" sends it to the lane that overtakes all others, whatever its type; what follows from a
                "low" one may be put off while a store lags behind.
            traceparent: the W3C trace context to carry along.

        Raises:
            InvalidEvent: the event breaks its schema; names the field. Nothing was sent.
            QueueFull: there was no room within `room_seconds`.
            Refused: Kafka's client will never take it, or it is larger than the `most_bytes` of `large_values`.
            LargeValueNotStored: its value belongs into the object store, which does not take it now.
            DeliveryFailed: more than `limits.failures` earlier events have failed, which are in the exception.
            NotOpen: the producer is not open.
        """
        record = self._records.record(event, priority, traceparent)
        values = self._large_values
        if values is not None and len(record[2] or b"") > values.over_bytes:
            self._offer_until_accepted(partial(self._queue.offer_for, *claimed(record, values)))
            return
        if not self._queue.offer(record):
            self._offer_until_accepted(partial(self._queue.offer, record))

    def publish_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Accept a record as it is, unchecked; otherwise as `publish`."""
        self._offer_until_accepted(partial(self._queue.offer_raw, RawRecord(topic, key, value, headers)))

    def serve(self, timeout: float = 0) -> None:
        """Handle the delivery reports that are there, or wait up to `timeout` seconds for one.

        Publishing does this too; somebody who publishes rarely and wants to see reports soon calls it in between.
        """
        self._queue.serve(timeout)

    def counts(self) -> Counts:
        """Return how many records were published, acknowledged and given up on so far, over all time."""
        return self._queue.counts()

    def flush(self, timeout: float | None = None) -> None:
        """Return once everything that was published is acknowledged.

        Raises:
            DeliveryFailed: holds every event that failed since the last time, with its reason.
            FlushTimedOut: `timeout` seconds passed first. Without a timeout, `limits.delivery_seconds` is the end.
        """
        left = self._drain(timeout)
        if left:
            raise FlushTimedOut(left, timeout or 0)
        self._queue.raise_failures()

    def close(self, timeout: float | None = None) -> None:
        """Flush, give up on what is not acknowledged after `timeout` seconds, and let go of the client.

        Harmless when closed.

        Raises:
            DeliveryFailed: as `flush`; holds the events that were given up on, too.
        """
        try:
            self._drain(timeout)
        finally:
            self._queue.close()
        self._queue.raise_failures()

    def _drain(self, timeout: float | None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while left := self._queue.drain(SLICE_SECONDS):
            if deadline is not None and time.monotonic() >= deadline:
                break
        return left

    def _offer_until_accepted(self, offer: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._room_seconds
        while not offer():
            if time.monotonic() >= deadline:
                raise QueueFull(f"no room for a record within room_seconds={self._room_seconds:g}: {self.counts()}")
            self._queue.serve(SLICE_SECONDS)
            self._queue.serve(SLICE_SECONDS)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except DeliveryFailed as failed:
            if error is None:
                raise
            self._queue.keep(failed.failures)
            error.add_note(f"{failed}; flush() raises them again")
