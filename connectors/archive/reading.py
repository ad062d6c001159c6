"""Read records back from an archive, and check it."""

from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct

from connectors.archive.coverage import Coverage, coverage
from connectors.archive.errors import ArchiveError, Unreadable
from connectors.archive.formats import records_in
from connectors.archive.names import HEADS, TOPICS, Name, day_of, named, partition_prefix, topic_prefix
from connectors.archive.partition import PartitionArchive
from connectors.kafka.reading import StoredRecord
from connectors.storage.contract import Storage


class Wanted(Struct, frozen=True, kw_only=True):
    """Which records of a topic are read; what is not set does not matter.

    Attributes:
        partition: of this partition only.
        from_offset: from this offset on.
        to_offset: before this offset.
        from_ms: with a timestamp of at least this, in milliseconds since 1970.
        to_ms: with an earlier timestamp than this.
        key: with this key.
    """

    partition: int | None = None
    from_offset: int = 0
    to_offset: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    key: bytes | None = None

    def may_have(self, name: Name) -> bool:
        """Whether an object may have such records, as far as its name tells."""
        if self.to_offset is not None and name.first >= self.to_offset:
            return False
        # All records of an object are of its day or of an earlier one; later ones there are not.
        too_old = self.from_ms is not None and name.day < day_of(self.from_ms)
        return name.last >= self.from_offset and not too_old

    def has(self, record: StoredRecord) -> bool:
        """Whether a record is one of them."""
        return (
            record.offset >= self.from_offset
            and (self.to_offset is None or record.offset < self.to_offset)
            and (self.from_ms is None or record.timestamp >= self.from_ms)
            and (self.to_ms is None or record.timestamp < self.to_ms)
            and (self.key is None or record.key == self.key)
        )


class Checked(Struct, frozen=True, kw_only=True):
    """What a check found of one partition.

    Attributes:
        coverage: what the names say.
        pending: whether the object that was decided on last is missing: the next owner of the partition makes it, or it
            was removed, which the committed offsets tell.
        problems: objects that cannot be read, or hold offsets they do not answer for; empty unless content is read.
        records: how many records were read; None unless content is read.
    """

    topic: str
    partition: int
    coverage: Coverage
    pending: bool
    problems: tuple[str, ...] = ()
    records: int | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return self.coverage.whole and not self.problems


def topics_in(storage: Storage) -> list[str]:
    """Return the topics of which the archive has objects."""
    return sorted({name.topic for name in named(storage.names(TOPICS))})


def partitions_of(storage: Storage, topic: str) -> int:
    """Return how many partitions the archive knows of a topic: up to the last one that ever had a record."""
    heads = (path.removeprefix(f"{HEADS}{topic}/") for path in storage.names(f"{HEADS}{topic}/"))
    return max((int(head.removesuffix(".json")) + 1 for head in heads), default=0)


def read(storage: Storage, topic: str, wanted: Wanted) -> Iterator[StoredRecord]:
    """Yield records of a topic, one partition after the other, each in order and once.

    One object at a time is in memory, compressed.

    Raises:
        Unavailable: the store does not answer.
        ArchiveError: an object cannot be read.
    """
    prefix = topic_prefix(topic) if wanted.partition is None else partition_prefix(topic, wanted.partition)
    for _, names in groupby(named(storage.names(prefix)), key=lambda name: name.partition):
        end = -1  # of what was yielded: where objects overlap, both have the same records
        for name in names:
            if not wanted.may_have(name):
                continue
            for record in records_of(storage, name):
                if record.offset > end:
                    end = record.offset
                    if wanted.has(record):
                        yield record


def records_of(storage: Storage, name: Name) -> Iterator[StoredRecord]:
    """Yield the records of an object.

    Raises:
        Unavailable: the store does not answer.
        ArchiveError: it is gone, or cannot be read.
    """
    found = storage.get(name.path)
    if found is None:
        raise ArchiveError(f"{name.path} was listed and is gone")
    try:
        yield from records_in(name.format, name.topic, found.data)
    except Unreadable as error:
        raise ArchiveError(f"{name.path}: {error}") from error


def check(storage: Storage, topic: str, *, content: bool = False) -> list[Checked]:
    """Return for each partition of a topic what the archive has, and what is wrong with it.

    Args:
        storage: where the archive lies.
        topic: which one.
        content: read every object, too.

    Raises:
        Unavailable: the store does not answer.
        ArchiveError: a head cannot be read.
    """
    found: list[Checked] = []
    for partition, group in groupby(named(storage.names(topic_prefix(topic))), key=lambda name: name.partition):
        names = list(group)
        progress = PartitionArchive(storage, topic, partition).progress()
        checked = Checked(
            topic=topic, partition=partition, coverage=coverage(names), pending=progress.pending is not None
        )
        found.append(_with_content(storage, checked, names) if content else checked)
    return found


def _with_content(storage: Storage, checked: Checked, names: list[Name]) -> Checked:
    problems: list[str] = []
    records = 0
    for name in names:
        try:
            offsets = [record.offset for record in records_of(storage, name)]
        except ArchiveError as error:
            problems.append(str(error))
            continue
        records += len(offsets)
        if offsets != sorted(set(offsets)) or (offsets and not name.first <= offsets[0] <= offsets[-1] <= name.last):
            problems.append(f"{name.path}: offsets that it does not answer for, or not in order")
    return Checked(
        topic=checked.topic,
        partition=checked.partition,
        coverage=checked.coverage,
        pending=checked.pending,
        problems=tuple(problems),
        records=records,
    )
