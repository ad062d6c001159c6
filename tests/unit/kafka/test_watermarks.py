"""Partitions and their ends, from brokers that are choosing a leader."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.kafka import watermarks as module
from connectors.kafka.watermarks import LEADERLESS, partitions_of, watermarks

HOME = TopicPartition("t", 0)


class Broker:
    """Answers with each error in turn, and then as it should."""

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)
        self.asked = 0

    def get_watermark_offsets(self, _: TopicPartition, /, *, timeout: float) -> tuple[int, int]:
        self.asked += 1
        if self._codes:
            raise KafkaException(KafkaError(self._codes.pop(0)))
        return 3, 9


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)


@pytest.mark.parametrize("code", sorted(LEADERLESS))
def test_a_partition_without_a_leader_is_asked_again(code: int) -> None:
    broker = Broker(code, code)
    assert watermarks(broker, HOME, timeout=5) == (3, 9)
    assert broker.asked == 3


def test_a_partition_that_gets_no_leader_in_time_is_an_error() -> None:
    with pytest.raises(KafkaException):
        watermarks(Broker(*[KafkaError.NOT_LEADER_FOR_PARTITION] * 1_000), HOME, timeout=0.02)


def test_any_other_error_is_raised_at_once() -> None:
    broker = Broker(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        watermarks(broker, HOME, timeout=5)
    assert broker.asked == 1


class Topics:
    """Says nothing, and then an error, and then two partitions."""

    asked = 0

    def list_topics(self, topic: str, /, *, timeout: float) -> Any:
        self.asked += 1
        error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART) if self.asked == 2 else None
        partitions: dict[int, None] = {1: None, 0: None} if self.asked == 3 else {}
        description = type("Described", (), {"error": error, "partitions": partitions})
        return type("Metadata", (), {"topics": {topic: description}})


def test_a_topic_that_was_created_a_moment_ago_is_waited_for_and_never_taken_for_empty() -> None:
    found = partitions_of(Topics(), "t", timeout=5)
    assert [home.partition for home in found] == [0, 1]
