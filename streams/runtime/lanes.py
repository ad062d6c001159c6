"""The order in which an agent's runs are worked on."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from faust.types import TP

from streams.runtime.records import Run, joined


def lane_of(tp: TP) -> str:
    """Return the name of the task that works on a partition's runs, by which it is found when it hangs."""
    return f"lane {tp.topic}-{tp.partition}"


class Urgency:
    """Lets runs of urgent topics begin before all others that have not begun. Shared by the agents of an app.

    Args:
        may_wait: so many urgent records may wait to begin before the others let them pass.
    """

    def __init__(self, *, may_wait: int = 0) -> None:
        self._may_wait = may_wait
        self._waiting = 0
        self._calm = asyncio.Event()
        self._calm.set()

    @property
    def is_calm(self) -> bool:
        """Whether no more urgent records wait than may."""
        return self._calm.is_set()

    def arrived(self, records: int) -> None:
        """Note the records of an urgent run that waits to begin."""
        self._waiting += records
        if self._waiting > self._may_wait:
            self._calm.clear()

    def begun(self, records: int) -> None:
        """Note that such a run has begun, or never will."""
        self._waiting -= records
        if self._waiting <= self._may_wait:
            self._calm.set()

    async def calm(self) -> None:
        """Return when no more urgent records wait than may."""
        await self._calm.wait()


class Lanes:
    """Works on the runs of each partition in their order, and on different partitions side by side.

    While one waits for the brokers, or between the attempts of a record that fails, another one is worked on. Runs that
    wait are joined. What a run costs by itself is mostly waiting: at 1,000 events a second, in runs of three or four, a
    partition that took one after the other fell behind further and further.

    Args:
        work: sees a run to its end.
        failed: told of what `work` raises, which is never a record's fault.
        urgency: shared with the other agents.
        urgent: whether this agent's runs come first.
        most_records: how many records runs are joined up to.
    """

    def __init__(
        self,
        work: Callable[[Run], Awaitable[None]],
        failed: Callable[[Exception], Awaitable[None]],
        urgency: Urgency,
        *,
        urgent: bool,
        most_records: int,
    ) -> None:
        self._work = work
        self._failed = failed
        self._urgency = urgency
        self._urgent = urgent
        self._most_records = most_records
        self._waiting: dict[TP, deque[Run]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def put(self, run: Run) -> None:
        """Have a run worked on after those of its partition that came before; once closed, it is left alone."""
        if self._closed:
            return
        if self._urgent:
            self._urgency.arrived(len(run.records))
        waiting = self._waiting.get(run.tp)
        if waiting is not None:
            waiting.append(run)
            return
        waiting = self._waiting[run.tp] = deque([run])
        task = asyncio.create_task(self._empty(run.tp, waiting), name=lane_of(run.tp))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is in work and what waits; whoever owns the partitions next gets it again."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _empty(self, tp: TP, waiting: deque[Run]) -> None:
        try:
            while waiting:
                if not self._urgent:
                    await self._urgency.calm()
                runs = self._next(waiting)
                if runs:
                    await self._work(joined(runs))
        # What is wrong with a record was dealt with before; this is the agent's own fault, and ends the worker.
        except Exception as error:  # noqa: BLE001
            await self._failed(error)
        finally:
            if self._urgent:
                for run in waiting:
                    self._urgency.begun(len(run.records))
            del self._waiting[tp]

    def _next(self, waiting: deque[Run]) -> list[Run]:
        """Take the runs that are worked on next; those that are no longer ours are left out."""
        taken: list[Run] = []
        room = self._most_records
        while waiting and (not taken or len(waiting[0].records) <= room):
            run = waiting.popleft()
            if self._urgent:
                self._urgency.begun(len(run.records))
            if run.begin():
                taken.append(run)
                room -= len(run.records)
        return taken
