"""On librdkafka's in-memory cluster; failures and outages are tested on a real broker in tests/integration."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Message

from connectors.kafka.connection import Connection
from connectors.keys import DataKey
from connectors.keys.contents import whole_event
from connectors.producers import (
    Counts,
    Delivered,
    DeliveryFailed,
    EventProducer,
    FlushTimedOut,
    NotOpen,
    QueueFull,
    QueueLimits,
    RawRecord,
    Refused,
    TopicMissing,
    Unreachable,
)
from deploy.local.ports import free_port
from schemas.clock import HybridClock
from schemas.events import GpsUpdate, InvalidEvent, decode_event
from schemas.topics import Catalogue

Fix = Callable[..., GpsUpdate]
Consume = Callable[[str, int], list[Message]]


def nowhere() -> Connection:
    return Connection(bootstrap=f"127.0.0.1:{free_port()}")


def producer(connection: Connection, **options: Any) -> EventProducer:
    return EventProducer(connection, Catalogue(), source="/test", **options)


def publish_many(publishing: EventProducer, fix: Fix, count: int) -> None:
    for number in range(count):
        publishing.publish(fix(number))


def fail_in_the_block(publishing: EventProducer, fix: Fix) -> None:
    with publishing:
        publishing.publish(fix(1))
        raise KeyError("mine")


def test_published_events_are_on_their_topic_after_the_block(kafka: Connection, fix: Fix, consume: Consume) -> None:
    with producer(kafka) as publishing:
        for number in range(20):
            publishing.publish(fix(number))
    messages = consume("gps-events", 20)
    assert [decode_event(message.value() or b"").event_id for message in messages] == [f"e{n}" for n in range(20)]
    assert {message.key() for message in messages} == {b"u1"}
    assert dict(messages[0].headers() or [])["ce_source"] == b"/test"


def test_counts_tell_published_from_acknowledged(kafka: Connection, fix: Fix) -> None:
    with producer(kafka, limits=QueueLimits(linger_ms=60_000)) as publishing:
        publishing.publish(fix(1))
        assert publishing.counts() == Counts(published=1, acknowledged=0, failed=0)
        publishing.flush()
        assert publishing.counts() == Counts(published=1, acknowledged=1, failed=0)
    assert publishing.counts() == Counts(published=1, acknowledged=1, failed=0)


def test_counts_see_an_acknowledgement_that_nobody_flushed_for(kafka: Connection, fix: Fix) -> None:
    with producer(kafka) as publishing:
        publishing.publish(fix(1))
        deadline = time.monotonic() + 10
        while publishing.counts().acknowledged == 0:
            assert time.monotonic() < deadline
            publishing.serve(0.05)


def test_an_invalid_event_raises_and_nothing_is_sent(kafka: Connection, fix: Fix) -> None:
    with producer(kafka) as publishing:
        with pytest.raises(InvalidEvent, match=r"\$\.lat"):
            publishing.publish(fix(lat=95.0))
        assert publishing.counts().published == 0


def test_the_hook_gets_every_acknowledged_event_once_with_its_place(kafka: Connection, fix: Fix) -> None:
    delivered: list[Delivered] = []
    with producer(kafka, on_delivery=delivered.append, clock=HybridClock(lambda: 1_000)) as publishing:
        publishing.publish(fix(1))
        publishing.publish(fix(2))
        publishing.publish_raw("user-events", b"k", b"not json", [("h", b"1")])
    by_place = {(one.topic, one.partition, one.offset) for one in delivered}
    assert len(by_place) == len(delivered) == 3
    events = [one.event for one in delivered if isinstance(one.event, GpsUpdate)]
    assert [(event.event_id, event.version) for event in events] == [("e1", 1_000 << 16), ("e2", (1_000 << 16) + 1)]
    raw = next(one for one in delivered if isinstance(one.event, RawRecord))
    assert (raw.event, raw.topic) == (RawRecord("user-events", b"k", b"not json", [("h", b"1")]), "user-events")


def test_what_the_hook_raises_is_not_swallowed(kafka: Connection, fix: Fix) -> None:
    def fail(_: Delivered) -> None:
        raise RuntimeError("ledger is full")

    publishing = producer(kafka, on_delivery=fail)
    publishing.open()
    publishing.publish(fix(1))
    with pytest.raises(RuntimeError, match="ledger is full"):
        publishing.flush()
    publishing.close()


def test_raw_bytes_arrive_as_they_are(kafka: Connection, consume: Consume) -> None:
    with producer(kafka) as publishing:
        publishing.publish_raw("user-events", None, b"\xff\x00", [("a", b"1"), ("b", None)])
    (message,) = consume("user-events", 1)
    assert (message.key(), message.value()) == (None, b"\xff\x00")
    assert message.headers() == [("a", b"1"), ("b", None)]


def test_events_that_fail_are_raised_by_flush_with_their_reasons_each_once(fix: Fix) -> None:
    with producer(nowhere(), limits=QueueLimits(delivery_seconds=0.2)) as publishing:
        publishing.publish(fix(1))
        publishing.publish_raw("user-events", b"k", b"v")
        with pytest.raises(DeliveryFailed) as caught:
            publishing.flush()
        publishing.flush()
        assert publishing.counts() == Counts(published=2, acknowledged=0, failed=2)
    events = [failure.event for failure in caught.value.failures]
    assert [event.event_id for event in events if isinstance(event, GpsUpdate)] == ["e1"]
    assert RawRecord("user-events", b"k", b"v") in events
    assert all("timed out" in failure.reason for failure in caught.value.failures)


def test_a_failed_event_keeps_the_version_it_was_sent_with(fix: Fix) -> None:
    publishing = producer(nowhere(), clock=HybridClock(lambda: 1_000))
    publishing.open()
    publishing.publish(fix(1))
    with pytest.raises(DeliveryFailed) as caught:
        publishing.close(timeout=0)
    assert caught.value.failures[0].event == fix(1, version=1_000 << 16)


def test_a_sealed_event_that_fails_is_told_as_it_was_sent(fix: Fix) -> None:
    sealed = whole_event(fix(1, version=7), {"u1": DataKey("u1", "k1", b"k" * 32)})
    publishing = producer(nowhere())
    publishing.open()
    publishing.publish(sealed)
    with pytest.raises(DeliveryFailed) as caught:
        publishing.close(timeout=0)
    assert caught.value.failures[0].event == sealed


def test_publishing_stops_when_too_many_events_have_failed_unseen(fix: Fix) -> None:
    limits = QueueLimits(records=200, delivery_seconds=0.2, failures=100)
    published = 0

    def publish_for_ever(publishing: EventProducer) -> None:
        nonlocal published
        while True:
            publishing.publish(fix(published))
            published += 1

    with producer(nowhere(), limits=limits) as publishing, pytest.raises(DeliveryFailed) as caught:
        publish_for_ever(publishing)
    assert 100 < len(caught.value.failures) <= published
    assert publishing.counts().failed == published


def test_a_full_queue_blocks_until_there_is_room_and_then_drops_nothing(kafka: Connection, fix: Fix) -> None:
    with producer(kafka, limits=QueueLimits(records=10)) as publishing:
        for number in range(100):
            publishing.publish(fix(number))
    assert publishing.counts() == Counts(published=100, acknowledged=100, failed=0)


def test_the_queue_is_bounded_in_bytes_too(fix: Fix) -> None:
    publishing = producer(nowhere(), limits=QueueLimits(bytes=10_240), room_seconds=0.2)
    publishing.open()
    with pytest.raises(QueueFull):
        publish_many(publishing, fix, 1_000)
    assert 10 < publishing.counts().published < 100
    with pytest.raises(DeliveryFailed):
        publishing.close(timeout=0)


def test_a_full_queue_is_an_error_that_names_the_option_when_it_lasts(fix: Fix) -> None:
    publishing = producer(nowhere(), limits=QueueLimits(records=5), room_seconds=0.2)
    publishing.open()
    for number in range(5):
        publishing.publish(fix(number))
    with pytest.raises(QueueFull, match="no room"):
        publishing.publish(fix(5))
    with pytest.raises(DeliveryFailed) as caught:
        publishing.close(timeout=0)
    assert len(caught.value.failures) == 5


def test_closing_with_a_timeout_gives_up_on_the_rest_and_says_which(fix: Fix) -> None:
    publishing = producer(nowhere())
    publishing.open()
    publishing.publish(fix(1))
    with pytest.raises(FlushTimedOut) as late:
        publishing.flush(timeout=0.1)
    assert late.value.pending == 1
    with pytest.raises(DeliveryFailed) as caught:
        publishing.close(timeout=0.1)
    assert [failure.event.event_id for failure in caught.value.failures if isinstance(failure.event, GpsUpdate)] == [
        "e1"
    ]
    assert publishing.counts() == Counts(published=1, acknowledged=0, failed=1)


def test_an_exception_in_the_block_does_not_lose_what_was_published(
    kafka: Connection, fix: Fix, consume: Consume
) -> None:
    with pytest.raises(KeyError):
        fail_in_the_block(producer(kafka, limits=QueueLimits(linger_ms=60_000)), fix)
    assert len(consume("gps-events", 1)) == 1


def test_an_exception_in_the_block_goes_on_and_failures_stay_for_flush(fix: Fix) -> None:
    publishing = producer(nowhere(), limits=QueueLimits(delivery_seconds=0.2))
    with pytest.raises(KeyError) as caught:
        fail_in_the_block(publishing, fix)
    assert "e1" in caught.value.__notes__[0]
    with pytest.raises(DeliveryFailed):
        publishing.flush()


def test_a_record_that_is_too_large_is_refused_at_once(kafka: Connection) -> None:
    with producer(kafka) as publishing, pytest.raises(Refused, match="too large"):
        publishing.publish_raw("user-events", b"k", b"x" * 13 * 1024 * 1024)
    assert publishing.counts().published == 0


def test_a_producer_that_is_not_open_says_how_to_open_it(kafka: Connection, fix: Fix) -> None:
    publishing = producer(kafka)
    with pytest.raises(NotOpen, match="context manager"):
        publishing.publish(fix())
    with publishing:
        publishing.publish(fix())
    with pytest.raises(NotOpen):
        publishing.publish(fix())
    publishing.close()


def test_a_producer_can_be_opened_again(kafka: Connection, fix: Fix) -> None:
    publishing = producer(kafka)
    for _ in range(2):
        with publishing:
            publishing.publish(fix())
    assert publishing.counts() == Counts(published=2, acknowledged=2, failed=0)


def test_check_returns_when_the_brokers_answer_and_names_an_address_where_none_does(kafka: Connection) -> None:
    with producer(kafka) as publishing:
        publishing.check()
    dead = nowhere()
    with producer(dead) as publishing, pytest.raises(Unreachable, match=dead.bootstrap):
        publishing.check(timeout=0.5)
    assert not issubclass(TopicMissing, Unreachable)


def test_threads_share_a_producer_and_each_keeps_its_order(kafka: Connection, fix: Fix, consume: Consume) -> None:
    def publish(user: str) -> None:
        for number in range(100):
            publishing.publish(fix(number, user_id=user))

    with producer(kafka, limits=QueueLimits(records=50)) as publishing:
        threads = [threading.Thread(target=publish, args=(f"u{user}",)) for user in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert publishing.counts() == Counts(published=400, acknowledged=400, failed=0)
    events = [decode_event(message.value() or b"") for message in consume("gps-events", 400)]
    assert len({event.version for event in events}) == 400
    for user in range(4):
        mine = [event for event in events if event.user_id == f"u{user}"]
        assert [event.event_id for event in mine] == [f"e{number}" for number in range(100)]
        assert [event.version for event in mine] == sorted(event.version for event in mine)


def test_serve_waits_no_longer_than_it_is_told(kafka: Connection) -> None:
    with producer(kafka) as publishing:
        started = time.monotonic()
        publishing.serve(0.05)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("limit", ["records", "bytes", "linger_ms", "delivery_seconds", "failures"])
def test_a_limit_that_means_nothing_is_named(limit: str) -> None:
    with pytest.raises(ValueError, match=f"QueueLimits.{limit}"):
        QueueLimits(**{limit: -1})
