"""A run is processed to its end: bisected, tried again, set aside, in order. The run is a stand-in."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime import agents
from streams.runtime.agents import process_run
from streams.runtime.publisher import PublishFailed
from streams.runtime.records import Record, Run


class StandInRecord:
    def __init__(self, offset: int) -> None:
        self.topic, self.partition, self.offset = "t", 0, offset


class StandInRun:
    def __init__(self, count: int) -> None:
        self.records = [StandInRecord(offset) for offset in range(count)]
        self.stale = False
        self.finished = 0

    def finish(self) -> None:
        self.finished += 1


class Stage:
    """Remembers what it was given; fails on some offsets, and now and then because something is away."""

    def __init__(self, poison: set[int], away: list[bool] | None = None) -> None:
        self.poison = poison
        self.away = away or []
        self.done: list[int] = []
        self.aside: list[tuple[int, str]] = []

    async def process(self, records: Sequence[Record]) -> None:
        if self.away and self.away.pop():
            raise PublishFailed("the brokers are away")
        offsets = [record.offset for record in records]
        if bad := self.poison.intersection(offsets):
            raise ArithmeticError(f"cannot take {min(bad)}")
        self.done.extend(offsets)

    async def set_aside(self, record: Record, error: Exception) -> None:
        self.aside.append((record.offset, str(error)))
        self.done.append(record.offset)


async def run_through(stage: Stage, count: int) -> StandInRun:
    run = StandInRun(count)
    await process_run(cast(Run, run), stage.process, stage.set_aside)
    return run


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "FIRST_PAUSE_SECONDS", 0.0)


async def test_a_run_that_works_is_one_call_and_is_finished_once() -> None:
    stage = Stage(set())
    run = await run_through(stage, 100)
    assert stage.done == list(range(100))
    assert run.finished == 1


@pytest.mark.parametrize("poison", [{0}, {99}, {50}, {0, 1, 2}, {3, 50, 98}, set(range(100))])
async def test_records_that_cannot_be_processed_are_set_aside_and_all_others_go_through_in_order(
    poison: set[int],
) -> None:
    stage = Stage(poison)
    run = await run_through(stage, 100)
    assert stage.done == list(range(100))
    assert stage.aside == [(offset, f"cannot take {offset}") for offset in sorted(poison)]
    assert run.finished == 1


@given(st.sets(st.integers(0, 29)), st.lists(st.booleans(), max_size=20), st.integers(1, 30))
async def test_whatever_fails_when_every_record_has_one_end_and_order_holds(
    poison: set[int], away: list[bool], count: int
) -> None:
    stage = Stage(poison, away)
    await run_through(stage, count)
    assert stage.done == list(range(count))
    assert [offset for offset, _ in stage.aside] == sorted(poison & set(range(count)))


async def test_what_is_away_is_waited_for_and_nothing_is_set_aside() -> None:
    stage = Stage(set(), away=[True] * 7)
    await run_through(stage, 10)
    assert stage.done == list(range(10))
    assert stage.aside == []


async def test_a_run_that_became_stale_is_left_to_its_next_owner() -> None:
    run = StandInRun(10)

    async def process(_: Sequence[Record]) -> None:
        run.stale = True
        raise PublishFailed("rebalancing")

    async def never(*_: Any) -> None:
        raise AssertionError("nothing is wrong with the records")

    await process_run(cast(Run, run), process, never)


async def test_a_dead_letter_that_kafka_does_not_take_is_tried_again() -> None:
    stage = Stage({3})
    failures = [PublishFailed("away"), PublishFailed("away")]

    async def set_aside(record: Record, error: Exception) -> None:
        if failures:
            raise failures.pop()
        await stage.set_aside(record, error)

    run = StandInRun(5)
    await process_run(cast(Run, run), stage.process, set_aside)
    assert stage.done == list(range(5))
    assert [offset for offset, _ in stage.aside] == [3]
