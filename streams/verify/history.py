"""The writes of a store from the first one on: what the archive has from before the topics begin, then the topics."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from connectors.kafka.lag import Position
from connectors.kafka.reading import StoredRecord
from streams.verify.archived import ArchivedTopics
from streams.verify.kafka_side import KafkaSide
from streams.verify.lines import Home, Origin


class Writes(Protocol):
    """What is asked of the writes of a store: `KafkaSide`, or `WithArchive`."""

    def positions(self) -> Mapping[Home, Position]: ...  # noqa: D102
    def begins(self) -> Mapping[Home, int]: ...  # noqa: D102
    def rejected(self) -> Iterator[Origin]: ...  # noqa: D102
    def records(self) -> Iterator[StoredRecord]: ...  # noqa: D102
    def records_at(self, origins: Iterable[Origin]) -> Iterator[StoredRecord]: ...  # noqa: D102


class WithArchive:
    """The topics of a store, and before them the archive.

    What the archive has is used only where it has the dead letters, too: a write that was refused would be missed in
    its store otherwise. Each of its records is read once.

    Args:
        kafka: the topics.
        archive: the archive.
    """

    def __init__(self, kafka: KafkaSide, archive: ArchivedTopics) -> None:
        self._kafka = kafka
        self._archive = archive
        self._letters: dict[Home, int] = {}  # read of the archive up to there, likewise the next
        self._writes: dict[Home, int] = {}
        self._read = False

    def positions(self) -> Mapping[Home, Position]:
        """Return how far deliveries have come; see `KafkaSide.positions`."""
        return self._kafka.positions()

    def begins(self) -> Mapping[Home, int]:
        """Return from which offset on each partition is known, and of the dead letters where they lack.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the archive does not.
        """
        lows = self._kafka.begins()
        if not any(lows.values()):
            return lows
        letters = self._first(self._kafka.letters())
        if any(letters.values()):
            return {**lows, **letters}
        return self._first(lows)

    def rejected(self) -> Iterator[Origin]:
        """Yield where the writes lie that became dead letters; of the archive what was not read yet.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the archive does not.
            ArchiveError: an object of it cannot be read.
        """
        yield from self._kafka.rejected()
        # Asked after Kafka was read: what it has let go of meanwhile is read of the archive.
        yield from self._kafka.rejected_in(self._older(self._kafka.letters(), self._letters))

    def records(self) -> Iterator[StoredRecord]:
        """Yield the writes that have not been read yet, those of the archive first.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the archive does not.
            ArchiveError: an object of it cannot be read.
        """
        if self._read:
            yield from self._kafka.records()
            return
        yield from self._older_writes()
        yield from self._kafka.records()
        yield from self._older_writes()  # what Kafka let go of before it was read
        self._read = True

    def records_at(self, origins: Iterable[Origin]) -> Iterator[StoredRecord]:
        """Yield the records that lie at these places, in Kafka or in the archive; those that are gone are left out.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the archive does not.
            ArchiveError: an object of it cannot be read.
        """
        wanted = set(origins)
        for record in self._kafka.records_at(wanted.copy()):
            wanted.discard(Origin(record.topic, record.partition, record.offset))
            yield record
        yield from self._archive.records_at(wanted)

    def _older_writes(self) -> Iterator[StoredRecord]:
        lows = self._kafka.begins()
        if any(lows.values()) and not any(self._first(self._kafka.letters()).values()):
            yield from self._older(lows, self._writes)

    def _older(self, lows: Mapping[Home, int], read: dict[Home, int]) -> Iterator[StoredRecord]:
        for home, low in lows.items():
            start = max(self._archive.begins(home, low), read.get(home, 0)) if low else 0
            if start < low:
                yield from self._archive.records(home, start, low)
                read[home] = low

    def _first(self, lows: Mapping[Home, int]) -> dict[Home, int]:
        return {home: self._archive.begins(home, low) if low else 0 for home, low in lows.items()}
