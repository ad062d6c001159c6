"""Events leave the topics that they came in, and the broker's disk, once they were taken; on a real broker."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from connectors.kafka.reading import read_topics
from connectors.producers import EventProducer
from deploy.local.kafka import KafkaServer
from schemas.claims import Claim, encode_claim
from schemas.events import MessageSent
from schemas.topics import Catalogue
from streams.erasure.plain import PlainEvents, Plan
from tests.integration.raw_search import where

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

CATALOGUE = Catalogue(partitions=2, event_segment_ms=1_000)
EVENTS = CATALOGUE.user_events.name
WORDS = "meet ann at the pier at midnight"
# Brokers look for what may leave the disk every five minutes, and wait another one before they remove it.
SETTINGS = {"log.retention.check.interval.ms": "300", "log.segment.delete.delay.ms": "100"}
PATIENCE_SECONDS = 60


@pytest.fixture
def broker(start_server: Callable[[Any], Any], tmp_path: Path) -> Iterator[KafkaServer]:
    server = start_server(KafkaServer(tmp_path / "kafka", settings=SETTINGS))
    yield server
    server.delete()


def say(connection: Connection, text: str, at: datetime) -> None:
    with EventProducer(connection, CATALOGUE, source="/tests") as producer:
        producer.publish(
            MessageSent(
                event_id=f"{text} {at}", user_id="ann", occurred_at=at, conversation_id="c", role="user", text=text
            )
        )


def commit(connection: Connection, group: str, offset: int) -> None:
    """Have a group take the events up to an offset of the partition that they lie in."""
    (partition,) = {one.partition for one in read_topics(connection, [EVENTS])}
    consumer = Consumer(connection.consumer(group))
    consumer.commit(offsets=[TopicPartition(EVENTS, partition, offset)], asynchronous=False)
    consumer.close()


def texts(connection: Connection) -> list[int]:
    """Return the offsets of the events that are there."""
    return [one.offset for one in read_topics(connection, [EVENTS])]


def test_events_leave_the_disk_when_they_are_old_and_all_have_taken_them_and_their_claims_stay(
    broker: KafkaServer,
) -> None:
    connection = Connection(bootstrap=broker.bootstrap)
    ensure_topics(connection, list(CATALOGUE)[:4])
    plan = Plan(
        topics=(CATALOGUE.user_events, CATALOGUE.gps_events),
        claims=CATALOGUE.event_claims,
        taken_by={"ingest": [EVENTS, CATALOGUE.gps_events.name], "archive": [EVENTS]},
        minutes=1,
    )
    plain, folder = PlainEvents(connection, plan), broker.folder / "data"
    say(connection, WORDS, datetime.now(UTC))
    value, header = encode_claim(Claim(bucket="b", key="aa/aa", size=1, sha256="aa", content_type="text/plain"))
    with EventProducer(connection, CATALOGUE, source="/tests") as producer:
        producer.publish_raw(EVENTS, b"ann", value, (header,))
    later = int((datetime.now(UTC) + timedelta(minutes=2)).timestamp() * 1_000)

    commit(connection, "ingest", 2)
    assert plain.delete(later) == {}  # the archive has none of them
    commit(connection, "archive", 1)
    assert plain.delete(int(time.time() * 1_000)) == {}  # nothing is a minute old
    assert texts(connection) == [0, 1]
    assert list(plain.delete(later).values()) == [1]
    assert texts(connection) == [1]
    commit(connection, "archive", 2)
    assert list(plain.delete(later).values()) == [2]
    assert plain.delete(later) == {}
    (claim,) = read_topics(connection, [CATALOGUE.event_claims.name])
    assert (claim.key, claim.value, list(claim.headers)) == (b"ann", value, [header])

    # Bytes are removed with their segment, which ends when something comes that is later.
    assert where([folder], [WORDS])
    say(connection, "later", datetime.now(UTC) + timedelta(seconds=2))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while found := where([folder], [WORDS]):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)  # between two looks; the broker tells nobody
    assert texts(connection) == [2]
