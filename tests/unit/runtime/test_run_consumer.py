# pyright: reportPrivateUsage=false
"""The consumer that delivers runs, on a driver that is a stand-in: logs in memory, and fetches that can be held up."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.fetching import share_of
from streams.runtime.lanes import Lanes
from streams.runtime.records import Run
from streams.runtime.state_folder import StateFolder
from streams.runtime.transport import RunConsumer

RUNS, PLAIN, CHANGELOG = TP("runs", 0), TP("plain", 0), TP("log", 0)


class Driver:
    """Three partitions of ten records. A fetch takes what lies at the positions of the moment it begins."""

    beacon = None  # Faust shows it in its tree of services

    def __init__(self) -> None:
        self.positions: dict[TP, int] = {RUNS: 0, PLAIN: 0, CHANGELOG: 0}
        self.committed: dict[TP, int | None] = dict.fromkeys(self.positions)
        self.held = asyncio.Event()
        self.held.set()
        self.fetching = asyncio.Event()
        self.sought = asyncio.Event()
        self.sought.set()
        self.seeking = asyncio.Event()

    async def getmany(self, active: set[TP], timeout: float) -> Mapping[TP, list[ConsumerRecord[Any, Any]]]:
        fetched = {tp: [record(tp, offset) for offset in range(self.positions[tp], 10)] for tp in active}
        for tp in active:
            self.positions[tp] = 10
        self.fetching.set()
        await self.held.wait()
        return {tp: batch for tp, batch in fetched.items() if batch}

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        self.seeking.set()
        await self.sought.wait()
        for tp, offset in self.committed.items():
            if offset:
                self.positions[tp] = offset
        return dict(self.committed)

    async def seek_to_beginning(self, *partitions: TP) -> None:
        for tp in partitions:
            self.positions[tp] = 0

    def assignment(self) -> set[TP]:
        return set(self.positions)

    def highwater(self, _: TP) -> int:
        return 10


class Given:
    """Stands in for the lanes of an agent: keeps the runs it is given."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def put(self, run: Run) -> None:
        self.runs.append(run)


def record(tp: TP, offset: int) -> ConsumerRecord[Any, Any]:
    return ConsumerRecord(tp.topic, tp.partition, offset, 0, 0, b"k", b"v", None, 1, 1, ())


@pytest.fixture
async def driver() -> Driver:
    return Driver()


