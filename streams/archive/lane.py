"""One partition on its way to the archive."""

from collections.abc import Callable, Iterable

import structlog

from connectors.archive.errors import ArchiveError
from connectors.archive.names import Format, Name, day_of
from connectors.archive.partition import PartitionArchive
from connectors.kafka.reading import StoredRecord
from connectors.storage.contract import Storage
from streams.archive.collecting import Bounds, Collected, Collecting, Reason
from streams.archive.metrics import LaneSample

log = structlog.get_logger(__name__)


class Lane:
    """What was read of a partition and is not archived yet; one owner, one thread.

    Attributes:
        lost: records that the topic had lost before they were archived, as found at the start.
        archived_to: the first offset that no object answers for, as found at the start; None when there is no object.
    """

    def __init__(self, storage: Storage, topic: str, partition: int, form: Format) -> None:
        self.topic = topic
        self.partition = partition
        self.lost = 0
        self.archived_to: int | None = None
        self._form: Format = form
        self._archive = PartitionArchive(storage, topic, partition)
        self._next = 0
        self._pending: Name | None = None
        self._collecting: Collecting | None = None

    @property
    def memory(self) -> int:
        """About how much memory this takes."""
        return 0 if self._collecting is None else self._collecting.memory

    @property
    def records(self) -> int:
        """How many were read and are not archived yet."""
        return 0 if self._collecting is None else self._collecting.records

    def sample(self, end: int | None) -> LaneSample:
        """Return how far this is, for the metrics.

        Args:
            end: the offset after the partition's last record; None: not known.
        """
        return LaneSample(
            topic=self.topic,
            partition=self.partition,
            lag=None if end is None else max(0, end - self._next),
            records=self.records,
            bytes=self.memory,
            opened=None if self._collecting is None else self._collecting.opened,
            lost=self.lost,
        )

    @property
    def may_end(self) -> bool:
        """Whether the object can be complete as it is; one that was decided on earlier has its boundaries."""
        return self._collecting is not None and self._pending is None

    def start(self, edges: Callable[[], tuple[int, int]], committed: Callable[[], int]) -> int:
        """Return the offset to read from.

        Args:
            edges: asks for the partition's first offset and the one after its last.
            committed: asks for the consumer group's offset, which follows an object once it is there; below 0: none.

        Raises:
            Unavailable: the store does not answer.
            ArchiveError: the archive is ahead of the topic, which was made anew.
        """
        where = f"{self.topic}, partition {self.partition}"
        progress = self._archive.progress(committed)
        low, high = edges()  # later than the archive: asked before, others could have archived beyond its end since
        self._collecting, self._pending = None, progress.pending
        self._next = low if progress.next is None else progress.next
        self.archived_to = progress.next
        if self._next > high:
            raise ArchiveError(
                f"{where}: the archive goes to offset {self._next - 1}, the topic only to {high - 1}; it was "
                "made anew: set another archive.prefix, or exclude it"
            )
        if self._next < low:
            # Told, and left out of all objects, so that a check of the archive shows it for ever.
            log.error("archive_records_lost", where=where, first=self._next, last=low - 1)
            self.lost += low - self._next
            if self._pending is not None and self._pending.last < low:
                self._archive.skip(self._pending)
                self._pending = None
            if self._pending is None:
                self._next = low
        return max(self._next, low)

    def complete_before(self, record: StoredRecord) -> Reason | None:
        """Return why the object ends before a record, None when the record belongs to it."""
        if self._pending is not None:
            return "pending" if record.offset > self._pending.last else None
        return "day" if self._collecting is not None and self._collecting.ends_before(record) else None

    def complete_at(self, end: int) -> bool:
        """Whether an object that was decided on earlier is complete at the partition's end."""
        return self._pending is not None and end > self._pending.last

    def complete(self, bounds: Bounds, now: float) -> Reason | None:
        """Return why the object is complete, None when it is not, or there is none."""
        if self._collecting is None:
            return None
        if self._pending is not None:
            return "pending" if self._collecting.last == self._pending.last else None
        return self._collecting.reason(bounds, now)

    def add(self, record: StoredRecord, now: float) -> None:
        """Add the next record."""
        if self._collecting is None:
            self._collecting = self._begin(record.timestamp, now)
        self._collecting.add(record)

    def close(self, reason: Reason, now: float) -> Collected | None:
        """Write the object; return it, or None when there is nothing to write.

        Raises:
            Unavailable: the store does not answer.
            Overtaken: somebody else archives this partition now.
            ArchiveError: something else lies under the object's name.
        """
        pending = self._pending
        if pending is not None and reason != "pending":  # its boundaries stand: a stop cannot take a part of it
            return None
        if pending is not None and self._collecting is None:  # all its records are gone; the object says so
            self._collecting = self._begin(0, now)
        if self._collecting is None:
            return None
        collected = self._collecting.finish(None if pending is None else pending.last)
        self._archive.store(collected.name, collected.data, collected.content_type)
        self._next = collected.name.last + 1
        self._collecting = self._pending = None
        return collected

    def _begin(self, timestamp: int, now: float) -> Collecting:
        pending = self._pending
        return Collecting(
            self.topic,
            self.partition,
            first=self._next,
            day=day_of(timestamp) if pending is None else pending.day,
            form=self._form if pending is None else pending.format,
            opened=now,
        )


def largest_beyond(most_bytes: int, lanes: Iterable[Lane]) -> list[Lane]:
    """Return the largest lanes whose objects may end, until the others take at most so much memory."""
    found: list[Lane] = []
    memory = {lane: lane.memory for lane in lanes}
    left = sum(memory.values())
    for lane in sorted(memory, key=memory.__getitem__, reverse=True):
        if left > most_bytes and lane.may_end:
            found.append(lane)
            left -= memory[lane]
    return found
