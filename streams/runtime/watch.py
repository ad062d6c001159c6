# pyright: reportPrivateUsage=false
"""Looks at a worker every few seconds and says in the log when it is stuck, with why, and when it moves again."""

import asyncio
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import structlog

from streams.runtime.metrics import Look
from streams.runtime.progress import PATIENCE_SECONDS, Progress, Sample, Stall, Verdict

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
REPEAT_SECONDS = 60.0
LIBRARIES = (*(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")), "<")


class Watch:
    """Keeps the verdict on a worker up to date while its loop turns, and tells when it does not turn.

    Args:
        sample: returns what the worker is doing.
        where: returns the line of code at which a stall waits, if that can be told.
        patience: how many seconds something that has work may not move.
        interval: seconds between two looks; by default LOOK_SECONDS, more often for a short patience.
        now: a clock in seconds that is never set back.
    """

    def __init__(
        self,
        sample: Callable[[], Sample],
        where: Callable[[Stall], str | None],
        *,
        patience: float = PATIENCE_SECONDS,
        interval: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.verdict = Verdict()
        self._sample = sample
        self._where = where
        self._patience = patience
        self._interval = interval if interval is not None else min(LOOK_SECONDS, patience / 4)
        self._now = now
        self._progress = Progress(patience)
        self._told: str | None = None
        self._told_at = 0.0
        self._looks = 0
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to look; called in the loop that is looked after."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._look_on())
        loop_thread = threading.get_ident()
        threading.Thread(target=self._guard, args=(loop_thread,), name="watch", daemon=True).start()

    async def stop(self) -> None:
        """End it."""
        self._stopping.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def snapshot(self) -> Look:
        """Return what the worker is doing now, and the verdict of the last look."""
        return Look(self._sample(), self.verdict, self._progress.starved, time.time_ns() // 1_000_000)

    def look(self) -> None:
        """Look once."""
        now = self._now()
        self._looks += 1
        self.verdict = self._progress.look(self._sample(), now)
        self._tell(now)

    async def _look_on(self) -> None:
        while True:
            try:
                self.look()
            # A fault in looking must not end the looking, nor the worker, which may be well.
            except Exception:
                log.exception("look_failed")
            await asyncio.sleep(self._interval)  # between two looks

    def _tell(self, now: float) -> None:
        stalls = self.verdict.stuck or self.verdict.stalls
        what = None if not stalls else "worker_stuck" if self.verdict.stuck else "worker_waits"
        if what == self._told and (what is None or now - self._told_at < REPEAT_SECONDS):
            return
        self._told, self._told_at = what, now
        if what is None:
            log.info("worker_moves_again")
            return
        first = stalls[0]
        fields = {"seconds": round(first.seconds), "topic": first.topic, "partition": first.partition}
        tell = log.error if self.verdict.stuck else log.warning
        tell(what, why=self.verdict.why, where=self._where(first), **fields)

    def _guard(self, loop_thread: int) -> None:
        """Tell when the loop does not turn; in a thread of its own, because the loop cannot tell it then.

        What is counted are looks of our own between which there was none in the loop: after a process was stopped for
        a while (SIGSTOP) both go on where they were.
        """
        seen, missed, due = self._looks, 0, self._patience
        while not self._stopping.wait(self._interval):
            missed = missed + 1 if self._looks == seen else 0
            seen = self._looks
            silent = missed * self._interval
            if not missed:
                due = self._patience
            elif silent >= due:
                due = silent + REPEAT_SECONDS
                found = traceback.walk_stack(sys._current_frames().get(loop_thread))
                why = f"the event loop has not turned for {silent:.0f} s: something that runs in it blocks"
                log.error("worker_stuck", why=why, where=line_of([frame for frame, _ in found]), seconds=round(silent))


def line_of(stack: Sequence[FrameType]) -> str | None:
    """Return where a stack stands, innermost frame first, as "file:line in function"; None when it is empty.

    That is the line of a program of somebody's own; where in a library it waits says little.
    """
    own = (frame for frame in stack if not frame.f_code.co_filename.startswith(LIBRARIES))
    frame = next(own, stack[0] if stack else None)
    return (
        None if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"
    )
