# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Deletes events from the topics that they came in, as soon as nobody needs them there.

What follows from an event is sealed, and can be made unreadable; the event itself lies as its producer sent it. Kafka
deletes up to an offset only, so this is done for everybody's events, not for those of one person.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import structlog
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import Struct

from connectors.archive.putting_back import put_back
from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter, Position
from connectors.kafka.reading import StoredRecord, records_in
from schemas.claims import CLAIM
from schemas.topics import Topic

log = structlog.get_logger(__name__)

_KAFKA_SECONDS = 15.0

Home = tuple[str, int]  # topic and partition


class Plan(Struct, frozen=True, kw_only=True):
    """Whose events are deleted, and when.

    Attributes:
        topics: that events come in.
        claims: where claims of large events go on, by which an erasure finds their objects.
        taken_by: groups of consumers that have to have taken an event before, the first one all topics; others those
            that are named.
        minutes: how old it is at least.
    """

    topics: Sequence[Topic]
    claims: Topic
    taken_by: Mapping[str, Sequence[str]]
    minutes: float


class PlainEvents:
    """The events as they came.

    Args:
        connection: how to reach Kafka.
        plan: what is deleted.
    """

    def __init__(self, connection: Connection, plan: Plan) -> None:
        self._connection = connection
        self._plan = plan
        self.every_seconds = plan.minutes * 60 / 2  # between two looks

    def delete(self, now_ms: int) -> Mapping[Home, int]:
        """Delete what may go; return up to which offset of each partition. May be done again.

        Claims are kept elsewhere before the records go that carry them.

        Raises:
            KafkaException: the brokers do not answer, or refuse.
            KafkaUnavailable: they did not take the claims.
        """
        positions = [self._positions(group, topics) for group, topics in self._plan.taken_by.items()]
        upto = cuts(positions, self._first_since(list(positions[0]), now_ms - int(self._plan.minutes * 60_000)))
        if not upto:
            return {}
        put_back(
            self._connection, self._plan.claims.name, self._claims(positions[0], upto), self._plan.claims.partitions
        )
        admin = AdminClient({**self._connection.client(), "log_level": 0})
        asked = admin.delete_records(
            [TopicPartition(*home, offset) for home, offset in upto.items()], request_timeout=_KAFKA_SECONDS
        )
        for future in asked.values():
            future.result(_KAFKA_SECONDS)
        log.info("plain_events_deleted", upto={f"{topic}/{number}": one for (topic, number), one in upto.items()})
        return upto

    def _positions(self, group: str, topics: Sequence[str]) -> Mapping[Home, Position]:
        with closing(LagMeter(self._connection, group)) as meter:
            return meter.positions(topics)

    def _first_since(self, homes: Sequence[Home], at_ms: int) -> Mapping[Home, int | None]:
        """Return the offset of the first record of each partition that is not older; None where all are."""
        consumer = Consumer({**self._connection.consumer("travelos-reading"), "log_level": 0})
        try:
            found = consumer.offsets_for_times([TopicPartition(*home, at_ms) for home in homes], timeout=_KAFKA_SECONDS)
        finally:
            consumer.close()
        return {(one.topic, one.partition): one.offset if one.offset >= 0 else None for one in found}

    def _claims(self, positions: Mapping[Home, Position], upto: Mapping[Home, int]) -> Iterator[StoredRecord]:
        until = {home: upto.get(home, position.low) for home, position in positions.items()}
        for record in records_in(self._connection, [topic.name for topic in self._plan.topics], until=until):
            if any(name == CLAIM for name, _ in record.headers):
                yield record


def cuts(positions: Sequence[Mapping[Home, Position]], first_since: Mapping[Home, int | None]) -> dict[Home, int]:
    """Return up to which offset the records of partitions may go; those are left out of which none may. Pure.

    Args:
        positions: of each group that has to have taken them; the first one's are of all partitions.
        first_since: the first record that is too new, by its time; None where none is.
    """
    found: dict[Home, int] = {}
    for home, one in positions[0].items():
        taken = min(each[home].done for each in positions if home in each)
        new = first_since.get(home, one.low)
        upto = taken if new is None else min(taken, new)
        if upto > one.low:
            found[home] = upto
    return found
