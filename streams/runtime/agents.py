# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Agents that process runs: all of a run or, when it fails, all of it but the records that cannot be processed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
import structlog

from streams.runtime.publisher import TryAgain
from streams.runtime.records import Record, Run

log = structlog.get_logger(__name__)

# Called with consecutive records of one partition; returns once everything that follows from them is durable.
Process = Callable[[Sequence[Record]], Awaitable[None]]
# Called with a record that cannot be processed and the error; returns once its dead letter is durable.
SetAside = Callable[[Record, Exception], Awaitable[None]]

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10.0


def run_agent(app: faust.App, topics: Sequence[str], process: Process, set_aside: SetAside, *, name: str) -> None:
    """Register an agent that gives each run of `topics` to `process`.

    A run is finished, and its offsets may be committed, when `process` returned for all of its records or `set_aside`
    did for those it failed on. While something it needs is away (`TryAgain`), it is tried again, for
    ever: a run is never skipped.
    """
    channel = app.topic(*topics, key_serializer="raw", value_serializer="raw")

    async def agent(stream: Any) -> None:
        async for run in stream:
            if isinstance(run, Run) and run.begin():
                await process_run(run, process, set_aside)

    app.agent(channel, name=name)(agent)


def hand_over(app: faust.App, topics: Sequence[str], accept: Callable[[Run], None], *, name: str) -> None:
    """Register an agent that gives each run of `topics` away without waiting for it.

    Whoever accepts a run finishes it. At most a few runs of a partition are out at a time, which is the back-pressure.
    """
    channel = app.topic(*topics, key_serializer="raw", value_serializer="raw")

    async def agent(stream: Any) -> None:
        async for run in stream:
            if isinstance(run, Run) and run.begin():
                accept(run)

    app.agent(channel, name=name)(agent)


async def process_run(run: Run, process: Process, set_aside: SetAside) -> None:
    """Process a run to its end and finish it; give up only when it has become stale."""
    attempt = 0
    left = [run.records]
    while left and not run.stale:
        part = left.pop()
        try:
            await _bisect(part, process, set_aside, left)
        except TryAgain as error:
            left.append(part)
            pause = random.uniform(0, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**attempt))
            attempt += 1
            log.warning("run_retried", run=repr(run), attempt=attempt, pause=round(pause, 3), error=str(error))
            await asyncio.sleep(pause)
    run.finish()


async def _bisect(part: Sequence[Record], process: Process, set_aside: SetAside, left: list[Sequence[Record]]) -> None:
    """Process a part; when it fails, put its halves on top of what is left, the first half last."""
    try:
        await process(part)
    except TryAgain:
        raise
    # Whatever a stage raises, it must not stop the worker: it is narrowed down to the record that causes it, and that
    # record is set aside with its error.
    except Exception as error:
        if len(part) > 1:
            middle = len(part) // 2
            left.extend((part[middle:], part[:middle]))
            return
        record = part[0]
        log.exception("record_set_aside", topic=record.topic, partition=record.partition, offset=record.offset)
        await set_aside(record, error)
