"""librdkafka's producer in an event loop: the room in its queue, its reports, its replacement. It is a stand-in."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.kafka.connection import Connection
from streams.runtime import sending
from streams.runtime.sending import PublishFailed, Sender, Unpublishable, producer_config

GONE = KafkaError(KafkaError._PURGE_QUEUE)


class Written:
    """A record as a delivery report shows it."""

    def __init__(self, value: bytes | None) -> None:
        self.of = value


class StandIn:
    """Takes as many records as it has room for; reports those that `acknowledge` is told to, or all when `prompt`."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.queued: deque[tuple[bytes | None, Any]] = deque()
        self.done: deque[tuple[bytes | None, Any, KafkaError | None]] = deque()
        self.fatal = False
        self.prompt = False

    def __len__(self) -> int:
        return len(self.queued) + len(self.done)

    def produce(self, topic: str, value: bytes | None, key: Any, partition: int, *, on_delivery: Any, **_: Any) -> None:
        if self.fatal:
            raise KafkaException(KafkaError(KafkaError._FATAL, "the session has ended", fatal=True))
        if value == b"large":
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        if len(self) >= self.room:
            raise BufferError("full")
        self.queued.append((value, on_delivery))

    def acknowledge(self, count: int) -> None:
        for _ in range(count):
            self.done.append((*self.queued.popleft(), None))

    def poll(self, timeout: float) -> int:
        if self.prompt:
            self.acknowledge(len(self.queued))
        reported = len(self.done)
        while self.done:
            value, on_delivery, error = self.done.popleft()
            on_delivery(error, Written(value))
        return reported

    def purge(self) -> None:
        self.done.extend((value, on_delivery, GONE) for value, on_delivery in self.queued)
        self.queued.clear()


class Reports:
    """The reports that came."""

    def __init__(self) -> None:
        self.acknowledged: list[bytes | None] = []
        self.failed: list[bytes | None] = []

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        (self.acknowledged if error is None else self.failed).append(message.of)


@pytest.fixture
def opened() -> list[StandIn]:
    return []


@pytest.fixture
async def sender(opened: list[StandIn]) -> AsyncGenerator[Sender]:
    def open_producer(_: object) -> Producer:
        opened.append(StandIn(room=3))
        return cast(Producer, opened[-1])

    config = producer_config(Connection(bootstrap="127.0.0.1:1"), linger_ms=1, queue_records=3)
    sender = Sender(config, open_producer=open_producer)
    sender.start()
    yield sender
    await sender.stop(0)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)  # between two looks
    pytest.fail("it did not come")


async def test_whoever_finds_the_queue_full_waits_and_is_served_in_the_order_of_asking(
    sender: Sender, opened: list[StandIn]
) -> None:
    reports = Reports()
    tasks = [asyncio.create_task(sender.send("t", None, str(n).encode(), reports)) for n in range(9)]
    await until(lambda: len(opened[0].queued) == 3)
    assert not sender.offer("t", None, b"out of turn", reports)
    opened[0].prompt = True
    await asyncio.gather(*tasks)
    await until(lambda: not sender.unreported)
    assert reports.acknowledged == [str(n).encode() for n in range(9)]


async def test_all_reports_that_have_arrived_come_at_once(sender: Sender, opened: list[StandIn]) -> None:
    reports = Reports()
    for n in range(3):
        assert sender.offer("t", None, str(n).encode(), reports)
    opened[0].acknowledge(3)
    assert reports.acknowledged == []  # nothing is called before the loop turns
    await until(lambda: reports.acknowledged)
    assert reports.acknowledged == [b"0", b"1", b"2"]


async def test_a_record_that_can_never_be_sent_is_refused_at_once(sender: Sender) -> None:
    with pytest.raises(Unpublishable):
        sender.offer("t", None, b"large", Reports())


async def test_a_session_that_has_ended_is_replaced_and_what_it_held_is_reported_as_failed(
    sender: Sender, opened: list[StandIn]
) -> None:
    reports = Reports()
    assert sender.offer("t", None, b"held", reports)
    opened[0].fatal = True
    with pytest.raises(PublishFailed, match="ended"):
        sender.offer("t", None, b"refused", reports)
    assert reports.failed == [b"held"]
    assert sender.offer("t", None, b"again", reports)
    opened[1].acknowledge(1)
    await until(lambda: reports.acknowledged == [b"again"])


async def test_a_session_that_ends_while_nothing_is_sent_is_replaced_too(
    sender: Sender, opened: list[StandIn], monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = Reports()
    assert sender.offer("t", None, b"held", reports)

    def poll(timeout: float) -> int:
        monkeypatch.undo()
        raise KafkaException(KafkaError(KafkaError._FATAL, "the session has ended", fatal=True))

    monkeypatch.setattr(opened[0], "poll", poll)
    await until(lambda: reports.failed == [b"held"])
    assert len(opened) == 2


async def test_what_is_not_acknowledged_at_the_stop_is_reported_as_failed(
    sender: Sender, opened: list[StandIn]
) -> None:
    reports = Reports()
    for n in range(3):
        assert sender.offer("t", None, str(n).encode(), reports)
    waiting = [asyncio.create_task(sender.send("t", None, value, reports)) for value in (b"3", b"4")]
    await asyncio.sleep(0)  # lets them begin
    opened[0].acknowledge(1)
    assert await sender.stop(0.05) == 3
    await waiting[0]  # it got the place of the one that is acknowledged
    with pytest.raises(PublishFailed, match="stopped"):
        await waiting[1]
    with pytest.raises(PublishFailed, match="stopped"):
        sender.offer("t", None, b"late", reports)
    assert reports.acknowledged == [b"0"]
    assert reports.failed == [b"1", b"2", b"3"]


def test_what_is_queued_is_bounded_in_bytes_and_waits_for_brokers_for_ever() -> None:
    config = producer_config(Connection(bootstrap="127.0.0.1:1"), linger_ms=1, queue_records=3)
    assert config["queue.buffering.max.kbytes"] == 128 * 1024
    assert config["delivery.timeout.ms"] == 0
    assert config["enable.idempotence"]
    assert sending.PERMANENT
