# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Faust's producer on the publisher, on librdkafka's in-memory cluster."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from faust.exceptions import ProducerSendError
from faust.types import TP

from connectors.kafka.connection import ClientConfig, Connection
from connectors.kafka.reading import StoredRecord, read_topics
from deploy.local.kafka import MemoryKafka
from streams.runtime import producer as producer_module
from streams.runtime.app import StreamApp
from streams.runtime.producer import RunProducer, UnsupportedSetting, partition_of
from streams.runtime.publisher import Outgoing
from streams.runtime.state_folder import StateFolder
from streams.runtime.transport import RunConsumer

PARTITIONS = 4  # the in-memory cluster's


class PlainConnection(Connection, frozen=True, kw_only=True):
    """Without idempotence, for which the in-memory cluster needs half a second at each start."""

    def producer(self) -> ClientConfig:
        return {**super().producer(), "enable.idempotence": False}


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    yield PlainConnection(bootstrap=cluster.bootstrap)
    cluster.stop()


MakeApp = Callable[..., StreamApp]


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    folders: list[StateFolder] = []

    def make(connection: Connection, **settings: Any) -> StreamApp:
        folders.append(StateFolder(tmp_path))
        return StreamApp("test", connection, state_folder=folders[-1], partitions=PARTITIONS, **settings)

    yield make
    for folder in folders:
        folder.close()


@pytest.fixture
async def app(connection: Connection, make_app: MakeApp) -> AsyncGenerator[StreamApp]:
    app = make_app(connection)
    yield app
    await producer_of(app).stop()


@pytest.fixture
async def away(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[StreamApp]:
    """An app whose brokers do not answer."""
    monkeypatch.setattr(producer_module, "FLUSH_SECONDS", 0.1)
    app = make_app(PlainConnection(bootstrap="127.0.0.1:9"))
    yield app
    await producer_of(app).stop()


def producer_of(app: StreamApp) -> RunProducer:
    return cast(RunProducer, app.producer)


def raw(app: StreamApp, name: str) -> Any:
    return app.topic(name, key_serializer="raw", value_serializer="raw")


def held(connection: Connection, topic: str) -> list[StoredRecord]:
    return read_topics(connection, [topic])


async def test_a_record_arrives_as_it_was_sent_and_its_future_tells_where(
    app: StreamApp, connection: Connection
) -> None:
    topic = raw(app, "as-sent")
    metadata = await (await topic.send(key=b"k", value=b"v", partition=2, headers={"a": b"1", "b": b""}))
    assert (metadata.topic_partition, metadata.offset) == (TP("as-sent", 2), 0)
    await (await topic.send(key=b"k", value=None, partition=2))
    first, second = held(connection, "as-sent")
    assert (first.key, first.value, list(first.headers)) == (b"k", b"v", [("a", b"1"), ("b", b"")])
    assert (second.key, second.value) == (b"k", None)


async def test_a_callback_is_called_once_the_record_is_acknowledged(app: StreamApp) -> None:
    called: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    raw(app, "called").send_soon(key=b"k", value=b"v", callback=called.set_result)
    await producer_of(app).maybe_start()
    async with asyncio.timeout(10):
        assert (await called).result().offset == 0


async def test_a_key_has_one_home_whoever_asks(app: StreamApp, connection: Connection) -> None:
    keys = [b"", b"k", "straße".encode(), *(str(number).encode() * 3 for number in range(100))]
    topic, producer = raw(app, "homes"), producer_of(app)
    await asyncio.gather(*[await topic.send(key=key, value=b"faust") for key in keys])
    await app.publisher.publish([Outgoing("homes", key, b"published") for key in keys])
    for record in held(connection, "homes"):
        key = record.key or b""
        assert record.partition == partition_of(key, PARTITIONS) == producer.key_partition("homes", key).partition
    assert len({record.partition for record in held(connection, "homes")}) == PARTITIONS
    assert 0 <= producer.key_partition("homes", None).partition < PARTITIONS


async def test_a_record_that_is_too_large_is_told_and_raises_nowhere_but_in_its_future(app: StreamApp) -> None:
    topic, producer = raw(app, "sizes"), producer_of(app)
    sent = await topic.send(key=b"k", value=b"x" * 13_000_000)
    with pytest.raises(ProducerSendError, match="large"):
        await sent
    await producer.flush()
    assert producer.failure is not None
    assert producer.failure.permanent
    assert "max.message.bytes" in (producer.refusal or "")


async def test_a_flush_ends_when_all_is_acknowledged_and_then_nothing_is_in_the_way_of_a_commit(
    app: StreamApp, connection: Connection
) -> None:
    topic, producer = raw(app, "flushed"), producer_of(app)
    await producer.maybe_start()
    for number in range(50):
        await topic.send(key=b"k", value=str(number).encode())
        topic.send_soon(key=b"k", value=b"soon")
    await producer.flush()
    assert producer.refusal is None
    assert len(held(connection, "flushed")) == 100


async def test_while_brokers_are_away_a_flush_gives_up_soon_and_a_commit_is_refused(away: StreamApp) -> None:
    producer = producer_of(away)
    await raw(away, "out").send(key=b"k", value=b"v")
    raw(away, "out").send_soon(key=b"k", value=b"v")
    async with asyncio.timeout(5):
        await producer.flush()
    assert producer.failure is None
    assert "not acknowledged" in (producer.refusal or "")


async def test_what_a_flush_has_waited_for_counts_although_nobody_has_handed_it_to_the_producer_yet(
    away: StreamApp,
) -> None:
    # Faust's own buffer tells nothing of the message that it is just handing over, and gives up after 0.1 s.
    producer = producer_of(away)
    raw(away, "out").send_soon(key=b"k", value=b"v")  # the producer is not started: it stays in the buffer
    await producer.flush()
    assert "1 records" in (producer.refusal or "")


async def test_a_message_that_cannot_be_sent_does_not_stop_those_behind_it(
    app: StreamApp, connection: Connection
) -> None:
    topic, producer = raw(app, "behind"), producer_of(app)
    await producer.maybe_start()
    bad, good = topic.send_soon(key=b"k", value=b"bad"), topic.send_soon(key=b"k", value=b"good")
    bad.message = bad.message._replace(key=5)  # Faust lets keys through that are not bytes
    with pytest.raises(TypeError):
        await bad
    await good
    assert [record.value for record in held(connection, "behind")] == [b"good"]
    assert producer.failure is not None


async def test_what_is_acknowledged_is_counted(app: StreamApp) -> None:
    await asyncio.gather(*[await raw(app, "counted").send(key=b"k", value=b"v") for _ in range(30)])
    await asyncio.sleep(0)  # they are counted in the next turn of the loop
    assert app.metrics.registry.get_sample_value("stream_records_out_total", {"topic": "counted"}) == 30


async def test_a_producer_that_was_started_by_itself_takes_its_publisher_along(
    connection: Connection, make_app: MakeApp
) -> None:
    app = make_app(connection)
    await producer_of(app).maybe_start()
    assert app.publisher.sender.started
    await producer_of(app).stop()
    assert not app.publisher.sender.started


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("processing_guarantee", "exactly_once"),
        ("producer_threaded", True),
        ("producer_partitioner", max),
    ],
)
async def test_what_it_cannot_do_is_refused_by_name(
    make_app: MakeApp, connection: Connection, setting: str, value: object
) -> None:
    app = make_app(connection, **{setting: value})
    with pytest.raises(UnsupportedSetting, match=setting):
        _ = app.producer


