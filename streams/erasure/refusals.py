"""Which deletes of an erasure the stores have refused: they became dead letters, and will never arrive."""

from collections.abc import Set

from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, records_in
from schemas.topics import Catalogue
from schemas.writes import InvalidWrite, decode_write, store_of
from streams.delivery.errors import WriteRejected
from streams.persons.holdings import Line
from streams.redrive import read_letters


class Refusals:
    """The lines of one erasure's deletes that stores will never take, such as a name that no object can have.

    Args:
        connection: how to reach Kafka.
        catalogue: its topics.
        erasure: id of the erasure.
    """

    def __init__(self, connection: Connection, catalogue: Catalogue, erasure: str) -> None:
        self._connection = connection
        self._letters = catalogue.dead_letters.name
        self._erasure = erasure
        self._next: dict[tuple[str, int], int] = {}
        self._found: set[Line] = set()

    def look(self) -> Set[Line]:
        """Read on in the dead letters, and return what was refused so far.

        Raises:
            KafkaException: the brokers do not answer.
        """
        for record in records_in(self._connection, [self._letters], since=self._next):
            self._next[record.topic, record.partition] = record.offset + 1
            self._take(record)
        return self._found

    def _take(self, record: StoredRecord) -> None:
        for letter in read_letters([record]):
            if letter.store is None or letter.error != WriteRejected.__name__:
                continue
            try:
                write = decode_write(letter.value or b"")
            except InvalidWrite:
                continue  # it is none of ours
            if write.op == "delete" and write.event_id == self._erasure:
                self._found.add((store_of(write), write.entity, write.source))
