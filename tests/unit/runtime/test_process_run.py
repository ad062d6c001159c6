"""A run is processed to its end: bisected, tried again, set aside, in order. The run is a stand-in."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streams.runtime import processing
from streams.runtime.agents import PlainWork
from streams.runtime.crash_journal import CrashJournal
from streams.runtime.processing import Failure, WrongUse, process_run
from streams.runtime.publisher import PublishFailed
from streams.runtime.records import Record, Run
from streams.runtime.retry import RetryPolicy

AT_ONCE = RetryPolicy(first_pause=0, longest_pause=0)
ONCE = RetryPolicy(attempts=1)


class StandInRecord:
    def __init__(self, offset: int) -> None:
        self.topic, self.partition, self.offset = "t", 0, offset


class StandInRun:
    """Waits as a run does, and knows how it ended."""

    def __init__(self, count: int) -> None:
        self.tp = TP("t", 0)
        self.records = [StandInRecord(offset) for offset in range(count)]
        self.stale = False
        self.leaving = asyncio.Event()
        self.pausing = asyncio.Event()
        self.finished = 0
        self.left = 0
        self.reached: list[int] = []
        self.held_up: list[str] = []

    async def pause(self, seconds: float) -> bool:
        self.pausing.set()
        return await Run.pause(cast(Run, self), seconds)

    def finish(self) -> None:
        self.finished += 1

    def reach(self, offset: int) -> None:
        self.reached.append(offset)

    def leave(self) -> None:
        self.left += 1

    def hold_up(self, reason: str, seconds: float) -> None:
        self.held_up.append(reason)


class Stage:
    """Remembers what it was given; fails on some offsets, and now and then because something is away."""

    def __init__(self, poison: set[int], away: list[bool] | None = None) -> None:
        self.poison = poison
        self.away = away or []
        self.calls: list[int] = []
        self.done: list[int] = []
        self.aside: list[tuple[int, str]] = []
        self.failures: list[Failure] = []
        self.settled = 0

    async def process(self, records: Sequence[Record]) -> None:
        if self.away and self.away.pop():
            raise PublishFailed("the brokers are away")
        offsets = [record.offset for record in records]
        self.calls.append(len(offsets))
        if bad := self.poison.intersection(offsets):
            raise ArithmeticError(f"cannot take {min(bad)}")
        self.done.extend(offsets)

    async def set_aside(self, record: Record, failure: Failure) -> None:
        self.aside.append((record.offset, str(failure.error)))
        self.failures.append(failure)
        self.done.append(record.offset)

    async def settle(self) -> None:
        self.settled += 1


async def see_through(run: StandInRun, stage: Stage, retry: RetryPolicy = AT_ONCE) -> None:
    unopened = CrashJournal(Path("none"), "group")
    await process_run(cast(Run, run), stage, retry=retry, crashes=unopened)


async def run_through(stage: Stage, count: int, retry: RetryPolicy = AT_ONCE) -> StandInRun:
    run = StandInRun(count)
    await see_through(run, stage, retry)
    return run


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "OUTSIDE", AT_ONCE)


async def test_a_run_that_works_is_one_call_and_is_finished_once() -> None:
    stage = Stage(set())
    run = await run_through(stage, 100)
    assert stage.done == list(range(100))
    assert stage.calls == [100]
    assert (run.finished, run.left, stage.settled) == (1, 0, 1)


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


async def test_a_record_that_fails_is_tried_as_often_as_the_policy_says_and_alone() -> None:
    stage = Stage({5})
    await run_through(stage, 8, RetryPolicy(attempts=4, first_pause=0, longest_pause=0))
    assert stage.calls == [8, 4, 4, 2, 1, 1, 1, 1, 1, 2]
    assert [failure.attempts for failure in stage.failures] == [4]
    assert [failure.foreseen for failure in stage.failures] == [False]


async def test_a_record_that_fails_for_a_while_is_not_set_aside() -> None:
    class Flaky(Stage):
        async def process(self, records: Sequence[Record]) -> None:
            if len(self.calls) == 2:
                self.poison.clear()
            await super().process(records)

    stage = Flaky({0})
    run = await run_through(stage, 1)
    assert (stage.done, stage.aside, run.finished) == ([0], [], 1)


async def test_an_error_for_which_trying_is_no_use_is_tried_once() -> None:
    stage = Stage({0})
    await run_through(stage, 1, RetryPolicy(attempts=9, not_retriable=(ArithmeticError,)))
    assert stage.calls == [1]
    assert [failure.foreseen for failure in stage.failures] == [True]


async def test_what_is_away_is_waited_for_and_nothing_is_set_aside() -> None:
    stage = Stage(set(), away=[True] * 7)
    run = await run_through(stage, 10, ONCE)
    assert stage.done == list(range(10))
    assert run.held_up == ["the brokers are away"] * 7
    assert stage.aside == []


async def test_a_run_that_became_stale_is_left_to_its_next_owner() -> None:
    run = StandInRun(10)

    class TakenAway(Stage):
        async def process(self, records: Sequence[Record]) -> None:
            run.stale = True
            raise PublishFailed("rebalancing")

    stage = TakenAway(set())
    await see_through(run, stage)
    assert (stage.aside, run.finished, run.left) == ([], 0, 1)


@pytest.mark.parametrize("error", [ArithmeticError("bad"), PublishFailed("away")])
async def test_a_run_that_waits_is_left_as_soon_as_the_worker_stops(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails(Stage):
        async def process(self, records: Sequence[Record]) -> None:
            raise error

    never_again = RetryPolicy(first_pause=3_600, longest_pause=3_600)
    monkeypatch.setattr(processing, "OUTSIDE", never_again)
    run = StandInRun(1)
    waiting = asyncio.create_task(see_through(run, Fails(set()), never_again))
    await run.pausing.wait()
    run.leaving.set()
    await asyncio.wait_for(waiting, 5)
    assert (run.finished, run.left) == (0, 1)


async def test_a_dead_letter_that_kafka_does_not_take_is_tried_again() -> None:
    failures = [PublishFailed("away"), PublishFailed("away")]

    class Refused(Stage):
        async def set_aside(self, record: Record, failure: Failure) -> None:
            if failures:
                raise failures.pop()
            await super().set_aside(record, failure)

    stage = Refused({3})
    await run_through(stage, 5)
    assert stage.done == list(range(5))
    assert [offset for offset, _ in stage.aside] == [3]


async def test_what_is_not_durable_at_the_end_is_tried_again_and_only_then_the_run_is_finished() -> None:
    failures = [PublishFailed("away"), PublishFailed("away")]
    run = StandInRun(3)

    class Unsettled(Stage):
        async def settle(self) -> None:
            assert run.finished == 0
            if failures:
                raise failures.pop()
            await super().settle()

    stage = Unsettled(set())
    await see_through(run, stage)
    assert (stage.calls, stage.settled, run.finished) == ([3], 1, 1)


async def test_a_thousand_bad_records_cost_no_thousand_pauses_and_no_thousand_stack_traces() -> None:
    stage = Stage(set(range(1_000)))
    with capture_logs() as logs:
        run = StandInRun(1_000)
        await see_through(run, stage, RetryPolicy(attempts=3, first_pause=0.05, longest_pause=0.2))
    assert [offset for offset, _ in stage.aside] == list(range(1_000))
    assert {failure.attempts for failure in stage.failures} == {3}
    assert [one["event"] for one in logs] == ["record_set_aside"] * 3 + ["records_set_aside"]
    assert logs[-1]["records"] == 1_000
    assert run.finished == 1


async def test_an_agent_that_asks_for_what_it_was_not_registered_for_stops_the_worker_and_sets_nothing_aside() -> None:
    class Wrong(Stage):
        async def process(self, records: Sequence[Record]) -> None:
            raise WrongUse("register it otherwise")

    stage, run = Wrong(set()), StandInRun(4)
    with pytest.raises(WrongUse):
        await see_through(run, stage)
    assert (stage.aside, run.finished) == ([], 0)


async def test_agents_of_an_app_take_plain_functions() -> None:
    seen: list[Any] = []

    async def process(records: Sequence[Record]) -> None:
        raise KeyError(records[0].offset)

    async def set_aside(record: Record, error: Exception) -> None:
        seen.append((record.offset, error))

    run = StandInRun(1)
    unopened = CrashJournal(Path("none"), "group")
    await process_run(cast(Run, run), PlainWork(process, set_aside), retry=ONCE, crashes=unopened)
    assert [(offset, type(error)) for offset, error in seen] == [(0, KeyError)]


async def test_what_was_done_of_a_run_that_takes_long_is_reported_before_its_end() -> None:
    stage = Stage({1, 5})
    run = await run_through(stage, 8)
    assert stage.done == list(range(8))
    # What is set aside counts once something after it has come through: until then its dead letter may be on its way.
    assert run.reached == [1, 4, 5]


async def test_a_run_that_comes_through_at_once_reports_its_end_only() -> None:
    assert (await run_through(Stage(set()), 8)).reached == []
