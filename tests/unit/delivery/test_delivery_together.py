"""Several ways into a store, and few writes: they go in one request."""

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from connectors.sinks.contract import APPLIED, Limits, Outcome, Retry
from connectors.sinks.errors import Unavailable
from streams.delivery.channel import TOGETHER_RECORDS
from streams.delivery.delivery import StorePlan
from tests.unit.delivery.stand_ins import (
    StandInPublisher,
    StandInRun,
    StandInSink,
    accept,
    delivering,
    finished,
    keyed,
    run_of,
)

PATIENT = Limits(linger_ms=20)


def sinks(count: int = 4, limits: Limits = PATIENT) -> list[StandInSink]:
    return [StandInSink(lambda batch: [APPLIED] * len(batch), limits) for _ in range(count)]


async def test_few_writes_of_all_keys_go_in_one_request() -> None:
    made = sinks()
    async with delivering([*made], StandInPublisher()) as delivery:
        run = run_of(40)
        accept(delivery, run)
        await finished(run)
    assert [len(batch) for sink in made for batch in sink.batches] == [40]


async def test_many_writes_go_side_by_side() -> None:
    made = sinks()
    async with delivering([*made], StandInPublisher()) as delivery:
        run = run_of(4 * TOGETHER_RECORDS)
        accept(delivery, run)
        await finished(run)
    assert sum(len(sink.batches) > 0 for sink in made) > 1


async def test_a_request_takes_no_others_along_beyond_what_the_store_takes() -> None:
    made = sinks(limits=Limits(linger_ms=20, max_records=12))
    async with delivering([*made], StandInPublisher()) as delivery:
        run = run_of(40)
        accept(delivery, run)
        await finished(run)
    assert all(len(batch) <= 12 for sink in made for batch in sink.batches)
    assert sum(len(batch) for sink in made for batch in sink.batches) == 40


async def test_where_a_rate_is_set_each_request_is_let_in_for_itself() -> None:
    made = sinks()
    async with delivering([*made], StandInPublisher(), plan=StorePlan(rate=10_000, burst=1)) as delivery:
        run = run_of(40)
        accept(delivery, run)
        await finished(run)
    assert sum(len(sink.batches) for sink in made) > 1


class Watched(StandInSink):
    """Takes some time, notes the versions of each key in the order they came, and keys in two requests at a time."""

    def __init__(self, watch: "Watch") -> None:
        super().__init__(lambda batch: [APPLIED] * len(batch), Limits(linger_ms=1))
        self.watch = watch

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        keys = {one.entity for one in batch}
        with self.watch.lock:
            self.watch.twice |= keys & self.watch.under_way
            self.watch.under_way |= keys
            self.watch.together += len({crc32(key.encode()) % 4 for key in keys}) > 1
            for one in batch:
                self.watch.seen.setdefault(one.entity, []).append(one.version)
        time.sleep(0.004)  # as long as a store takes
        with self.watch.lock:
            self.watch.under_way -= keys
        return super().write(batch)


class Watch:
    """What several sinks saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: dict[str, list[int]] = {}
        self.under_way: set[str] = set()
        self.twice: set[str] = set()
        self.together = 0


async def test_what_goes_together_with_others_is_overtaken_by_no_write_of_its_key() -> None:
    chance, watch, publisher = random.Random(7), Watch(), StandInPublisher()
    async with delivering([Watched(watch) for _ in range(4)], publisher) as delivery:
        first, runs = 0, list[StandInRun]()
        for _ in range(200):
            count = chance.choice((1, 3, 10, 150))
            runs.append(keyed([f"k{chance.randrange(20)}" for _ in range(count)], first=first))
            first += count
            accept(delivery, runs[-1])
            await asyncio.sleep(0.002)  # so that some come while a request is under way
        await finished(*runs)
    assert watch.together > 0
    assert watch.twice == set()
    assert sum(map(len, watch.seen.values())) == first
    assert all(versions == sorted(versions) for versions in watch.seen.values())
    told: dict[str, list[int]] = {}
    for receipt in publisher.receipts():
        told.setdefault(receipt.entity, []).append(receipt.version)
    assert all(versions == sorted(versions) for versions in told.values())


async def test_what_was_taken_along_and_not_taken_by_the_store_comes_again_once() -> None:
    calls = 0

    def answer(batch: list[str]) -> list[Outcome]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise Unavailable("away")
        if calls == 2:
            return [Retry("later") for _ in batch]
        return [APPLIED] * len(batch)

    made = [StandInSink(answer, PATIENT) for _ in range(4)]
    publisher = StandInPublisher()
    async with delivering([*made], publisher) as delivery:
        run = run_of(40)
        accept(delivery, run)
        await finished(run)
    assert sorted(one.entity for one in publisher.receipts()) == sorted(f"e{number}" for number in range(40))
