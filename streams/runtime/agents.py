# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Agents that take runs: those that process them, and those that hand them over."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from streams.runtime.crash_journal import CrashJournal
from streams.runtime.lanes import Lanes, Urgency
from streams.runtime.processing import Failure, Work, process_run
from streams.runtime.publisher import TryAgain
from streams.runtime.records import Record, Run
from streams.runtime.retry import RetryPolicy


class RunApp(Protocol):
    """What the agents ask of their app."""

    urgent_topics: frozenset[str]
    urgency: Urgency
    lanes: dict[str, Lanes]  # by topic; the consumer gives the runs of these topics to them
    most_records: int  # of a poll, and of runs that are joined

    @property
    def topic(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def agent(self) -> Callable[..., Any]: ...  # noqa: D102
    async def crash(self, reason: BaseException) -> None: ...  # noqa: D102


# Called with consecutive records of one partition; returns once everything that follows from them is durable.
Process = Callable[[Sequence[Record]], Awaitable[None]]
# Called with a record that cannot be processed and the error; returns once its dead letter is durable.
SetAside = Callable[[Record, Exception], Awaitable[None]]


class ReadTwice(ValueError):  # noqa: N818 - says what is wrong
    """A second agent is to take the runs of a topic, which would commit what the first has not finished."""

    def __init__(self, agent: str, topics: Collection[str]) -> None:
        names = ", ".join(sorted(topics))
        super().__init__(f"agent {agent!r} reads {names}, and so does another one: do both in one agent or group")


class PlainWork:
    """Work that is durable whenever `process` or `set_aside` returns."""

    def __init__(self, process: Process, set_aside: SetAside) -> None:
        self._process = process
        self._set_aside = set_aside

    async def process(self, records: Sequence[Record]) -> None:
        """See `Work.process`."""
        await self._process(records)

    async def set_aside(self, record: Record, failure: Failure) -> None:
        """See `Work.set_aside`."""
        await self._set_aside(record, failure.error)

    async def settle(self) -> None:
        """Nothing is left to do."""


def run_agent(
    app: RunApp,
    topics: Sequence[str],
    work_on: Callable[[Run], Work],
    *,
    retry: RetryPolicy,
    crashes: CrashJournal,
    name: str,
) -> None:
    """Register an agent that works on each run of `topics`; see `process_run`."""

    async def take(run: Run) -> None:
        await process_run(run, work_on(run), retry=retry, crashes=crashes)

    _register(app, topics, take, name)


def hand_over(
    app: RunApp,
    topics: Sequence[str],
    accept: Callable[[Run], None],
    set_aside: SetAside,
    *,
    hurry: Callable[[], None],
    crashes: CrashJournal,
    name: str,
) -> None:
    """Register an agent that gives each run of `topics` away without waiting for it.

    Whoever accepts a run finishes it. At most a few runs of a partition are out at a time, which is the back-pressure.
    Records that are suspected of killing the process are handed over in small parts, and waited for; `hurry` then tells
    whoever accepted that nothing else will come. One that has killed it too often goes to `set_aside`.
    """

    async def take(run: Run) -> None:
        parts = crashes.plan(run)
        if len(parts) == 1 and not parts[0].alone:
            slot = await crashes.begin(run.tp, parts[0])

            def finished() -> None:
                crashes.end(slot)
                crashes.survived(run.tp, parts[0])
                run.finish()

            accept(_handed_over(run, run.records, finished))
        else:
            work = _PartByPart(run, accept, set_aside, hurry)
            await process_run(run, work, retry=RetryPolicy(attempts=1), crashes=crashes)

    _register(app, topics, take, name)


def _register(app: RunApp, topics: Sequence[str], take: Callable[[Run], Awaitable[None]], name: str) -> None:
    if taken := app.lanes.keys() & set(topics):
        raise ReadTwice(name, taken)
    urgent = not app.urgent_topics.isdisjoint(topics)
    lanes = Lanes(take, app.crash, app.urgency, urgent=urgent, most_records=app.most_records)
    app.lanes.update(dict.fromkeys(topics, lanes))

    async def agent(stream: Any) -> None:
        try:
            # It has the topics subscribed to, and ends with the worker. Nothing ever comes this way.
            async for _ in stream:
                pass
        finally:
            await lanes.close()

    app.agent(app.topic(*topics, key_serializer="raw", value_serializer="raw"), name=name)(agent)


class _PartByPart:
    """Hands the records of a run over in the parts that are asked for, and waits for each."""

    def __init__(self, run: Run, accept: Callable[[Run], None], set_aside: SetAside, hurry: Callable[[], None]) -> None:
        self._run = run
        self._accept = accept
        self._set_aside = set_aside
        self._hurry = hurry

    async def process(self, records: Sequence[Record]) -> None:
        """Return when whoever accepted the records has finished them."""
        done = asyncio.Event()
        self._accept(_handed_over(self._run, records, done.set))
        self._hurry()
        waiting = [asyncio.create_task(one.wait()) for one in (done, self._run.leaving)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        if not done.is_set():
            raise TryAgain("the partition is about to be given away")

    async def set_aside(self, record: Record, failure: Failure) -> None:
        """See `Work.set_aside`."""
        await self._set_aside(record, failure.error)

    async def settle(self) -> None:
        """Nothing is left to do."""


def _handed_over(run: Run, records: Sequence[Record], on_finish: Callable[[], None]) -> Run:
    return Run(run.tp, records, run.offsets, _HandedOver(run, on_finish))


class _HandedOver:
    """The books of records of a run that were handed over: stale when the run is, and finished in their own way."""

    def __init__(self, run: Run, on_finish: Callable[[], None]) -> None:
        self._run = run
        self._on_finish = on_finish

    def is_stale(self, run: Run) -> bool:  # noqa: ARG002 - the part is stale when the whole is; so below
        return self._run.stale

    def begin(self, run: Run) -> bool:  # noqa: ARG002
        return not self._run.stale

    def finish(self, run: Run) -> None:  # noqa: ARG002
        self._on_finish()

    def reach(self, run: Run, offset: int) -> None:
        """Do nothing: whoever hands the part over reports its end."""

    def hold_up(self, run: Run, reason: str, seconds: float) -> None:  # noqa: ARG002
        self._run.hold_up(reason, seconds)

    def leaving(self, run: Run) -> asyncio.Event:  # noqa: ARG002
        return self._run.leaving

    def leave(self, run: Run) -> None:  # noqa: ARG002
        self._run.leave()
