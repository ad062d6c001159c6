"""What the watch logs, and when: once when something stalls, once a minute while it does, once when it moves."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from streams.runtime import watch as module
from streams.runtime.hold_ups import ATTEMPT_SECONDS, HoldUps
from streams.runtime.progress import Oldest, PartitionSample, Sample
from streams.runtime.watch import REPEAT_SECONDS, Watch, line_of

STEP = 5.0
IDLE = Sample("running")
HANGS = Sample("running", (PartitionSample("t", 3, "work", position=10, end=10, answered=0, oldest=Oldest(0, 9, 0)),))
WAITS = Sample(
    "running",
    (PartitionSample("t", 3, "work", position=10, end=10, answered=0, oldest=Oldest(0, 9, 0, held_up="no store")),),
)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    capture = LogCapture()
    monkeypatch.setattr(module, "log", structlog.wrap_logger(None, processors=[capture]))
    return capture.entries  # type: ignore[return-value]


class Watched:
    """A watch that looks every five seconds of a clock of ours."""

    def __init__(self) -> None:
        self.sample = IDLE
        self.clock = 0.0
        self.watch = Watch(lambda: self.sample, lambda _: "app.py:7 in work", now=lambda: self.clock)

    def see(self, sample: Sample, seconds: float) -> None:
        self.sample = sample
        for _ in range(int(seconds / STEP)):
            self.watch.look()
            self.clock += STEP


def names(entries: list[Any]) -> list[str]:
    return [entry["event"] for entry in entries]


def test_a_worker_that_is_well_says_nothing(entries: list[Any]) -> None:
    Watched().see(IDLE, 1_000)
    assert entries == []


def test_being_stuck_is_told_at_once_then_each_minute_and_so_is_its_end(entries: list[Any]) -> None:
    watched = Watched()
    watched.see(HANGS, 65)
    assert entries == [
        {
            "event": "worker_stuck",
            "log_level": "error",
            "why": "agent work has been processing t-3 0..9 for 60 s",
            "where": "app.py:7 in work",
            "seconds": 60,
            "topic": "t",
            "partition": 3,
        }
    ]
    watched.see(HANGS, REPEAT_SECONDS - STEP)
    assert len(entries) == 1
    watched.see(HANGS, STEP)
    assert names(entries) == ["worker_stuck"] * 2
    watched.see(IDLE, 100)
    assert names(entries) == [*["worker_stuck"] * 2, "worker_moves_again"]


def test_waiting_is_a_warning_and_what_becomes_of_it_is_told_without_delay(entries: list[Any]) -> None:
    watched = Watched()
    watched.see(WAITS, 65)
    assert [(entry["event"], entry["log_level"]) for entry in entries] == [("worker_waits", "warning")]
    assert entries[0]["why"] == "agent work waits with t-3 0..9 for 60 s: no store"
    watched.see(HANGS, STEP)
    assert names(entries)[1:] == ["worker_stuck"]


async def test_a_fault_in_looking_is_told_and_does_not_end_it(entries: list[Any]) -> None:
    looked = asyncio.Event()
    faults = [KeyError("gone")]

    def sample() -> Sample:
        if faults:
            raise faults.pop()
        looked.set()
        return IDLE

    watch = Watch(sample, lambda _: None, interval=0.001)
    watch.start()
    await asyncio.wait_for(looked.wait(), 5)
    await watch.stop()
    assert names(entries) == ["look_failed"]


async def test_a_loop_that_does_not_turn_is_told_from_outside_with_the_line_that_blocks(entries: list[Any]) -> None:
    watch = Watch(lambda: IDLE, lambda _: None, patience=0.05, interval=0.01)
    watch.start()
    deadline = time.monotonic() + 5
    while not entries and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: ASYNC251 - the blocking that is noticed
    await watch.stop()
    assert names(entries) == ["worker_stuck"]
    assert entries[0]["why"].startswith("the event loop has not turned for")
    assert entries[0]["where"].startswith("test_watch.py:")


async def test_it_can_be_stopped_and_leaves_no_thread() -> None:
    watch = Watch(lambda: IDLE, lambda _: None, interval=0.001)
    watch.start()
    await watch.stop()
    for thread in threading.enumerate():
        if thread.name == "watch":
            thread.join(5)
    assert "watch" not in {thread.name for thread in threading.enumerate()}
    await watch.stop()


def test_the_line_told_is_our_own_not_that_of_a_library() -> None:
    frame = sys._getframe()  # pyright: ignore[reportPrivateUsage]
    outer = frame.f_back
    assert outer is not None  # pytest's, a library
    here = line_of([outer, frame])
    assert here is not None
    assert here.endswith("in test_the_line_told_is_our_own_not_that_of_a_library")
    assert line_of([outer]) is not None
    assert line_of([]) is None


def test_a_hold_up_holds_until_another_attempt_should_have_ended() -> None:
    clock = [0.0]
    hold_ups = HoldUps(now=lambda: clock[0])
    assert hold_ups.reason("t") is None
    hold_ups.note("t", "the store is away", 30)
    clock[0] = 30 + ATTEMPT_SECONDS - 1
    assert (hold_ups.reason("t"), hold_ups.reason("u")) == ("the store is away", None)
    clock[0] += 1
    assert hold_ups.reason("t") is None