async def test_transactions_are_refused(app: StreamApp) -> None:
    with pytest.raises(UnsupportedSetting, match="at_least_once"):
        await producer_of(app).begin_transaction("id")
    with pytest.raises(UnsupportedSetting, match="at_least_once"):
        await producer_of(app).send("out", None, b"v", None, None, None, transactional_id="id")


class Driver:
    """Stands in for the consumer's thread: it commits whatever it is told to."""

    beacon = None

    def __init__(self) -> None:
        self.committed: list[Mapping[TP, int]] = []
        self.sought = 0

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.committed.append(offsets)
        return True

    async def seek_to_committed(self) -> Mapping[TP, int]:
        self.sought += 1
        return {}

    def assignment(self) -> set[TP]:
        return {TP("in", 0)}


@pytest.fixture
async def consumer(app: StreamApp, monkeypatch: pytest.MonkeyPatch) -> RunConsumer:
    made = Driver()

    def new_thread(_: object) -> Driver:
        return made

    monkeypatch.setattr(RunConsumer, "_new_consumer_thread", new_thread)
    consumer = cast(RunConsumer, app.consumer)
    consumer.flow_active = True
    return consumer


def driver_of(consumer: RunConsumer) -> Driver:
    return cast(Driver, consumer._thread)


async def test_offsets_are_committed_once_what_was_sent_is_acknowledged(app: StreamApp, consumer: RunConsumer) -> None:
    await raw(app, "out").send(key=b"k", value=b"v")
    assert await consumer._commit_offsets({TP("in", 0): 5})
    assert driver_of(consumer).committed == [{TP("in", 0): 5}]
    assert consumer.refused is None


async def test_a_delivery_that_failed_stops_commits_until_its_work_is_done_again(
    app: StreamApp, consumer: RunConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    outstanding = producer_of(app).outstanding
    clock = [100.0]
    monkeypatch.setattr(outstanding, "_now", lambda: clock[0])
    await app.publisher.stop()  # what is sent now is not delivered
    sent = await producer_of(app).send("out", b"k", b"v", None, None, None)
    assert isinstance(sent.exception(), ProducerSendError)
    assert not await consumer._commit_offsets({TP("in", 0): 5})
    assert "not sent" in (consumer.refused or "")
    assert consumer._should_commit(TP("in", 0), 5)  # Faust takes it for committed
    clock[0] += 1
    assert not await consumer._commit_offsets({TP("in", 0): 5})
    assert (driver_of(consumer).sought, driver_of(consumer).committed) == (1, [])
    app.publisher.start()
    assert await consumer._commit_offsets({TP("in", 0): 5})
    assert consumer.refused is None
