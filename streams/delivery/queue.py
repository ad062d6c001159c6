"""Writes on their way to one store: two lanes, and those that wait for their next try."""

import heapq
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

from connectors.sinks.contract import Limits
from schemas.writes import BaseWrite, Priority
from streams.runtime.records import Record, Run


class Parcel:
    """A run handed over, and how many of its writes are still without an end."""

    __slots__ = ("left", "run")

    def __init__(self, run: Run, left: int) -> None:
        self.run = run
        self.left = left

    def settle(self) -> None:
        """Note the end of one write; with the last one the run is finished."""
        self.left -= 1
        if self.left == 0:
            self.run.finish()


class Item:
    """One write with the record it came in, which way into the store its key goes, and its failures so far."""

    __slots__ = (
        "attempts",
        "first_failed",
        "first_failed_at",
        "parcel",
        "record",
        "size",
        "undo",
        "undo_told",
        "undo_unknown",
        "way",
        "write",
    )

    def __init__(self, write: BaseWrite, record: Record, parcel: Parcel, way: int = 0) -> None:
        self.write = write
        self.record = record
        self.parcel = parcel
        self.way = way
        self.attempts = 0
        self.first_failed: float | None = None  # by the clock that is never set back
        self.first_failed_at: datetime | None = None
        self.undo: BaseWrite | None = None  # what the store held before the first attempt
        self.undo_told = False  # before the write; else it is told with its end
        self.undo_unknown = False  # it was asked for, and the sink cannot tell
        self.size = len(record.value or b"")  # bytes of the encoded write

    def failed(self, now: float) -> float:
        """Count a failure; return how many seconds ago the first one was."""
        self.attempts += 1
        self.first_failed_at = self.first_failed_at or datetime.now(UTC)
        self.first_failed = now if self.first_failed is None else self.first_failed
        return now - self.first_failed


class WriteQueue:
    """Gives out batches within a sink's limits: what is due for another try, then urgent writes, then the rest."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lanes: dict[Priority, deque[Item]] = {"urgent": deque(), "normal": deque()}
        self._later: list[tuple[float, int, Item]] = []
        self._order = 0
        self._oldest: float | None = None
        self._bytes = 0

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values()) + len(self._later)

    def add(self, items: Sequence[Item], lane: Priority, now: float) -> None:
        """Append writes to a lane."""
        if not items:
            return
        self._lanes[lane].extend(items)
        self._bytes += sum(item.size for item in items)
        if self._oldest is None:
            self._oldest = now

    def retry(self, item: Item, due: float) -> None:
        """Have a write tried again at `due`. Versions make it harmless that others of its entity go first."""
        self._order += 1
        heapq.heappush(self._later, (due, self._order, item))

    @property
    def bytes(self) -> int:
        """Size of the encoded writes that wait, those that wait for another try included."""
        return self._bytes + sum(item.size for _, _, item in self._later)

    def parcels(self) -> set[Parcel]:
        """Return the runs whose writes wait."""
        lanes = (item.parcel for lane in self._lanes.values() for item in lane)
        return {*lanes, *(item.parcel for _, _, item in self._later)}

    def wait(self, now: float, *, hurry: bool = False, most: int | None = None) -> float | None:
        """Return how long to wait for the next batch: 0 when there is one now, None when there is nothing at all.

        A batch is due when it is full, when an urgent write is in it, or when the oldest write waited for `linger_ms`;
        in a hurry, when it holds anything. A pause before another try is kept to all the same.

        Args:
            now: the time.
            hurry: whether to wait for no others.
            most: how many writes make it full; else what the limits say.
        """
        due = [self._later[0][0] - now] if self._later else []
        queued = sum(len(lane) for lane in self._lanes.values())
        if queued and self._oldest is not None:
            full = queued >= self._most(most) or self._bytes >= self._limits.max_bytes
            if full or hurry or self._lanes["urgent"]:
                return 0.0
            due.append(self._oldest + self._limits.linger_ms / 1000 - now)
        return max(0.0, min(due)) if due else None

    def take(self, now: float, most: int | None = None) -> list[Item]:
        """Take the next batch, of at most so many writes; those of runs that are no longer ours are left out."""
        batch: list[Item] = []
        size = 0
        records = self._most(most)
        while self._later and self._later[0][0] <= now and len(batch) < records:
            if batch and size + self._later[0][2].size > self._limits.max_bytes:
                break
            item = heapq.heappop(self._later)[2]
            if not item.parcel.run.stale:
                batch.append(item)
                size += item.size
        for lane in ("urgent", "normal"):
            queue = self._lanes[lane]
            while queue and len(batch) < records:
                if batch and size + queue[0].size > self._limits.max_bytes:
                    break
                item = queue.popleft()
                self._bytes -= item.size
                if not item.parcel.run.stale:
                    batch.append(item)
                    size += item.size
        self._oldest = now if any(self._lanes.values()) else None
        return batch

    def _most(self, asked_for: int | None) -> int:
        return self._limits.max_records if asked_for is None else min(asked_for, self._limits.max_records)