@pytest.fixture
async def consumer(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[RunConsumer]:
    def new_thread(_: object) -> Driver:
        return driver

    monkeypatch.setattr(RunConsumer, "_new_consumer_thread", new_thread)
    folder = StateFolder(tmp_path)
    app = StreamApp("test", Connection(bootstrap="127.0.0.1:1"), state_folder=folder, partitions=1)
    app.lanes[RUNS.topic] = cast(Lanes, Given())
    # The topics whose offsets are committed are those that agents read; a changelog is none of them.
    cast(Any, app.topics)._acking_topics.update({RUNS.topic, PLAIN.topic})
    made = cast(RunConsumer, app.consumer)
    made.flow_active = True
    made._active_partitions = {RUNS, PLAIN, CHANGELOG}
    yield made
    folder.close()


async def delivered(consumer: RunConsumer) -> dict[TP, list[int]]:
    """Fetch once and return the offsets that were delivered of each partition."""
    before = len(given(consumer))
    found: dict[TP, list[int]] = {}
    async for tp, message in consumer.getmany(timeout=1):
        found.setdefault(tp, []).append(message.offset)
    for run in given(consumer)[before:]:
        found.setdefault(run.tp, []).extend(one.offset for one in run.records)
    return found


def given(consumer: RunConsumer) -> list[Run]:
    """Return the runs that the lanes were given."""
    return cast(Any, consumer.app).lanes[RUNS.topic].runs


async def fetched_run(consumer: RunConsumer) -> Run:
    """Fetch once and return the one run that came."""
    before = len(given(consumer))
    await delivered(consumer)
    (run,) = given(consumer)[before:]
    return run


async def test_a_partition_that_is_read_in_runs_comes_as_one_to_its_lanes_and_others_record_by_record(
    consumer: RunConsumer,
) -> None:
    found = await delivered(consumer)
    assert len(given(consumer)) == 1
    assert found == {RUNS: list(range(10)), PLAIN: list(range(10)), CHANGELOG: list(range(10))}


async def test_what_a_fetch_brings_that_was_on_its_way_during_a_seek_is_fetched_again_and_makes_no_hole(
    consumer: RunConsumer, driver: Driver
) -> None:
    # A worker that had been killed came back, and recovery sought while a fetch was under way: the same records came
    # twice, "delivered out of order", and the worker ended.
    driver.positions = {RUNS: 7, PLAIN: 7, CHANGELOG: 7}
    driver.committed = {RUNS: 4, PLAIN: None, CHANGELOG: None}
    driver.held.clear()
    fetch = asyncio.create_task(delivered(consumer))
    await driver.fetching.wait()
    await consumer.perform_seek()
    driver.held.set()
    assert await fetch == {CHANGELOG: [7, 8, 9]}  # its positions are recovery's business
    assert await delivered(consumer) == {RUNS: list(range(4, 10)), PLAIN: list(range(10))}


async def test_nothing_is_fetched_of_a_partition_while_its_position_moves(
    consumer: RunConsumer, driver: Driver
) -> None:
    # What was delivered then was in the hands of agents that Faust restarts at that moment: nobody finished it.
    driver.positions = {RUNS: 7, PLAIN: 7, CHANGELOG: 7}
    driver.committed = {RUNS: 4, PLAIN: 4, CHANGELOG: None}
    driver.sought.clear()
    seek = asyncio.create_task(consumer.perform_seek())
    await driver.seeking.wait()
    assert await delivered(consumer) == {CHANGELOG: [7, 8, 9]}
    assert driver.positions[RUNS] == driver.positions[PLAIN] == 7
    driver.sought.set()
    await seek
    assert await delivered(consumer) == {RUNS: list(range(4, 10)), PLAIN: list(range(4, 10))}


async def test_what_is_left_of_a_fetch_when_a_seek_comes_in_between_is_fetched_again(
    consumer: RunConsumer, driver: Driver
) -> None:
    driver.committed = {RUNS: 4, PLAIN: 4, CHANGELOG: None}
    found: list[TP] = []
    async for tp, _ in consumer.getmany(timeout=1):
        found.append(tp)
        if tp != CHANGELOG:
            await consumer.perform_seek()
    assert len([tp for tp in found if tp != CHANGELOG]) == 1
    assert await delivered(consumer) == {RUNS: list(range(4, 10)), PLAIN: list(range(4, 10))}


async def test_a_run_that_a_seek_comes_before_is_not_given_and_read_again(
    consumer: RunConsumer, driver: Driver
) -> None:
    cast(StreamApp, consumer.app).urgent_topics = frozenset({PLAIN.topic})  # comes first
    driver.committed = {RUNS: 4, PLAIN: 4, CHANGELOG: None}
    async for tp, _ in consumer.getmany(timeout=1):
        if tp == PLAIN:
            await consumer.perform_seek()
    assert given(consumer) == []
    assert (await delivered(consumer))[RUNS] == list(range(4, 10))


async def test_no_run_is_given_while_too_much_waits_to_be_sent_nor_when_the_flow_has_stopped_meanwhile(
    consumer: RunConsumer, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An agent may send through Faust from a function that cannot wait: nothing else would ever slow it down.
    ebb = asyncio.Event()
    monkeypatch.setattr(consumer.app.producer.buffer, "wait_until_ebb", ebb.wait)
    fetch = asyncio.create_task(delivered(consumer))
    await driver.fetching.wait()
    assert given(consumer) == []
    consumer.flow_active = False
    ebb.set()
    assert await fetch == {}
    consumer.flow_active = True
    assert (await delivered(consumer))[RUNS] == list(range(10))


async def test_a_partition_without_a_commit_is_read_from_its_beginning_after_a_seek(
    consumer: RunConsumer, driver: Driver
) -> None:
    await delivered(consumer)
    driver.committed[RUNS] = 5
    await consumer.perform_seek()
    assert driver.positions == {RUNS: 5, PLAIN: 0, CHANGELOG: 10}


async def test_what_was_fetched_when_the_flow_stops_is_not_delivered_and_read_again_later(
    consumer: RunConsumer, driver: Driver
) -> None:
    driver.held.clear()
    fetch = asyncio.create_task(delivered(consumer))
    await driver.fetching.wait()
    consumer.flow_active = False
    driver.held.set()
    assert await fetch == {}
    consumer.flow_active = True
    again = await delivered(consumer)
    assert again[RUNS] == again[PLAIN] == list(range(10))


async def test_runs_from_before_a_seek_are_stale(consumer: RunConsumer) -> None:
    run = await fetched_run(consumer)
    assert run.begin()
    await consumer.perform_seek()
    assert run.stale
    run.finish()
    assert consumer._new_offset(RUNS) is None


async def test_a_record_is_committable_when_its_stream_has_acked_it_also_without_calling_the_consumer(
    consumer: RunConsumer,
) -> None:
    messages = [message async for tp, message in consumer.getmany(timeout=1) if tp == PLAIN]
    for message in messages[:3]:
        message.tracked = True
        consumer._unacked_messages.add(message)
    consumer.ack(messages[0])
    consumer._unacked_messages.discard(messages[1])  # what Faust's compiled streams do
    assert consumer._new_offset(PLAIN) == 2


async def test_a_record_that_a_stream_skipped_because_of_a_rebalance_is_not_committed(consumer: RunConsumer) -> None:
    messages = [message async for tp, message in consumer.getmany(timeout=1) if tp == PLAIN]
    messages[0].tracked = False
    consumer.ack(messages[0])
    assert consumer._new_offset(PLAIN) is None


async def test_a_partition_with_its_share_of_bytes_in_work_is_not_fetched_until_they_are_finished(
    consumer: RunConsumer, driver: Driver
) -> None:
    cast(StreamApp, consumer.app).buffer_bytes = 30  # for three partitions: ten records of one byte each
    run = await fetched_run(consumer)
    assert run.begin()
    driver.positions[RUNS] = 0
    assert RUNS not in await delivered(consumer)
    run.finish()
    driver.positions[RUNS] = 10
    assert consumer._open_bytes[RUNS] == 0


async def begun(consumer: RunConsumer) -> Run:
    run = await fetched_run(consumer)
    assert run.begin()
    return run


async def test_a_run_that_waits_is_told_when_its_partition_is_about_to_go_and_is_then_left_uncommitted(
    consumer: RunConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_to_commit() -> None:
        pass

    monkeypatch.setattr(consumer, "commit_and_end_transactions", nothing_to_commit)
    run = await begun(consumer)
    waiting = asyncio.create_task(run.pause(3_600))
    draining = asyncio.create_task(consumer.wait_empty())
    assert not await asyncio.wait_for(waiting, 5)
    run.leave()
    await asyncio.wait_for(draining, 5)
    assert consumer._new_offset(RUNS) is None


async def test_a_run_that_waits_is_told_when_it_becomes_stale_and_those_of_the_next_assignment_are_not(
    consumer: RunConsumer,
) -> None:
    run = await begun(consumer)
    waiting = asyncio.create_task(run.pause(3_600))
    await asyncio.sleep(0)  # lets it begin to wait
    await consumer.perform_seek()
    assert not await asyncio.wait_for(waiting, 5)
    assert run.stale
    assert not await run.pause(3_600)
    cast(Any, consumer)._thread.positions[RUNS] = 0
    assert await (await begun(consumer)).pause(0)


async def test_a_fetch_that_comes_back_while_a_rebalance_waits_for_a_run_does_not_make_it_stale(
    consumer: RunConsumer, driver: Driver
) -> None:
    # With a store that takes seconds for a batch, each rebalance did again all that was not committed at that moment.
    run = await begun(consumer)
    driver.positions[PLAIN] = 5
    driver.held.clear()
    driver.fetching.clear()
    fetch = asyncio.create_task(delivered(consumer))
    await driver.fetching.wait()
    consumer.flow_active = False
    driver.held.set()
    assert await fetch == {}
    assert not run.stale
    run.finish()
    assert consumer._new_offset(RUNS) == 10


@pytest.mark.parametrize(
    ("budget", "partitions", "share"), [(64 << 20, 1, 512 << 10), (64 << 20, 256, 256 << 10), (10, 100, 1), (10, 0, 10)]
)
def test_the_shares_of_all_partitions_keep_to_the_budget(budget: int, partitions: int, share: int) -> None:
    assert share_of(budget, partitions) == share
