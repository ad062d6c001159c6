"""In which order runs are worked on."""

import asyncio
from typing import Any, cast

from faust.types import TP

from streams.runtime.lanes import Lanes, Urgency
from streams.runtime.records import Run


class _Run:
    """A run as far as lanes look at it."""

    def __init__(self, name: str, partition: int = 0, *, ours: bool = True, records: int = 1) -> None:
        self.name = name
        self.records: list[Any] = [None] * records
        self.tp = TP("t", partition)
        self._ours = ours

    def begin(self) -> bool:
        return self._ours


class Work:
    """Work that goes on until it is told to end, and what was begun."""

    def __init__(self, urgency: Urgency | None = None, *, urgent: bool = False) -> None:
        self.begun: list[str] = []
        self.failures: list[Exception] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.lanes = Lanes(self._work, self._failed, urgency or Urgency(), urgent=urgent, most_records=1)

    def put(self, *runs: _Run) -> None:
        for run in runs:
            self.lanes.put(cast(Run, run))

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settled()

    async def _work(self, run: Any) -> None:
        self.begun.append(run.name)
        if run.name == "faulty":
            raise RuntimeError(run.name)
        self._ends[run.name] = asyncio.Event()
        await self._ends[run.name].wait()

    async def _failed(self, error: Exception) -> None:
        self.failures.append(error)


async def settled() -> None:
    """Return when nothing that can go on has not."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_runs_of_a_partition_are_worked_on_one_after_the_other() -> None:
    work = Work()
    work.put(_Run("first"), _Run("second"))
    await settled()
    assert work.begun == ["first"]
    await work.end("first")
    assert work.begun == ["first", "second"]
    await work.lanes.close()


async def test_a_partition_whose_run_takes_long_does_not_hold_up_another() -> None:
    work = Work()
    work.put(_Run("slow", 0), _Run("behind", 0), _Run("other", 1))
    await settled()
    assert work.begun == ["slow", "other"]
    await work.lanes.close()


async def test_urgent_runs_begin_before_all_that_have_not_begun() -> None:
    urgency = Urgency()
    normal, urgent = Work(urgency), Work(urgency, urgent=True)
    normal.put(_Run("a1", 0))
    await settled()
    normal.put(_Run("a2", 0), _Run("b1", 1))
    urgent.put(_Run("u1", 0), _Run("u2", 0))
    await settled()
    assert (normal.begun, urgent.begun) == (["a1"], ["u1"])
    await normal.end("a1")
    assert normal.begun == ["a1"]  # one urgent run waits still
    await urgent.end("u1")
    assert urgent.begun == ["u1", "u2"]
    assert sorted(normal.begun) == ["a1", "a2", "b1"]  # that which is in work holds nobody up
    await normal.lanes.close()
    await urgent.lanes.close()


async def test_others_begin_as_long_as_no_more_urgent_records_wait_than_may() -> None:
    urgency = Urgency(may_wait=5)
    normal, urgent = Work(urgency), Work(urgency, urgent=True)
    urgent.put(_Run("u1", 0), _Run("few", 0, records=5))
    normal.put(_Run("a1", 0))
    await settled()
    assert (normal.begun, urgent.begun) == (["a1"], ["u1"])
    urgent.put(_Run("one more", 0))
    normal.put(_Run("b1", 1))
    await settled()
    assert normal.begun == ["a1"]
    await urgent.end("u1")
    assert (normal.begun, urgent.begun) == (["a1", "b1"], ["u1", "few"])
    await normal.lanes.close()
    await urgent.lanes.close()


async def test_runs_that_are_no_longer_ours_are_left_alone() -> None:
    work = Work()
    work.put(_Run("stale", ours=False), _Run("ours"))
    await settled()
    assert work.begun == ["ours"]
    await work.lanes.close()


async def test_a_fault_of_the_agent_itself_is_told() -> None:
    work = Work()
    work.put(_Run("faulty"))
    await settled()
    assert [str(error) for error in work.failures] == ["faulty"]


async def test_urgent_runs_that_are_given_up_hold_up_nobody() -> None:
    urgency = Urgency()
    normal, urgent = Work(urgency), Work(urgency, urgent=True)
    urgent.put(_Run("u1"), _Run("u2"))
    await settled()
    await urgent.lanes.close()
    normal.put(_Run("a1"))
    await settled()
    assert normal.begun == ["a1"]
    await normal.lanes.close()


async def test_runs_that_come_after_the_end_are_left_alone_and_hold_up_nobody() -> None:
    urgency = Urgency()
    normal, urgent = Work(urgency), Work(urgency, urgent=True)
    await urgent.lanes.close()
    urgent.put(_Run("late"))
    normal.put(_Run("a1"))
    await settled()
    assert (normal.begun, urgent.begun) == (["a1"], [])
    await normal.lanes.close()
