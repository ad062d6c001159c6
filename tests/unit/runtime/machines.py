# pyright: reportPrivateUsage=false
"""Workers of one group on one machine, which die with runs in work."""

import asyncio
import os
from pathlib import Path
from typing import cast

from faust.types import TP

from streams.runtime.crash_journal import CrashJournal
from streams.runtime.crashes import Part
from streams.runtime.offsets import PartitionOffsets
from streams.runtime.records import KafkaRecord, Record, Run
from streams.runtime.retry import RetryPolicy

TOPIC = TP("orders", 3)
ONCE = RetryPolicy(attempts=1)


class Books:
    """The books of a run that stays ours until `leaving` is set."""

    def __init__(self) -> None:
        self.leave_event = asyncio.Event()
        self.finished = 0
        self.reached: list[int] = []

    def is_stale(self, run: Run) -> bool:
        return False

    def begin(self, run: Run) -> bool:
        return True

    def finish(self, run: Run) -> None:
        self.finished += 1

    def reach(self, run: Run, offset: int) -> None:
        self.reached.append(offset)

    def hold_up(self, run: Run, reason: str, seconds: float) -> None:
        pass

    def leaving(self, run: Run) -> asyncio.Event:
        return self.leave_event

    def leave(self, run: Run) -> None:
        pass


def records(first: int, last: int, tp: TP = TOPIC) -> list[Record]:
    return [cast(Record, KafkaRecord(tp.topic, tp.partition, at, 0, b"k", b"v")) for at in range(first, last + 1)]


def run_of(first: int, last: int, tp: TP = TOPIC, books: Books | None = None) -> Run:
    return Run(tp, records(first, last, tp), PartitionOffsets(), books or Books())


def shape(parts: list[Part]) -> list[tuple[int, int, bool]]:
    return [(part.records[0].offset, part.records[-1].offset, part.alone) for part in parts]


class Machine:
    """Workers of one group on one machine."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent
        self.alive: list[CrashJournal] = []

    def start(self, number: int = 1, group: str = "shop", allowed: int = 3) -> CrashJournal:
        folder = self.parent / str(number)
        folder.mkdir(exist_ok=True)
        journal = CrashJournal(folder, group, allowed=allowed)
        journal.open()
        self.alive.append(journal)
        return journal

    def kill(self, journal: CrashJournal) -> None:
        """Have a worker end as the kernel ends it: its files are closed, and nothing is written."""
        assert journal._slots is not None
        os.close(journal._slots._file)
        journal._slots = None
        self.alive.remove(journal)


async def die_at(machine: Machine, number: int, first: int, last: int) -> None:
    """Have a worker die with a run in work, in the part that it would have come to."""
    journal = machine.start(number)
    await journal.begin(TOPIC, journal.plan(run_of(first, last))[0])
    machine.kill(journal)
