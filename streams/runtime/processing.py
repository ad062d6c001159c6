"""Sees every record of a run to its end, in order: processed, or set aside with the reason."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

import structlog

from streams.runtime.crash_journal import CrashJournal
from streams.runtime.crashes import CrashedProcess, Part
from streams.runtime.publisher import TryAgain
from streams.runtime.records import Record, Run
from streams.runtime.retry import Retries, RetryPolicy

log = structlog.get_logger(__name__)

# What is away is tried again for ever, with the pauses of this policy.
OUTSIDE = RetryPolicy(first_pause=0.1, longest_pause=10.0)
# A run of a thousand bad records must not write a thousand stack traces.
TOLD_IN_FULL = 3


class WrongUse(RuntimeError):  # noqa: N818 - says what happened
    """An agent asks for what it was not registered for. No record is to blame: the worker stops, and says why."""


class Failure(NamedTuple):
    """Why a record is set aside."""

    error: Exception
    attempts: int
    first_failed_at: datetime
    foreseen: bool  # an error that belongs to the record; no stack trace is needed to understand it


class Work(Protocol):
    """What is done with one run. Each method may raise `TryAgain`; then it is called again later."""

    async def process(self, records: Sequence[Record]) -> None:
        """Process consecutive records; when it raises, nothing of them has been done that may not be done again."""
        ...

    async def set_aside(self, record: Record, failure: Failure) -> None:
        """Take a record that cannot be processed. What comes after it may not become durable before its dead letter."""
        ...

    async def settle(self) -> None:
        """Return once everything is durable; called when all records were processed or set aside."""
        ...


async def process_run(run: Run, work: Work, *, retry: RetryPolicy, crashes: CrashJournal) -> None:
    """See every record of a run to its end, in order: processed or set aside. Then finish the run.

    When processing raises, the records are bisected down to the one that fails; that one is tried again as `retry`
    says, while those after it wait, and then set aside. While something outside is away (`TryAgain`) it is tried for
    ever. Records that are suspected of killing the process come in small groups or one by one, each in its turn among
    all agents. A run that waits is left to the next owner of its partition as soon as the worker stops or a rebalance
    begins.
    """
    if await _Processing(run, work, retry, crashes).to_the_end():
        run.finish()
    else:
        run.leave()


class _Processing:
    """One run on its way through its work."""

    def __init__(self, run: Run, work: Work, retry: RetryPolicy, crashes: CrashJournal) -> None:
        self._run = run
        self._work = work
        self._crashes = crashes
        self._not_retriable = retry.not_retriable
        self._left = crashes.plan(run)[::-1]
        self._retries = Retries(retry)
        self._first_failed_at = datetime.now(UTC)
        self._set_aside_count = 0
        self._away = 0  # attempts in a row at which something was away

    async def to_the_end(self) -> bool:
        """Return whether all records had their end; if not, the run is to be left."""
        while not self._run.stale:
            part = self._left.pop() if self._left else None
            try:
                pause = await self._step(part)
            except TryAgain as error:
                if part is not None:
                    self._left.append(part)
                pause = self._note_away(error)
            else:
                self._away = 0
                if part is None:
                    self._tell_of_the_rest()
                    return True
            if pause is not None and not await self._run.pause(pause):
                return False
        return False

    async def _step(self, part: Part | None) -> float | None:
        """Do what is next; return how long to wait after it, if at all."""
        if part is None:
            await self._work.settle()
            return None
        if part.crashes:
            record = part.records[0]
            await self._set_aside(record, CrashedProcess(record, part.crashes), attempts=part.crashes)
            return None
        try:
            await self._attempt(part)
        except (TryAgain, WrongUse):
            raise
        # Whatever a stage raises, it must not stop the worker: it is narrowed down to the record that causes it, which
        # is set aside with its error.
        except Exception as error:  # noqa: BLE001
            return await self._failed(part, error)
        self._crashes.survived(self._run.tp, part)
        self._retries.next_record()
        if self._left:
            # Suspects come in many parts: 2,000 records took 12 s, began anew with each rebalance in between, and
            # were never through while workers were killed every few seconds.
            self._run.reach(part.records[-1].offset + 1)
        return None

    async def _attempt(self, part: Part) -> None:
        slot = await self._crashes.begin(self._run.tp, part)
        try:
            if part.alone and self._run.leaving.is_set():
                raise TryAgain("the partition is about to be given away")
            await self._work.process(part.records)
        finally:
            self._crashes.end(slot)

    async def _failed(self, part: Part, error: Exception) -> float | None:
        if len(part.records) > 1:
            middle = len(part.records) // 2
            self._left += [Part(part.records[middle:], part.alone), Part(part.records[:middle], part.alone)]
            return None
        if self._retries.attempt == 0:
            self._first_failed_at = datetime.now(UTC)
        pause = self._retries.failed(error)
        if pause is None:
            await self._set_aside(part.records[0], error, attempts=self._retries.attempt)
            self._crashes.survived(self._run.tp, part)
            self._retries.next_record()
        else:
            self._left.append(part)
        return pause

    async def _set_aside(self, record: Record, error: Exception, *, attempts: int) -> None:
        foreseen = isinstance(error, (CrashedProcess, *self._not_retriable))
        await self._work.set_aside(record, Failure(error, attempts, self._first_failed_at, foreseen))
        self._set_aside_count += 1
        if self._set_aside_count <= TOLD_IN_FULL:
            log.error(
                "record_set_aside",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                attempts=attempts,
                error=str(error),
                exc_info=None if foreseen else error,
            )

    def _tell_of_the_rest(self) -> None:
        if self._set_aside_count > TOLD_IN_FULL:
            log.error("records_set_aside", run=repr(self._run), records=self._set_aside_count, told=TOLD_IN_FULL)

    def _note_away(self, error: TryAgain) -> float:
        self._away += 1
        pause = OUTSIDE.pause(self._away)
        if not self._run.leaving.is_set():
            self._run.hold_up(str(error), pause)
            log.warning("run_retried", run=repr(self._run), attempt=self._away, pause=round(pause, 3), error=str(error))
        return pause
