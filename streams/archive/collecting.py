"""The object that is being collected of one partition, and when it is complete. Pure."""

from typing import Literal

from msgspec import Struct

from connectors.archive.formats import encoder_of
from connectors.archive.names import Format, Name, day_of
from connectors.kafka.reading import StoredRecord

Reason = Literal["records", "bytes", "time", "day", "memory", "stop", "deleted", "pending"]


class Bounds(Struct, frozen=True, kw_only=True):
    """When an object is complete.

    Attributes:
        records: as many records.
        bytes: about this size, compressed.
        seconds: this long after its first record was read, also when nothing new comes.
    """

    records: int
    bytes: int
    seconds: float


class Collected(Struct, kw_only=True, frozen=True):
    """A complete object."""

    name: Name
    data: bytes
    content_type: str
    records: int


class Collecting:
    """Collects the records of one object.

    Args:
        topic: whose records they are.
        partition: which one of its partitions.
        first: the first offset that the object answers for.
        day: of the first record.
        form: how the object is written.
        opened: when the first record came, in seconds of any clock that is never set back.
    """

    def __init__(self, topic: str, partition: int, *, first: int, day: str, form: Format, opened: float) -> None:
        self.topic = topic
        self.partition = partition
        self.first = first
        self.day = day
        self.records = 0
        self.opened = opened
        self._form: Format = form
        self._last = first
        self._encoder = encoder_of(form)

    @property
    def memory(self) -> int:
        """About how much memory this takes."""
        return self._encoder.memory

    @property
    def last(self) -> int:
        """The offset of the last record."""
        return self._last

    def add(self, record: StoredRecord) -> None:
        """Add the next record."""
        self._encoder.add(record)
        self._last = record.offset
        self.records += 1

    def ends_before(self, record: StoredRecord) -> bool:
        """Whether a record is of a later day, so that the next object begins with it."""
        return day_of(record.timestamp) > self.day

    def reason(self, bounds: Bounds, now: float) -> Reason | None:
        """Return why the object is complete, None when it is not."""
        if self.records >= bounds.records:
            return "records"
        if self._encoder.size >= bounds.bytes:
            return "bytes"
        return "time" if now - self.opened >= bounds.seconds else None

    def finish(self, last: int | None = None) -> Collected:
        """Return the object; nothing can be added after.

        Args:
            last: the last offset it answers for, where that is not its last record's.
        """
        name = Name(self.topic, self.partition, self.day, self.first, self._last if last is None else last, self._form)
        return Collected(
            name=name, data=self._encoder.finish(), content_type=self._encoder.content_type, records=self.records
        )
