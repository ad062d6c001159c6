import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Message

from connectors.kafka.connection import Connection
from connectors.producers import (
    AsyncEventProducer,
    Counts,
    Delivered,
    DeliveryFailed,
    FlushTimedOut,
    QueueFull,
    QueueLimits,
    Unreachable,
)
from deploy.local.ports import free_port
from schemas.events import GpsUpdate, InvalidEvent, decode_event
from schemas.topics import Catalogue

Fix = Callable[..., GpsUpdate]
Consume = Callable[[str, int], list[Message]]


def nowhere() -> Connection:
    return Connection(bootstrap=f"127.0.0.1:{free_port()}")


def producer(connection: Connection, **options: Any) -> AsyncEventProducer:
    return AsyncEventProducer(connection, Catalogue(), source="/test", **options)


async def test_published_events_are_on_their_topic_after_the_block(
    kafka: Connection, fix: Fix, consume: Consume
) -> None:
    async with producer(kafka) as publishing:
        await publishing.check()
        for number in range(20):
            await publishing.publish(fix(number))
        await publishing.publish_raw("gps-events", b"u1", b"raw")
    values = [message.value() or b"" for message in consume("gps-events", 21)]
    assert [decode_event(value).event_id for value in values[:20]] == [f"e{number}" for number in range(20)]
    assert values[20] == b"raw"


async def test_an_invalid_event_raises_and_nothing_is_sent(kafka: Connection, fix: Fix) -> None:
    async with producer(kafka) as publishing:
        with pytest.raises(InvalidEvent, match=r"\$\.lat"):
            await publishing.publish(fix(lat=95.0))
        assert publishing.counts().published == 0


async def test_the_hook_is_called_in_the_loop_before_flush_returns(kafka: Connection, fix: Fix) -> None:
    delivered: list[tuple[Delivered, int]] = []
    here = threading.get_ident()

    def note(one: Delivered) -> None:
        delivered.append((one, threading.get_ident()))

    async with producer(kafka, on_delivery=note) as publishing:
        for number in range(300):
            await publishing.publish(fix(number))
        await publishing.flush()
        assert len(delivered) == 300
    assert {thread for _, thread in delivered} == {here}
    assert {one.offset for one, _ in delivered} == set(range(300))


async def test_waiting_for_room_keeps_the_order_of_calls_and_drops_nothing(
    kafka: Connection, fix: Fix, consume: Consume
) -> None:
    async with producer(kafka, limits=QueueLimits(records=10)) as publishing:
        await asyncio.gather(*(publishing.publish(fix(number)) for number in range(150)))
    assert publishing.counts() == Counts(published=150, acknowledged=150, failed=0)
    ids = [decode_event(message.value() or b"").event_id for message in consume("gps-events", 150)]
    assert ids == [f"e{number}" for number in range(150)]


async def test_the_loop_runs_on_while_a_publish_waits_for_room(fix: Fix) -> None:
    turns = 0
    publishing = producer(nowhere(), limits=QueueLimits(records=5), room_seconds=0.3)
    await publishing.open()
    for number in range(5):
        await publishing.publish(fix(number))
    waiting = asyncio.ensure_future(publishing.publish(fix(5)))
    while not waiting.done():
        turns += 1
        await asyncio.sleep(0.001)
    with pytest.raises(QueueFull, match="no room"):
        await waiting
    assert turns > 20
    with pytest.raises(DeliveryFailed) as caught:
        await publishing.close(timeout=0)
    assert len(caught.value.failures) == 5


async def test_a_tight_loop_of_publishes_lets_others_run(kafka: Connection, fix: Fix) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    async with producer(kafka) as publishing:
        for number in range(1_000):
            await publishing.publish(fix(number))
        assert turns >= 5
    task.cancel()


async def test_a_cancelled_publish_that_waited_has_not_accepted_its_event(fix: Fix) -> None:
    publishing = producer(nowhere(), limits=QueueLimits(records=1))
    await publishing.open()
    await publishing.publish(fix(0))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(publishing.publish(fix(1)), 0.1)
    assert publishing.counts().published == 1
    with pytest.raises(DeliveryFailed):
        await publishing.close(timeout=0)


async def test_events_that_fail_are_raised_with_the_events(fix: Fix) -> None:
    publishing = producer(nowhere())
    await publishing.open()
    await publishing.publish(fix(1))
    with pytest.raises(FlushTimedOut):
        await publishing.flush(timeout=0)
    with pytest.raises(DeliveryFailed) as caught:
        await publishing.close(timeout=0)
    assert [getattr(failure.event, "event_id", None) for failure in caught.value.failures] == ["e1"]


async def test_check_names_an_address_where_no_broker_answers() -> None:
    dead = nowhere()
    async with producer(dead) as publishing:
        with pytest.raises(Unreachable, match=dead.bootstrap):
            await publishing.check(timeout=0.5)
