# pyright: reportPrivateUsage=false
"""Fetches as they are sent: in sessions, and not more often than is worth it."""

import asyncio
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition

from streams.runtime.fetch_client import FetchClient
from streams.runtime.fetch_protocol import Request, Response
from tests.unit.runtime.fetch_broker import SessionBroker


class Broker:
    """Takes requests as aiokafka's client does."""

    def __init__(self, newest: int = 11) -> None:
        self.sessions = SessionBroker()
        self.sent: list[Any] = []
        self.newest = newest
        self.topics: list[Any] = []
        self.fails: BaseException | None = None

    async def send(self, node_id: object, request: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        if not isinstance(request, Request):
            self.sent.append((node_id, request, options))
            return "answer"
        built = request.prepare({FetchRequest.API_KEY: (4, self.newest)})
        self.sent.append(built if request.asked is None else request.asked)
        if self.fails is not None:
            failure, self.fails = self.fails, None
            raise failure
        if request.asked is None:
            return Response(0, 0, 0, self.topics)
        error, session = self.sessions.take(request.asked)
        return Response(0, error, session, [] if error else self.topics)


def fetch(*partitions: tuple[int, int]) -> FetchRequest:
    return FetchRequest(50, 1, 1_000, 1, [("t", [(number, offset, 100) for number, offset in partitions])])


def client_of(broker: Broker, states: Any = (), interval: float = 0.0) -> FetchClient:
    assignment = SimpleNamespace(_tp_state=dict(states))
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    return FetchClient(broker.send, subscription, interval)


async def test_only_fetches_are_sent_in_another_way() -> None:
    broker, metadata = Broker(), MetadataRequest([])
    assert await client_of(broker).send(2, metadata, group=3) == "answer"
    assert broker.sent == [(2, metadata, {"group": 3})]


async def test_each_broker_has_a_session_of_its_own() -> None:
    brokers = {1: Broker(), 2: Broker()}

    async def send(node_id: int, request: Any, **options: Any) -> Any:
        return await brokers[node_id].send(node_id, request, **options)

    client = FetchClient(send, SimpleNamespace(subscription=None), 0.0)
    for offset in range(3):
        for node in brokers:
            await client.send(node, fetch((0, offset), (1, 0)))
    for broker in brokers.values():
        assert [asked.epoch for asked in broker.sent] == [0, 1, 2]
        assert broker.sessions.wanted == {("t", 0): (2, 100), ("t", 1): (0, 100)}


async def test_all_is_asked_for_again_at_once_when_a_broker_has_forgotten_the_session() -> None:
    broker = Broker()
    client = client_of(broker)
    await client.send(1, fetch((0, 1), (1, 1)))
    broker.sessions.forget()
    response = await client.send(1, fetch((0, 2), (1, 1)))
    assert response.error_code == 0
    assert [asked.epoch for asked in broker.sent] == [0, 1, 0]
    assert broker.sessions.wanted == {("t", 0): (2, 100), ("t", 1): (1, 100)}


@pytest.mark.parametrize("failure", [KafkaConnectionError(), asyncio.CancelledError()])
async def test_a_request_of_which_nobody_knows_the_end_is_followed_by_one_for_all(failure: BaseException) -> None:
    broker = Broker()
    client = client_of(broker)
    await client.send(1, fetch((0, 1), (1, 1)))
    broker.fails = failure
    with pytest.raises(type(failure)):
        await client.send(1, fetch((0, 2), (1, 1)))
    await client.send(1, fetch((0, 2), (1, 1)))
    assert [(asked.epoch, len(asked.topics.get("t", ()))) for asked in broker.sent] == [(0, 2), (1, 1), (0, 2)]


async def test_a_broker_that_knows_no_sessions_is_asked_for_all_each_time() -> None:
    broker = Broker(newest=4)
    client = client_of(broker)
    for offset in range(2):
        await client.send(1, fetch((0, offset), (1, 1)))
    assert all(not isinstance(sent, FetchRequest_v11) for sent in broker.sent)
    assert [len(sent.topics[0][1]) for sent in broker.sent] == [2, 2]


async def test_partitions_that_an_answer_does_not_name_count_as_answered_and_others_are_left_to_aiokafka() -> None:
    broker = Broker()
    states = {TopicPartition("t", number): SimpleNamespace(timestamp=1) for number in range(3)}
    states[TopicPartition("t", 3)] = SimpleNamespace(timestamp=None)  # has not been answered for yet
    broker.topics = [("t", [(1, 6, -1, -1, -1, None, -1, None)])]  # its leader is another one
    await client_of(broker, states).send(1, fetch((0, 1), (1, 1), (3, 1)))
    found = [state.timestamp for state in states.values()]
    assert found[0] > 1
    assert found[1:] == [1, 1, None]


async def test_a_partition_whose_only_answer_was_not_taken_is_asked_for_again_with_all() -> None:
    broker, anew = Broker(), SimpleNamespace(timestamp=None)  # assigned after the broker had told of it
    states = {TopicPartition("t", 0): SimpleNamespace(timestamp=1), TopicPartition("t", 1): anew}
    client = client_of(broker, states)
    for _ in range(2):
        await client.send(1, fetch((0, 1), (1, 1)))
    assert [(asked.epoch, len(asked.topics.get("t", ()))) for asked in broker.sent] == [(0, 2), (0, 2)]
    anew.timestamp = 1  # as aiokafka does with an answer
    for _ in range(2):
        await client.send(1, fetch((0, 1), (1, 1)))
    assert [asked.epoch for asked in broker.sent[2:]] == [0, 1]


async def test_a_partition_that_cannot_be_read_does_not_cost_the_others_their_session() -> None:
    broker = Broker()
    states = {TopicPartition("t", number): SimpleNamespace(timestamp=time) for number, time in ((0, 1), (1, None))}
    broker.topics = [("t", [(1, 3, -1, -1, -1, None, -1, None)])]  # no such topic
    client = client_of(broker, states)
    for _ in range(3):
        await client.send(1, fetch((0, 1), (1, 1)))
    assert [asked.epoch for asked in broker.sent] == [0, 1, 2]


async def test_a_broker_is_not_asked_more_often_than_said() -> None:
    times: list[float] = []
    loop = asyncio.get_running_loop()

    async def send(*_: Any, **__: Any) -> Response:
        times.append(loop.time())
        return Response(0, 0, 0, [])

    client = FetchClient(send, SimpleNamespace(subscription=None), 0.02)
    for _ in range(4):
        await client.send(1, fetch((0, 1)))
    await client.send(2, fetch((0, 1)))
    assert all(later - earlier >= 0.019 for earlier, later in pairwise(times[:4]))
    assert times[4] - times[3] < 0.019
