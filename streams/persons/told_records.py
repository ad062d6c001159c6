"""Find the records about a person in whatever topic they lie, in Kafka and in the archive.

Not in those that writes go through: what they led to is told by the stores, as it is now.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from connectors.archive.reading import Wanted, topics_in
from connectors.archive.reading import read as archived
from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, records_in
from connectors.storage.contract import Storage
from schemas.topics import Catalogue
from streams.persons.records import Belonging
from streams.persons.topics import writes_of


class RecordItem(Struct, frozen=True, kw_only=True):
    """One record about a person.

    Attributes:
        lies_in: the archive where Kafka keeps the record no more.
        topic, partition, offset: where it lies, or lay.
        when: its timestamp.
        content: what JSON or msgpack say; else its bytes, as base64.
    """

    lies_in: Literal["kafka", "archive"]
    topic: str
    partition: int
    offset: int
    when: datetime
    content: Any


class PersonRecords:
    """The records about a person, each told once: `Belonging` tells which those are.

    Args:
        catalogue: the topics.
        user: the person's id.
    """

    def __init__(self, catalogue: Catalogue, user: str) -> None:
        self._user = user
        self._belongs = Belonging(catalogue)
        of_writes = writes_of(catalogue).keys() - {catalogue.dead_letters.name}
        of_sagas = {catalogue.saga_log.name, catalogue.changelog("lines", role="sagas").name}
        self._left_out = of_writes | of_sagas
        self._topics = [topic.name for topic in catalogue if topic.name not in self._left_out]
        self._told: set[tuple[str, int, int]] = set()

    def in_kafka(self, connection: Connection) -> Iterator[RecordItem]:
        """Yield those in Kafka.

        Raises:
            KafkaException: the brokers do not answer.
        """
        yield from self._items(records_in(connection, self._topics), "kafka")

    def in_archive(self, storage: Storage, is_ours: Callable[[str], bool]) -> Iterator[RecordItem]:
        """Yield those in the archive that were not told yet; to be called last.

        Args:
            storage: open.
            is_ours: whether a topic is of this installation.

        Raises:
            Unavailable: the store does not answer.
            ArchiveError: an object cannot be read.
        """
        for topic in topics_in(storage):
            if topic not in self._left_out and is_ours(topic):
                yield from self._items(archived(storage, topic, Wanted()), "archive")

    def _items(self, records: Iterator[StoredRecord], lies_in: Literal["kafka", "archive"]) -> Iterator[RecordItem]:
        for record in records:
            place = (record.topic, record.partition, record.offset)
            if record.value is None or place in self._told or not self._belongs(record, self._user):
                continue
            self._told.add(place)
            yield RecordItem(
                lies_in=lies_in,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                when=datetime.fromtimestamp(record.timestamp / 1_000, UTC),
                content=_content(record.value),
            )


def _content(value: bytes) -> Any:
    for decode in (msgspec.json.decode, msgspec.msgpack.decode):
        try:
            # What JSON cannot hold, such as bytes of msgpack, is told as base64.
            return msgspec.to_builtins(decode(value), str_keys=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return msgspec.to_builtins(value)
