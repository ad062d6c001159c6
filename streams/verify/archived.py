"""What the sweep reads of the archive: records from before the topics begin in Kafka."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from connectors.archive.names import Name, named, partition_prefix
from connectors.archive.reading import Wanted, read, records_of
from connectors.kafka.reading import StoredRecord
from connectors.storage.contract import Storage
from streams.verify.lines import Home, Origin


class ArchivedTopics:
    """Topics in the archive. Names of objects are listed once; one object at a time is in memory, packed.

    Args:
        storage: where the archive lies, open.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._names: dict[Home, Sequence[Name]] = {}

    def close(self) -> None:
        """Let go of the store."""
        self._storage.close()

    def begins(self, home: Home, end: int) -> int:
        """Return from which offset on the archive answers for all offsets of a partition up to `end`.

        What lies before a gap does not count: what was written in the gap may have been a delete of it.

        Raises:
            Unavailable: the store does not answer.
        """
        start = end
        for name in sorted(self._of(home), key=lambda name: name.last, reverse=True):
            if name.last < start - 1:
                break
            start = min(start, name.first)
        return start

    def records(self, home: Home, start: int, end: int) -> Iterator[StoredRecord]:
        """Yield the records of a partition from `start` on and before `end`, in order.

        Raises:
            Unavailable: the store does not answer.
            ArchiveError: an object cannot be read.
        """
        topic, partition = home
        return read(self._storage, topic, Wanted(partition=partition, from_offset=start, to_offset=end))

    def records_at(self, origins: Iterable[Origin]) -> Iterator[StoredRecord]:
        """Yield the records that lie at these places; those that are gone are left out. An object is read once.

        Raises:
            Unavailable: the store does not answer.
            ArchiveError: an object cannot be read.
        """
        wanted: dict[Home, set[int]] = defaultdict(set)
        for topic, partition, offset in origins:
            wanted[topic, partition].add(offset)
        for home, offsets in sorted(wanted.items()):
            for name in self._of(home):
                asked = {offset for offset in offsets if name.first <= offset <= name.last}
                if asked:
                    found = records_of(self._storage, name)
                    yield from (record for record in found if record.offset in asked)
                    offsets.difference_update(asked)

    def _of(self, home: Home) -> Sequence[Name]:
        if home not in self._names:
            self._names[home] = named(self._storage.names(partition_prefix(*home)))
        return self._names[home]
