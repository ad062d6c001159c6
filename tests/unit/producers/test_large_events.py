"""Events whose values go to the object store, on librdkafka's in-memory cluster."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Message

from connectors.kafka.connection import Connection
from connectors.large_values import LargeValues
from connectors.producers import (
    AsyncEventProducer,
    Delivered,
    DeliveryFailed,
    EventProducer,
    LargeValueNotStored,
    QueueFull,
    QueueLimits,
    Refused,
)
from connectors.sinks.errors import Unavailable
from connectors.storage import FolderStorage
from deploy.local.ports import free_port
from schemas.claims import CLAIM, read_claim
from schemas.events import MessageSent, decode_event
from schemas.topics import Catalogue

Consume = Callable[[str, int], list[Message]]


def message(number: int, text: str) -> MessageSent:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return MessageSent(event_id=f"e{number}", user_id="u1", occurred_at=at, conversation_id="c", role="user", text=text)


@pytest.fixture
def values(tmp_path: Path) -> LargeValues:
    return LargeValues(FolderStorage(tmp_path), over_bytes=1_000)


def check(values: LargeValues, large: Message, small: Message) -> None:
    value, headers = large.value() or b"", large.headers() or []
    claim = read_claim(value, headers)  # pyright: ignore[reportArgumentType] - a list of pairs, as it says itself
    assert claim is not None
    assert decode_event(values.get(claim)).event_id == "e1"
    assert len(value) < 400
    assert large.key() == b"u1"
    assert dict(headers)["ce_id"] == b"e1"
    assert CLAIM not in dict(small.headers() or [])
    assert decode_event(small.value() or b"").event_id == "e2"


def test_a_large_event_is_published_by_reference_and_a_small_one_as_it_is(
    kafka: Connection, consume: Consume, values: LargeValues
) -> None:
    delivered: list[Delivered] = []
    with EventProducer(
        kafka, Catalogue(), source="/test", large_values=values, on_delivery=delivered.append
    ) as producer:
        producer.publish(message(1, "x" * 2_000))
        producer.publish(message(2, "small"))
    check(values, *consume("user-events", 2))
    assert {one.event.event_id for one in delivered if isinstance(one.event, MessageSent)} == {"e1", "e2"}


async def test_the_same_holds_for_coroutines(kafka: Connection, consume: Consume, values: LargeValues) -> None:
    async with AsyncEventProducer(kafka, Catalogue(), source="/test", large_values=values) as producer:
        await producer.publish(message(1, "x" * 2_000))
        await producer.publish(message(2, "small"))
    check(values, *consume("user-events", 2))


async def test_what_is_published_later_waits_for_the_upload_of_a_large_event(
    kafka: Connection, consume: Consume, tmp_path: Path
) -> None:
    class Slow(FolderStorage):
        both = threading.Barrier(2, timeout=30)  # so uploads run side by side

        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            self.both.wait()
            return super().put(path, data, content_type, over)

    values = LargeValues(Slow(tmp_path), over_bytes=1_000)
    sizes = [1, 2_000, 1, 1, 3_000, 1]
    async with AsyncEventProducer(kafka, Catalogue(), source="/test", large_values=values) as producer:
        await asyncio.gather(*(producer.publish(message(number, "x" * size)) for number, size in enumerate(sizes)))
    sent = [dict(one.headers() or [])["ce_id"] for one in consume("user-events", len(sizes))]
    assert sent == [b"e%d" % number for number in range(len(sizes))]


async def test_a_large_event_whose_publishing_is_cancelled_holds_up_nobody(
    kafka: Connection, consume: Consume, tmp_path: Path
) -> None:
    class Hanging(FolderStorage):
        goes_on = threading.Event()

        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            assert self.goes_on.wait(30)
            return super().put(path, data, content_type, over)

    values = LargeValues(Hanging(tmp_path), over_bytes=1_000)
    async with AsyncEventProducer(kafka, Catalogue(), source="/test", large_values=values) as producer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(producer.publish(message(1, "x" * 2_000)), 0.1)
        await producer.publish(message(2, "small"))
        Hanging.goes_on.set()
    (only,) = consume("user-events", 1)
    assert dict(only.headers() or [])["ce_id"] == b"e2"
    assert producer.counts().published == 1


def test_a_large_event_that_no_broker_acknowledged_is_told_as_it_was(values: LargeValues) -> None:
    nowhere = Connection(bootstrap=f"127.0.0.1:{free_port()}")
    producer = EventProducer(
        nowhere, Catalogue(), source="/test", large_values=values, limits=QueueLimits(delivery_seconds=0.2)
    )
    producer.open()
    producer.publish(message(1, "x" * 2_000))
    with pytest.raises(DeliveryFailed) as failed:
        producer.flush()
    (failure,) = failed.value.failures
    assert isinstance(failure.event, MessageSent)
    assert failure.event.text == "x" * 2_000
    producer.close()


def test_large_events_are_held_in_memory_up_to_the_bytes_of_the_limits(values: LargeValues) -> None:
    nowhere = Connection(bootstrap=f"127.0.0.1:{free_port()}")
    limits = QueueLimits(bytes=10_000)
    producer = EventProducer(nowhere, Catalogue(), source="/test", large_values=values, limits=limits, room_seconds=0.2)
    producer.open()
    for number in range(4):
        producer.publish(message(number, "x" * 2_200))
    with pytest.raises(QueueFull):
        producer.publish(message(4, "x" * 2_200))
    producer.publish(message(5, "small"))
    with pytest.raises(DeliveryFailed) as failed:
        producer.close(timeout=0)
    assert len(failed.value.failures) == 5


@pytest.mark.parametrize("watched", [False, True])
def test_a_large_event_makes_room_when_it_is_acknowledged(
    kafka: Connection, values: LargeValues, *, watched: bool
) -> None:
    delivered: list[Delivered] = []
    hook = delivered.append if watched else None
    limits = QueueLimits(bytes=2_000)  # less than one of them: the next always waits for the one before
    with EventProducer(
        kafka, Catalogue(), source="/test", large_values=values, limits=limits, on_delivery=hook
    ) as producer:
        for number in range(5):
            producer.publish(message(number, "x" * 2_200))
        producer.flush()
        assert producer.counts().acknowledged == 5
    assert len(delivered) == (5 if watched else 0)


def test_a_value_that_nobody_would_fetch_is_not_uploaded(kafka: Connection, tmp_path: Path) -> None:
    values = LargeValues(FolderStorage(tmp_path), over_bytes=1_000, most_bytes=2_000)
    with EventProducer(kafka, Catalogue(), source="/test", large_values=values) as producer:
        with pytest.raises(Refused, match=r"more than the 2,000 of large_values\.max_bytes"):
            producer.publish(message(1, "x" * 2_000))
        assert producer.counts().published == 0
    assert not list(tmp_path.iterdir())


def test_while_the_object_store_is_away_a_large_event_is_not_accepted(kafka: Connection, tmp_path: Path) -> None:
    class Away(FolderStorage):
        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            raise Unavailable("away")

    with EventProducer(
        kafka, Catalogue(), source="/test", large_values=LargeValues(Away(tmp_path), over_bytes=1_000)
    ) as producer:
        with pytest.raises(LargeValueNotStored, match="away"):
            producer.publish(message(1, "x" * 2_000))
        assert producer.counts().published == 0
