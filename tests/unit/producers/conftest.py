"""A cluster in memory, a producer on it, and what a consumer then finds."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from connectors.kafka.connection import ClientConfig, Connection
from deploy.local.kafka import MemoryKafka
from schemas.events import GpsUpdate

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class PlainConnection(Connection, frozen=True, kw_only=True):
    """Without idempotence, for which librdkafka asks half a second after its start; real brokers are tested with it."""

    def producer(self) -> ClientConfig:
        return {**super().producer(), "enable.idempotence": False}


@pytest.fixture
def kafka() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    try:
        yield PlainConnection(bootstrap=cluster.bootstrap)
    finally:
        cluster.stop()


@pytest.fixture
def fix() -> Callable[..., GpsUpdate]:
    """Return a maker of valid GPS fixes, each with an id of its own."""

    def make(number: int = 0, **changes: Any) -> GpsUpdate:
        values: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": "u1",
            "occurred_at": NOON,
            "lat": 42.37,
            "lon": -71.11,
        }
        return GpsUpdate(**{**values, **changes})

    return make


@pytest.fixture
def consume(kafka: Connection) -> Callable[[str, int], list[Message]]:
    """Return a reader of the first `count` records of a topic, in the order of each partition."""

    def read(topic: str, count: int) -> list[Message]:
        consumer = Consumer({**kafka.consumer("test"), "fetch.wait.max.ms": 10})
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(MemoryKafka.partitions)])
        try:
            found: list[Message] = []
            while len(found) < count:
                message = consumer.poll(10)
                assert message is not None, f"only {len(found)} of {count} records on {topic}"
                assert message.error() is None
                found.append(message)
            return found
        finally:
            consumer.close()

    return read
