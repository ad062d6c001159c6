"""The topics of one store in memory."""

from collections.abc import Iterable, Iterator, Sequence

from connectors.kafka.lag import Position
from connectors.kafka.reading import StoredRecord
from schemas.writes import Write, encode_write
from streams.verify.kafka_side import Home, KafkaSide
from streams.verify.lines import Origin

TOPIC = "writes"
AT_MS = 1_780_000_000_000


class TopicInMemory(KafkaSide):
    """One partition. `low` is its first offset, `done` the one that deliveries have come to; None: the end."""

    def __init__(self, writes: Sequence[Write] = (), *, low: int = 0, done: int | None = None) -> None:
        self.low = low
        self.done = done
        self.letters: set[int] = set()
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
        other.all, other.letters = self.all, self.letters
        return other

    def positions(self) -> dict[Home, Position]:
        end = self.low + len(self.all)
        return {(TOPIC, 0): Position(self.low, end if self.done is None else self.done, end)}

    def rejected(self) -> Iterator[Origin]:
        return (Origin(TOPIC, 0, offset) for offset in self.letters)

    def records(self) -> Iterator[StoredRecord]:
        fresh, self._read = self.all[self._read :], len(self.all)
        return iter(fresh)

    def records_at(self, origins: Iterable[Origin]) -> Iterator[StoredRecord]:
        wanted = set(origins)
        return (one for one in self.all if Origin(one.topic, one.partition, one.offset) in wanted)
