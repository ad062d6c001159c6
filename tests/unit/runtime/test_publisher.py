"""Records out, on librdkafka's in-memory cluster."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

import pytest

from connectors.kafka.connection import ClientConfig, Connection
from connectors.kafka.reading import read_topics
from deploy.local.kafka import MemoryKafka
from streams.runtime.publisher import Outgoing, Publisher, PublishFailed, TryAgain, Unpublishable


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


@pytest.fixture
async def publisher(connection: Connection) -> AsyncGenerator[Publisher]:
    publisher = Publisher(connection, linger_ms=1)
    publisher.start()
    yield publisher
    await publisher.stop()


async def test_publish_returns_when_all_are_acknowledged_with_the_offsets_reached(
    publisher: Publisher, connection: Connection
) -> None:
    records = [Outgoing("plain", b"k", str(number).encode(), partition=2) for number in range(500)]
    assert await publisher.publish(records) == {("plain", 2): 499}
    held = read_topics(connection, ["plain"])
    assert [record.value for record in held] == [record.value for record in records]


async def test_headers_tombstones_and_missing_keys_arrive_as_they_are(
    publisher: Publisher, connection: Connection
) -> None:
    headers = (("a", b"\xff"), ("a", b"again"), ("none", None))
    await publisher.publish([Outgoing("odd", None, None, headers), Outgoing("odd", None, b"")])
    held = {record.value: record for record in read_topics(connection, ["odd"])}
    assert [(name, value or b"") for name, value in held[None].headers] == [
        ("a", b"\xff"),
        ("a", b"again"),
        ("none", b""),
    ]
    assert held[b""].key is None


async def test_a_record_that_is_too_large_is_unpublishable_and_those_before_it_are_sent(
    publisher: Publisher, connection: Connection
) -> None:
    with pytest.raises(Unpublishable, match="large"):
        await publisher.publish([Outgoing("sizes", b"k", b"fits"), Outgoing("sizes", b"k", b"x" * 13_000_000)])
    assert [record.value for record in read_topics(connection, ["sizes"])] == [b"fits"]


async def test_many_batches_at_once_are_told_apart(publisher: Publisher) -> None:
    batches = [[Outgoing("many", str(n).encode(), b"v", partition=n % 4)] * 50 for n in range(20)]
    results = await asyncio.gather(*(publisher.publish(batch) for batch in batches))
    assert [set(result) for result in results] == [{("many", n % 4)} for n in range(20)]


async def test_nothing_is_published_before_the_start(connection: Connection) -> None:
    with pytest.raises(PublishFailed, match="not started"):
        await Publisher(connection).publish([Outgoing("t", None, b"v")])


async def test_an_empty_batch_is_done_at_once(publisher: Publisher) -> None:
    assert await publisher.publish([]) == {}


async def test_a_stop_while_the_brokers_are_away_waits_for_them_and_then_tells_who_still_waits() -> None:
    publisher = Publisher(PlainConnection(bootstrap="127.0.0.1:9"))
    publisher.start()
    waiting = asyncio.create_task(publisher.publish([Outgoing("t", b"k", b"v")]))
    await asyncio.sleep(0)  # lets it begin
    await publisher.stop(timeout=0.2)
    with pytest.raises(PublishFailed):
        await waiting


async def test_records_of_a_key_keep_their_order_with_headers_and_without(
    publisher: Publisher, connection: Connection
) -> None:
    headers = (("h", b"1"),)
    records = [Outgoing("ordered", b"k", str(one).encode(), headers if one % 3 else ()) for one in range(60)]
    await publisher.publish(records)
    assert [one.value for one in read_topics(connection, ["ordered"])] == [one.value for one in records]


async def test_a_full_queue_makes_publish_wait_and_loses_nothing(connection: Connection) -> None:
    publisher = Publisher(connection, queue_records=10)
    publisher.start()
    batches = [[Outgoing("full", b"k", f"{n}-{one}".encode()) for one in range(100)] for n in range(3)]
    await asyncio.gather(*(publisher.publish(batch) for batch in batches))
    await publisher.stop()
    held = [one.value for one in read_topics(connection, ["full"])]
    assert len(held) == 300
    for batch in batches:
        assert [value for value in held if value in {one.value for one in batch}] == [one.value for one in batch]


def test_what_is_away_is_tried_again_and_what_can_never_go_is_not() -> None:
    assert issubclass(PublishFailed, TryAgain)
    assert not issubclass(Unpublishable, TryAgain)
