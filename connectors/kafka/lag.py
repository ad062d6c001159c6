"""How far a consumer group is behind."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.connection import Connection
from connectors.kafka.watermarks import partitions_of, watermarks

TIMEOUT_SECONDS = 10.0
_PASSING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class Progress(NamedTuple):
    """What a group has finished of a topic, and what the topic holds, summed over its partitions."""

    done: int
    end: int

    @property
    def lag(self) -> int:
        """Records not finished yet."""
        return self.end - self.done


class Position(NamedTuple):
    """One partition: its first offset, the one that a group has come to, and the one after its last record."""

    low: int
    done: int
    end: int


class LagMeter:
    """Reads committed offsets of one group, without being a member of it. Offsets of empty partitions count as 0."""

    def __init__(self, connection: Connection, group: str) -> None:
        self._consumer = Consumer({**connection.consumer(group), "log_level": 0})
        self._homes: dict[str, list[TopicPartition]] = {}

    def progress(self, topics: Iterable[str]) -> dict[str, Progress]:
        """Return the progress on each topic.

        What is committed is read before what there is, so a lag of 0 is never said too early.

        Raises:
            KafkaException: the brokers do not answer.
        """
        names = list(topics)
        done: dict[str, int] = dict.fromkeys(names, 0)
        end: dict[str, int] = dict.fromkeys(names, 0)
        for (topic, _), position in self.positions(names).items():
            done[topic] += position.done
            end[topic] += position.end
        return {topic: Progress(done[topic], end[topic]) for topic in names}

    def positions(self, topics: Iterable[str]) -> dict[tuple[str, int], Position]:
        """Return the same for each (topic, partition).

        Raises:
            KafkaException: the brokers do not answer.
        """
        found: dict[tuple[str, int], Position] = {}
        for home in self._committed([home for topic in topics for home in self._partitions(topic)]):
            if home.error is not None:
                raise KafkaException(home.error)
            low, high = watermarks(self._consumer, home, timeout=TIMEOUT_SECONDS)
            found[home.topic, home.partition] = Position(low, max(home.offset, low), high)
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _committed(self, homes: list[TopicPartition]) -> list[TopicPartition]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                return self._consumer.committed(homes, timeout=TIMEOUT_SECONDS)
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # the brokers are choosing a coordinator for the group; nothing tells when it is done

    def _partitions(self, topic: str) -> list[TopicPartition]:
        if topic not in self._homes:
            self._homes[topic] = partitions_of(self._consumer, topic, timeout=TIMEOUT_SECONDS)
        return self._homes[topic]
