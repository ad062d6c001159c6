"""The producers and `travelos produce` on a real broker: partitions, headers, outages, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Self

import pytest
from aiokafka.partitioner import murmur2  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from typer.testing import CliRunner

from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from connectors.kafka.watermarks import watermarks
from connectors.producers import (
    AsyncEventProducer,
    Counts,
    Delivered,
    DeliveryFailed,
    EventProducer,
    QueueLimits,
    TopicMissing,
)
from connectors.producers.input_files import InputFile, Numbered, Reading
from deploy.local.kafka import KafkaServer
from schemas.events import GpsUpdate, decode_event
from schemas.headers import cloudevents_headers
from schemas.topics import Catalogue
from streams.cli.produce import app
from streams.cli.sending import send

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PARTITIONS = 8
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = '{"type":"trip_started","event_id":"e%d","user_id":"u1","occurred_at":"2026-03-01T12:00:00Z","trip_id":"t1"}\n'
_prefixes = (f"run{number}." for number in count())


def fix(number: int, user: str = "u1") -> GpsUpdate:
    return GpsUpdate(event_id=f"e{number}", user_id=user, occurred_at=NOON, lat=42.37, lon=-71.11)


@pytest.fixture
def shared(kafka_server: KafkaServer) -> KafkaServer:
    return kafka_server


@pytest.fixture
def own(tmp_path: Path, start_server: Callable[[KafkaServer], KafkaServer]) -> Iterator[KafkaServer]:
    """A broker that the test may kill and start again."""
    server = start_server(KafkaServer(tmp_path / "kafka"))
    try:
        yield server
    finally:
        server.stop()


def topics_on(server: KafkaServer) -> Catalogue:
    """Create the topics of events under a prefix of their own."""
    catalogue = Catalogue(prefix=next(_prefixes), partitions=PARTITIONS)
    ensure_topics(
        Connection(bootstrap=server.bootstrap), [catalogue.user_events, catalogue.gps_events, catalogue.urgent_events]
    )
    return catalogue


def everything(server: KafkaServer, topic: str) -> list[Message]:
    """Return what a topic holds now, partition by partition."""
    consumer = Consumer(Connection(bootstrap=server.bootstrap).consumer("test"))
    try:
        ends = {
            number: watermarks(consumer, TopicPartition(topic, number), timeout=30)[1] for number in range(PARTITIONS)
        }
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in ends])
        found: list[Message] = []
        while len(found) < sum(ends.values()):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            found.append(message)
        return sorted(found, key=lambda message: (message.partition(), message.offset()))
    finally:
        consumer.close()


def until(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)  # between two looks; the condition above decides


def test_keys_go_to_the_partitions_of_the_java_client_with_cloudevents_headers(shared: KafkaServer) -> None:
    catalogue = topics_on(shared)
    users = [f"traveller-{number}" for number in range(200)] + ["渡辺", "Zoë"]
    with EventProducer(Connection(bootstrap=shared.bootstrap), catalogue, source="/test") as producer:
        producer.check()
        for number, user in enumerate(users):
            producer.publish(fix(number, user))
    messages = everything(shared, catalogue.gps_events.name)
    assert len(messages) == len(users)
    assert len({message.partition() for message in messages}) == PARTITIONS
    for message in messages:
        event = decode_event(message.value() or b"")
        key = message.key() or b""
        assert key.decode() == event.user_id
        assert message.partition() == (int(murmur2(key)) & 0x7FFFFFFF) % PARTITIONS
        expected = cloudevents_headers(
            event_id=event.event_id, event_type="gps_update", source="/test", occurred_at=NOON
        )
        assert message.headers() == list(expected)


async def test_the_asyncio_producer_publishes_and_reports_places_that_hold_the_events(shared: KafkaServer) -> None:
    catalogue = topics_on(shared)
    delivered: list[Delivered] = []
    async with AsyncEventProducer(
        Connection(bootstrap=shared.bootstrap), catalogue, source="/test", on_delivery=delivered.append
    ) as producer:
        for number in range(2_000):
            await producer.publish(fix(number, f"u{number % 50}"))
    held = {(m.topic(), m.partition(), m.offset()): m for m in everything(shared, catalogue.gps_events.name)}
    assert len(delivered) == len(held) == 2_000
    for one in delivered:
        assert decode_event(held[one.topic, one.partition, one.offset].value() or b"") == one.event


def test_a_topic_that_is_missing_is_named_before_anything_is_sent(shared: KafkaServer, tmp_path: Path) -> None:
    producer = EventProducer(Connection(bootstrap=shared.bootstrap), Catalogue(prefix="no."), source="/test")
    with producer, pytest.raises(TopicMissing, match=r"no\.user-events, no\.gps-events, no\.urgent-events"):
        producer.check()
    (tmp_path / "events.jsonl").write_text(EVENT % 1)
    result = CliRunner().invoke(
        app,
        ["events", str(tmp_path / "events.jsonl"), "--bootstrap", shared.bootstrap],
        env={"TRAVELOS_KAFKA_TOPIC_PREFIX": "no."},
    )
    assert result.exit_code == 1
    assert "travelos topics apply" in result.stderr


def test_a_broker_that_is_killed_and_comes_back_loses_and_repeats_nothing(own: KafkaServer) -> None:
    catalogue, total = topics_on(own), 30_000
    limits = QueueLimits(records=2_000, linger_ms=1)
    with EventProducer(Connection(bootstrap=own.bootstrap), catalogue, source="/test", limits=limits) as producer:

        def publish(numbers: range) -> None:
            for number in numbers:
                producer.publish(fix(number, f"u{number % 20}"))

        publish(range(15_000))
        own.kill()  # with records on the way
        if producer.counts().acknowledged == 15_000:
            publish(range(15_000, 15_001))
        assert producer.counts().acknowledged < producer.counts().published
        own.start()
        publish(range(producer.counts().published, total))
    assert producer.counts() == Counts(published=total, acknowledged=total, failed=0)
    events = [decode_event(message.value() or b"") for message in everything(own, catalogue.gps_events.name)]
    for user in range(20):
        mine = [event.event_id for event in events if event.user_id == f"u{user}"]
        assert mine == [f"e{number}" for number in range(user, total, 20)]


def test_a_broker_that_stays_away_is_told_by_flush_with_exactly_the_events_that_are_not_there(own: KafkaServer) -> None:
    catalogue, connection = topics_on(own), Connection(bootstrap=own.bootstrap)
    with EventProducer(connection, catalogue, source="/test", limits=QueueLimits(delivery_seconds=5)) as producer:
        for number in range(100):
            producer.publish(fix(number))
        producer.flush()
        own.stop()
        for number in range(100, 150):
            producer.publish(fix(number))
        with pytest.raises(DeliveryFailed) as caught:
            producer.flush()
    lost = [failure.event for failure in caught.value.failures if isinstance(failure.event, GpsUpdate)]
    assert {event.event_id for event in lost} == {f"e{number}" for number in range(100, 150)}
    own.start()
    with EventProducer(connection, catalogue, source="/test") as producer:
        for event in lost:
            producer.publish(event)
    events = [decode_event(message.value() or b"") for message in everything(own, catalogue.gps_events.name)]
    assert [event.event_id for event in events] == [f"e{number}" for number in range(150)]
    assert [event.version for event in events] == sorted(event.version for event in events)


def test_a_file_is_counted_as_sent_only_as_far_as_the_broker_acknowledged_it(own: KafkaServer, tmp_path: Path) -> None:
    catalogue = topics_on(own)
    limits = QueueLimits(delivery_seconds=5, failures=0)
    producer = EventProducer(Connection(bootstrap=own.bootstrap), catalogue, source="/test", limits=limits)
    producer.open()

    def records() -> Iterator[Numbered]:
        for number in range(50):
            yield number + 1, fix(number)
        producer.flush()
        own.kill()
        for number in count(50):  # it has to stop by itself
            yield number + 1, fix(number)

    path = tmp_path / "points"
    path.touch()
    with InputFile(path) as file:
        summary = send(file, Reading("line", records()), producer, rate=500)
    assert summary.sent == 50
    assert summary.unacknowledged == summary.read - 50 > 0
    assert "timed out" in (summary.error or "")
    assert summary.exit_code == 1


class Produce:
    """`travelos produce events` in a process of its own."""

    def __init__(self, server: KafkaServer, catalogue: Catalogue, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from streams.cli.produce import app; app()",
                "events",
                *(arguments or ["-"]),
                "--json",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "TRAVELOS_KAFKA_BOOTSTRAP": server.bootstrap,
                "TRAVELOS_KAFKA_TOPIC_PREFIX": catalogue.prefix,
                "TRAVELOS_CONFIG": os.devnull,
            },
        )

    def feed(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def says(self, text: str) -> None:
        """Wait for a line on standard error that contains `text`."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text in line:
                return
        pytest.fail(f"it ended without saying {text!r}")

    def finish(self, timeout: float = 30) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the summary; standard input is still open."""
        assert self._process.stdout is not None
        code = self._process.wait(timeout)
        return code, json.loads(self._process.stdout.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_ctrl_c_flushes_what_was_read_and_exits_with_the_summary(shared: KafkaServer) -> None:
    catalogue = topics_on(shared)
    with Produce(shared, catalogue) as produce:
        produce.feed("".join(EVENT % number for number in range(500)) + "broken\n")
        produce.says("line 501: ")
        produce.interrupt()
        code, summary = produce.finish()
    assert code == 130
    assert (summary["sent"], summary["unacknowledged"], summary["bad"]) == (500, 0, 1)
    assert summary["interrupted"] is True
    assert len(everything(shared, catalogue.user_events.name)) == 500


def test_ctrl_c_in_the_middle_of_a_file_counts_exactly_what_is_on_the_topic(
    shared: KafkaServer, tmp_path: Path
) -> None:
    catalogue = topics_on(shared)
    path = tmp_path / "events.jsonl"
    path.write_text("broken\n" + "".join(EVENT % number for number in range(200_000)))
    with Produce(shared, catalogue, str(path), "--rate", "20000") as produce:
        produce.says("line 1: ")
        until(lambda: len(everything(shared, catalogue.user_events.name)) > 1_000)
        produce.interrupt()
        code, summary = produce.finish()
    assert code == 130
    assert 1_000 < summary["sent"] < 200_000
    assert summary["sent"] == summary["read"] - 1 == len(everything(shared, catalogue.user_events.name))


def test_a_second_ctrl_c_does_not_wait_for_a_broker_that_is_away(own: KafkaServer) -> None:
    catalogue = topics_on(own)
    with Produce(own, catalogue) as produce:
        produce.feed(EVENT % 1)
        until(lambda: len(everything(own, catalogue.user_events.name)) == 1)
        own.kill()
        produce.feed(EVENT % 2 + "broken\n")
        produce.says("line 3: ")
        produce.interrupt()
        produce.says("Ctrl-C again")
        started = time.monotonic()
        produce.interrupt()
        code, summary = produce.finish()
    assert time.monotonic() - started < 10  # and not the half minute for which a first Ctrl-C waits
    assert code == 130
    assert (summary["sent"], summary["unacknowledged"]) == (1, 1)
