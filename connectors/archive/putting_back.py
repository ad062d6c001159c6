"""Put records of an archive into a topic."""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable, error_of
from connectors.kafka.reading import StoredRecord

_ROOM_SECONDS = 0.1
_FLUSH_SECONDS = 120.0


def put_back(connection: Connection, topic: str, records: Iterable[StoredRecord], partitions: int) -> int:
    """Send records as they were, in order for each partition, and return how many all in-sync replicas have.

    Key, value, headers and timestamp are the same; so is the partition when the topic has as many, else the key
    decides on all of them.

    Args:
        connection: how to reach the brokers.
        topic: where to.
        records: what.
        partitions: how many the topic has that they come from.

    Raises:
        KafkaUnavailable: they were not all acknowledged; says how many were.
    """
    producer = Producer({**connection.producer(), "log_level": 0, "delivery.report.only.error": True})
    failures: list[str] = []

    def on_failure(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error.str())

    sent = 0
    try:
        found = producer.list_topics(topic, timeout=10).topics[topic]
        if found.error is not None:
            raise KafkaException(KafkaError(found.error.code(), f"topic {topic}: {found.error.str()}"))
        keeps = len(found.partitions) == partitions
        for record in records:
            where = {"partition": record.partition} if keeps else {}
            # librdkafka takes 0 for now.
            when = {"timestamp": record.timestamp} if record.timestamp > 0 else {}
            while not _offered(producer, topic, record, {**where, **when, "on_delivery": on_failure}):
                producer.poll(_ROOM_SECONDS)
            sent += 1
            if failures:
                break
        left = producer.flush(_FLUSH_SECONDS)
    except KafkaException as error:
        raise KafkaUnavailable(f"kafka.bootstrap {connection.bootstrap}: {error_of(error).str()}") from error
    if failures or left:
        reason = failures[0] if failures else "no answer"
        raise KafkaUnavailable(f"topic {topic}: {sent - left - len(failures)} records acknowledged, then: {reason}")
    return sent


def _offered(producer: Producer, topic: str, record: StoredRecord, more: dict[str, Any]) -> bool:
    try:
        producer.produce(topic, value=record.value, key=record.key, headers=list(record.headers), **more)
    except BufferError:
        return False
    producer.poll(0)
    return True
