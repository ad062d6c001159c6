"""Which partitions a topic has, and where each begins and ends, also while they have no leader for a moment."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin._metadata import ClusterMetadata

from connectors.kafka.errors import error_of

T = TypeVar("T")

POLL_SECONDS = 0.1
# What brokers say of a topic that was created a moment ago, and of one whose leader has just gone.
LEADERLESS = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }
)


class AsksForTopics(Protocol):
    """What is asked of a consumer about topics."""

    def list_topics(self, topic: str, /, *, timeout: float) -> ClusterMetadata:
        """Ask any broker for what it knows of a topic."""
        ...


class AsksForOffsets(Protocol):
    """What is asked of a consumer about partitions."""

    def get_watermark_offsets(self, partition: TopicPartition, /, *, timeout: float) -> tuple[int, int]:
        """Ask the leader of a partition."""
        ...


def partitions_of(consumer: AsksForTopics, topic: str, *, timeout: float) -> list[TopicPartition]:
    """Return the partitions of a topic, at least one, in order.

    A topic that is not known is asked for again until `timeout` seconds have passed.

    Raises:
        KafkaException: the brokers do not answer, or there is no such topic.
    """

    def ask() -> list[TopicPartition]:
        found = consumer.list_topics(topic, timeout=timeout).topics[topic]
        if found.error is not None:
            raise KafkaException(KafkaError(found.error.code(), f"topic {topic}: {found.error.str()}"))
        if not found.partitions:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"topic {topic} has no partitions"))
        return [TopicPartition(topic, partition) for partition in sorted(found.partitions)]

    return _with_leader(ask, timeout)


def watermarks(consumer: AsksForOffsets, home: TopicPartition, *, timeout: float) -> tuple[int, int]:
    """Return the offset of a partition's first record, and the one after its last.

    A partition without a leader is asked again until `timeout` seconds have passed.

    Raises:
        KafkaException: the brokers do not answer, or there is no leader in time.
    """
    return _with_leader(lambda: consumer.get_watermark_offsets(home, timeout=timeout), timeout)


def _with_leader(ask: Callable[[], T], timeout: float) -> T:
    deadline = time.monotonic() + timeout
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error_of(error).code() not in LEADERLESS or time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)  # between two attempts; nothing tells when a leader is elected
