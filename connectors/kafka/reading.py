"""Read what topics hold now, without a consumer group."""

from collections.abc import Iterable, Mapping
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from msgspec import Struct

from connectors.kafka.connection import Connection
from schemas.headers import Headers


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
    """Return every record that the topics hold now.

    Args:
        connection: how to reach the brokers.
        topics: names; those that do not exist hold nothing.
        since: offsets to begin at, by (topic, partition); else the beginning.

    Raises:
        KafkaException: the brokers do not answer.
    """
    consumer = Consumer({**connection.consumer("travelos-reading"), "log_level": 3})
    try:
        ends = _ends(consumer, topics)
        starts = {home: (since or {}).get(home, OFFSET_BEGINNING) for home in ends}
        consumer.assign([TopicPartition(topic, partition, start) for (topic, partition), start in starts.items()])
        found: list[StoredRecord] = []
        open_partitions = {home for home, end in ends.items() if end > max(starts[home], 0)}
        while open_partitions:
            for message in consumer.consume(10_000, 0.5):
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
                found.append(_stored(message))
            at = consumer.position([TopicPartition(topic, partition) for topic, partition in open_partitions])
            open_partitions = {(one.topic, one.partition) for one in at if one.offset < ends[one.topic, one.partition]}
        return [record for record in found if record.offset < ends[record.topic, record.partition]]
    finally:
        consumer.close()


def _ends(consumer: Consumer, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    known = consumer.list_topics(timeout=10).topics
    return {
        (topic, partition): consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
        for topic in topics
        if topic in known
        for partition in known[topic].partitions
    }


def _stored(message: Message) -> StoredRecord:
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
