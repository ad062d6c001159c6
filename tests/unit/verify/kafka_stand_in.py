"""The topics of one store in memory."""

from collections.abc import Iterable, Iterator, Sequence

from connectors.kafka.lag import Position
from connectors.kafka.reading import StoredRecord
from schemas.writes import Write, encode_write
from streams.verify.kafka_side import KafkaSide
from streams.verify.lines import Home, Origin

TOPIC = "writes"
LETTERS = "dead-letters"
AT_MS = 1_780_000_000_000


class TopicInMemory(KafkaSide):
    """One partition. `low` is its first offset, `done` the one that deliveries have come to; None: the end.

    `first_letter` is the first offset of the dead letters.
    """

    def __init__(self, writes: Sequence[Write] = (), *, low: int = 0, done: int | None = None) -> None:
        self.low = low
        self.done = done
        self.refused: set[int] = set()
        self.first_letter = 0
        self.all: list[StoredRecord] = []
        self._read = 0
        self.add(writes)

    def add(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self.all.append(
                StoredRecord(
                    topic=TOPIC,
                    partition=0,
                    offset=self.low + len(self.all),
                    timestamp=AT_MS + len(self.all),
                    key=write.entity.encode(),
                    value=encode_write(write),
                )
            )

    def again(self) -> "TopicInMemory":
        """Return the same topic, to be read from its beginning."""
        other = TopicInMemory(low=self.low, done=self.done)
        other.all, other.refused, other.first_letter = self.all, self.refused, self.first_letter
        return other

    def positions(self) -> dict[Home, Position]:
        end = self.low + len(self.all)
        return {(TOPIC, 0): Position(self.low, end if self.done is None else self.done, end)}

    def letters(self) -> dict[Home, int]:
        return {(LETTERS, 0): self.first_letter}

    def rejected_in(self, letters: Iterable[StoredRecord]) -> Iterator[Origin]:
        return (Origin(TOPIC, 0, int(letter.value or b"")) for letter in letters)

    def forgets(self, low: int) -> None:
        """Let go of what lies before an offset."""
        self.all, self.low = [one for one in self.all if one.offset >= low], low

    def rejected(self) -> Iterator[Origin]:
        return (Origin(TOPIC, 0, offset) for offset in self.refused)

    def records(self) -> Iterator[StoredRecord]:
        fresh, self._read = self.all[self._read :], len(self.all)
        return iter(fresh)

    def records_at(self, origins: Iterable[Origin]) -> Iterator[StoredRecord]:
        wanted = set(origins)
        return (one for one in self.all if Origin(one.topic, one.partition, one.offset) in wanted)
