"""Move the committed offsets of a consumer group that nobody is a member of."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from msgspec import Struct

from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable, error_of
from connectors.kafka.watermarks import partitions_of, watermarks

TIMEOUT_SECONDS = 15.0
_ACTIVE = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)


class GroupActive(RuntimeError):  # noqa: N818 - says what is the matter
    """The group has members: they would overwrite what is set."""


class Start(Struct, frozen=True, kw_only=True):
    """Where to read from: an edge of the partition, a time (ms since 1970), or an offset. Exactly one is set."""

    edge: Literal["beginning", "end"] | None = None
    time_ms: int | None = None
    offset: int | None = None


class Moved(NamedTuple):
    """One partition's committed offset before and after; None before the first commit."""

    topic: str
    partition: int
    before: int | None
    after: int


def seek_group(
    connection: Connection, group: str, topics: Iterable[str], start: Start, *, dry_run: bool = False
) -> list[Moved]:
    """Set the committed offsets of a group, or with `dry_run` only say what would be set.

    An offset outside a partition is set to its nearer end. A time is the first record not before it.

    Raises:
        GroupActive: the group has members.
        KafkaUnavailable: the brokers do not answer.
    """
    try:
        consumer = Consumer({**connection.consumer(group), "log_level": 0})
    except KafkaException as error:
        raise KafkaUnavailable(f"the kafka options do not fit together: {error_of(error).str()}") from error
    try:
        homes = [home for topic in topics for home in partitions_of(consumer, topic, timeout=TIMEOUT_SECONDS)]
        moved = [
            Moved(one.topic, one.partition, one.offset if one.offset >= 0 else None, _target(consumer, one, start))
            for one in consumer.committed(homes, timeout=TIMEOUT_SECONDS)
        ]
        if not dry_run:
            offsets = [TopicPartition(one.topic, one.partition, one.after) for one in moved]
            for done in consumer.commit(offsets=offsets, asynchronous=False) or []:
                if done.error is not None:
                    raise KafkaException(done.error)
    except KafkaException as error:
        reason = error_of(error)
        if reason.code() in _ACTIVE:
            raise GroupActive(f"the group {group} has members: stop its workers first") from error
        raise KafkaUnavailable(f"kafka.bootstrap {connection.bootstrap}: {reason.str()}") from error
    else:
        return moved
    finally:
        consumer.close()


def _target(consumer: Consumer, home: TopicPartition, start: Start) -> int:
    low, high = watermarks(consumer, home, timeout=TIMEOUT_SECONDS)
    if start.edge is not None:
        return low if start.edge == "beginning" else high
    if start.offset is not None:
        return min(max(start.offset, low), high)
    asked = TopicPartition(home.topic, home.partition, start.time_ms or 0)
    (found,) = consumer.offsets_for_times([asked], timeout=TIMEOUT_SECONDS)
    return found.offset if found.offset >= 0 else high
