"""Read what topics hold now, without a consumer group."""

import time
from collections.abc import Generator, Iterable, Mapping
from typing import cast

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from msgspec import Struct

from connectors.kafka.connection import Connection
from connectors.kafka.watermarks import watermarks
from schemas.headers import Headers

BATCH = 10_000
_RECORD_SECONDS = 10.0  # longest wait for one record that is there


class StoredRecord(Struct, frozen=True, kw_only=True):
    """A record with its place in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def read_topics(
    connection: Connection, topics: Iterable[str], *, since: Mapping[tuple[str, int], int] | None = None
) -> list[StoredRecord]:
    """Return every record that the topics hold now; see `records_in`."""
    return list(records_in(connection, topics, since=since))


def records_in(
    connection: Connection,
    topics: Iterable[str],
    *,
    since: Mapping[tuple[str, int], int] | None = None,
    until: Mapping[tuple[str, int], int] | None = None,
) -> Generator[StoredRecord]:
    """Yield every record that the topics hold when this begins, those of a partition in order.

    Args:
        connection: how to reach the brokers.
        topics: names; those that do not exist hold nothing.
        since: offsets to begin at, by (topic, partition); else the beginning.
        until: offsets to end before, by the same; else the end.

    Raises:
        KafkaException: the brokers do not answer.
    """
    consumer = Consumer({**connection.consumer("travelos-reading"), "log_level": 0})
    try:
        bounds = {
            home: (low, min(high, (until or {}).get(home, high)))
            for home, (low, high) in _bounds(consumer, topics).items()
        }
        position = {home: max(low, (since or {}).get(home, low)) for home, (low, _) in bounds.items()}
        consumer.assign([TopicPartition(*home, offset) for home, offset in position.items()])
        # Asking for more than there is would wait in vain. An upper bound: compaction and transactions leave gaps.
        while left := sum(max(0, bounds[home][1] - offset) for home, offset in position.items()):
            for message in consumer.consume(min(left, BATCH), 0.5):
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                record = stored(message)
                if record.offset < bounds[record.topic, record.partition][1]:
                    yield record
            for at in consumer.position([TopicPartition(*home) for home in position]):
                home = (at.topic, at.partition)
                position[home] = max(position[home], at.offset)
    finally:
        consumer.close()


def records_at(connection: Connection, places: Iterable[tuple[str, int, int]]) -> Generator[StoredRecord]:
    """Yield the records that lie at (topic, partition, offset), by partition and offset; those that are gone are not.

    Raises:
        KafkaException: the brokers do not answer.
    """
    consumer = Consumer({**connection.consumer("travelos-reading"), "log_level": 0})
    try:
        for topic, partition, offset in sorted(set(places)):
            home = TopicPartition(topic, partition, offset)
            low, high = watermarks(consumer, home, timeout=10)
            if not low <= offset < high:
                continue
            consumer.assign([home])
            record = None
            deadline = time.monotonic() + _RECORD_SECONDS
            while record is None and time.monotonic() < deadline:
                message = consumer.poll(0.5)
                if message is None:
                    continue
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                record = stored(message)
            if record is not None and record.offset == offset:
                yield record
    finally:
        consumer.close()


def _bounds(consumer: Consumer, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    known = consumer.list_topics(timeout=10).topics
    return {
        (topic, partition): watermarks(consumer, TopicPartition(topic, partition), timeout=10)
        for topic in topics
        if topic in known
        for partition in known[topic].partitions
    }


def stored(message: Message) -> StoredRecord:
    """Return a record that was read, which is no error."""
    headers = cast(Headers, message.headers() or ())
    return StoredRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=headers,
    )
