"""Take records out of an archive for good."""

from collections.abc import Callable, Iterator

from connectors.archive.errors import ArchiveError, Unreadable
from connectors.archive.formats import encoder_of, records_in
from connectors.archive.names import TOPICS, Name, named
from connectors.kafka.reading import StoredRecord
from connectors.sinks.errors import Unavailable
from connectors.storage.contract import LostRace, Storage

_RACES = 5


def remove(storage: Storage, topics: Callable[[str], bool], theirs: Callable[[StoredRecord], bool]) -> int:
    """Write the objects of topics anew that hold some records, without those; return how many were taken out.

    Objects keep their names and answer for the same offsets, as of a topic that was compacted. One at a time is in
    memory, packed. It may be done again.

    Args:
        storage: where the archive lies, open.
        topics: whether the objects of a topic are looked through, by its name.
        theirs: whether a record is to go.

    Raises:
        Unavailable: the store does not answer.
        ArchiveError: an object cannot be read.
    """
    names = [name for name in named(storage.names(TOPICS)) if topics(name.topic)]
    return sum(_without(storage, name, theirs) for name in names)


def _without(storage: Storage, name: Name, theirs: Callable[[StoredRecord], bool]) -> int:
    for _ in range(_RACES):
        found = storage.get(name.path)
        if found is None:  # it has expired meanwhile
            return 0
        # Most objects have nothing of anybody: read through first, and never all of one as records in memory.
        count = sum(1 for record in _records(name, found.data) if theirs(record))
        if not count:
            return 0
        encoder = encoder_of(name.format)
        for record in _records(name, found.data):
            if not theirs(record):
                encoder.add(record)
        try:
            storage.put(name.path, encoder.finish(), encoder.content_type, over=found.token)
        except LostRace:
            continue
        return count
    raise Unavailable(f"{name.path}: others were faster, several times")


def _records(name: Name, data: bytes) -> Iterator[StoredRecord]:
    try:
        yield from records_in(name.format, name.topic, data)
    except Unreadable as error:
        raise ArchiveError(f"{name.path}: {error}") from error
