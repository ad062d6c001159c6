"""What the sweep asks of Kafka: the writes of a store, how far deliveries have come, and what became dead letters."""

from collections.abc import Iterable, Iterator, Mapping

from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter, Position
from connectors.kafka.reading import StoredRecord, records_at, records_in
from schemas.topics import Catalogue
from schemas.writes import StoreName
from streams.redrive import read_letters
from streams.verify.lines import Home, Origin


def topics_of(store: StoreName, catalogue: Catalogue) -> list[str]:
    """Return the topics that a store's writes come from. The order matters where a version was written twice."""
    lanes = (catalogue.writes(store), catalogue.writes(store, "urgent"))
    return [one.name for one in (*lanes, catalogue.deferred(store), catalogue.compensations(store))]


class KafkaSide:
    """The topics of one store.

    Args:
        connection: how to reach the brokers.
        catalogue: the topics.
        group: the consumer group that delivers.
        store: which one.
    """

    def __init__(self, connection: Connection, catalogue: Catalogue, group: str, store: StoreName) -> None:
        self._connection = connection
        self._letters = catalogue.dead_letters.name
        self._topics = topics_of(store, catalogue)
        self._meter = LagMeter(connection, group)
        self._next: dict[Home, int] = {}

    def close(self) -> None:
        """Let go of the connection."""
        self._meter.close()

    def positions(self) -> Mapping[Home, Position]:
        """Return how far deliveries have come, asked before what there is.

        Raises:
            KafkaException: the brokers do not answer, or a topic is missing.
        """
        return self._meter.positions(self._topics)

    def letters(self) -> Mapping[Home, int]:
        """Return the first offset of each partition of the dead letters.

        Raises:
            KafkaException: the brokers do not answer.
        """
        return {home: one.low for home, one in self._meter.positions([self._letters]).items()}

    def rejected(self) -> Iterator[Origin]:
        """Yield where the writes lie that became dead letters.

        Raises:
            KafkaException: the brokers do not answer.
        """
        return self.rejected_in(records_in(self._connection, [self._letters]))

    def rejected_in(self, letters: Iterable[StoredRecord]) -> Iterator[Origin]:
        """Yield where the writes of the store lie that some dead letters are about."""
        for letter in read_letters(letters):
            if letter.topic in self._topics:
                yield Origin(letter.topic, letter.partition, letter.offset)

    def begins(self) -> Mapping[Home, int]:
        """Return from which offset on each partition is known, once it was read.

        Raises:
            KafkaException: the brokers do not answer.
        """
        return {home: one.low for home, one in self.positions().items()}

    def records(self) -> Iterator[StoredRecord]:
        """Yield the writes that have not been read yet, topic by topic.

        Raises:
            KafkaException: the brokers do not answer.
        """
        for topic in self._topics:
            for record in records_in(self._connection, [topic], since=self._next):
                self._next[record.topic, record.partition] = record.offset + 1
                yield record

    def records_at(self, origins: Iterable[Origin]) -> Iterator[StoredRecord]:
        """Yield the records that lie at these places; those that are gone are left out.

        Raises:
            KafkaException: the brokers do not answer.
        """
        return records_at(self._connection, origins)
