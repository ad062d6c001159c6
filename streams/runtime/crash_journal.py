"""Notes what is in work, and learns from the deaths of workers which records kill; see `streams.runtime.crashes`.

All workers of a consumer group on a machine whose state folders have one parent learn from each other's deaths:
a record that kills one and then its successor is counted on. Workers of other machines count for themselves.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec
import structlog
from faust.types import TP
from msgspec import Struct

from streams.runtime.crashes import DEATHS_ALONE, Part, Suspect, after_death, after_end, plan
from streams.runtime.records import Run
from streams.runtime.slots import Slot, Slots, remains

log = structlog.get_logger(__name__)

# How long a suspected record waits for what is in work, and others for it. Beyond that they go on side by side.
LONGEST_TURN_SECONDS = 10.0


class _Ledger(Struct):
    """What all workers of a machine know."""

    counted: dict[str, str] = {}  # file of a worker -> the session whose death was counted last
    suspects: dict[str, dict[int, list[Suspect]]] = {}  # topic -> partition -> suspects

    def of(self, tp: TP) -> list[Suspect]:
        return self.suspects.get(tp.topic, {}).get(tp.partition, [])

    def put(self, tp: TP, suspects: list[Suspect]) -> None:
        partitions = self.suspects.setdefault(tp.topic, {})
        partitions[tp.partition] = suspects
        if not suspects:
            del partitions[tp.partition]


class CrashJournal:
    """The journal of one worker. While it is not open, nothing is noted and nobody is suspected.

    A journal that cannot be written costs this protection, not the processing: it says so once, and goes out of use.

    Args:
        folder: the worker's state folder.
        group: the consumer group.
        allowed: at how many deaths in a row a record that was in work alone is set aside.
    """

    def __init__(self, folder: Path, group: str, *, allowed: int = DEATHS_ALONE) -> None:
        if allowed < 1:
            raise ValueError(f"set_aside_after_crashes is {allowed}; it is 1 or more")
        name = quote(group, safe="")
        self._turn = asyncio.Lock()  # held while a suspected record is in work, so that its death is its own
        self._holder: Slot | None = None
        self._turn_ends: asyncio.TimerHandle | None = None
        self._slow: set[int] = set()  # slots that are not waited for any more
        self._idle = asyncio.Event()
        self._allowed = allowed
        self._path = folder / f"{name}.in-work"
        self._ledger_path = folder.parent / f"{name}.crashes.json"
        self._slots: Slots | None = None
        self._suspects: dict[TP, list[Suspect]] = {}
        self._met: set[TP] = set()

    def open(self) -> None:
        """Count the deaths of those before us and begin to note."""
        with self._guarded():
            self._count_deaths()
            self._slots = Slots(self._path)

    def close(self) -> None:
        """End it: from here on a death is nobody's fault."""
        slots, self._slots = self._slots, None
        self._end_turn()
        if slots is not None:
            with self._guarded():
                slots.close()

    def let_go(self) -> None:
        """Take it that nothing is in work any more: partitions change hands, and what is delivered next is new."""
        self._met.clear()
        self._slow.clear()
        self._end_turn()
        self._idle.set()
        if self._slots is not None:
            with self._guarded():
                self._slots.clear()

    def plan(self, run: Run) -> list[Part]:
        """Return in which parts a run is to be processed."""
        if run.tp not in self._met:
            self._meet(run.tp, run.records[0].offset)
        suspects = self._suspects.get(run.tp)
        if not suspects:
            return [Part(run.records)]
        return plan(run.records, suspects, allowed=self._allowed)

    async def begin(self, tp: TP, part: Part) -> Slot | None:
        """Note that records are in work, when nothing suspected is; what is suspected waits until nothing else is."""
        if not part.alone:
            if self._turn.locked():
                async with self._turn:
                    pass  # it is free for a moment: time to begin
            return self._note(tp, part)
        await self._turn.acquire()
        slot = None
        try:
            await self._until_idle()
            slot = self._note(tp, part)
        finally:
            if slot is None:
                self._turn.release()
        if slot is not None:
            self._holder = slot
            self._turn_ends = asyncio.get_running_loop().call_later(LONGEST_TURN_SECONDS, self._give_way, slot)
        return slot

    def _note(self, tp: TP, part: Part) -> Slot | None:
        if self._slots is None:
            return None
        try:
            return self._slots.begin(tp, part.records[0].offset, part.records[-1].offset, alone=part.alone)
        except OSError as error:
            self._failed(error)
            return None

    def end(self, slot: Slot | None) -> None:
        """Note that they are not in work any more, whatever came of it."""
        if slot is None:
            return
        if slot == self._holder:
            self._end_turn()
        if self._slots is None:
            return
        self._slow.discard(slot.number)
        try:
            self._slots.end(slot)
        except OSError as error:
            self._failed(error)
        if self._turn.locked() and self._slow.issuperset(self._slots.open):
            self._idle.set()

    async def _until_idle(self) -> None:
        """Wait until what was in work has ended, but for what takes too long: that may wait for a store for hours."""
        if self._slots is None or self._slow.issuperset(self._slots.open):
            return
        self._idle.clear()
        try:
            await asyncio.wait_for(self._idle.wait(), LONGEST_TURN_SECONDS)
        except TimeoutError:
            self._slow.update(self._slots.open)

    def _give_way(self, slot: Slot) -> None:
        """Let others begin beside a suspected record that takes long; if the process dies now it is not its death."""
        if self._slots is not None:
            with self._guarded():
                self._slots.not_alone(slot)
        self._slow.add(slot.number)
        self._end_turn()

    def _end_turn(self) -> None:
        if self._holder is not None and self._turn_ends is not None:
            self._turn_ends.cancel()
            self._holder = self._turn_ends = None
            self._turn.release()

    def survived(self, tp: TP, part: Part) -> None:
        """Note that records came to their end; they are not suspected any more."""
        if tp in self._suspects:
            first, last = part.records[0].offset, part.records[-1].offset
            self._change(tp, lambda suspects: after_end(suspects, first, last, allowed=self._allowed))

    def _meet(self, tp: TP, first: int) -> None:
        """Learn about a partition that we begin to read: what lies before is committed."""
        if self._slots is None:
            return
        if not self._met:
            with self._guarded():
                self._count_deaths()
        self._met.add(tp)
        if any(one.last < first for one in self._suspects.get(tp, ())):
            self._change(tp, lambda suspects: [one for one in suspects if one.last >= first])
        if suspects := self._suspects.get(tp):
            log.warning("records_suspected", topic=tp.topic, partition=tp.partition, ranges=len(suspects))

    def _count_deaths(self) -> None:
        """Count what dead workers had in work, each death once, whoever of us finds it first."""
        with self._ledger() as ledger:
            for path in sorted(self._ledger_path.parent.glob(f"*/{self._path.name}")):
                found = None if path == self._path and self._slots is not None else remains(path)
                if found is None or ledger.counted.get(path.parent.name) == found.session:
                    continue
                ledger.counted[path.parent.name] = found.session
                for tp, at_work in found.at_work.items():
                    ledger.put(tp, after_death(ledger.of(tp), at_work, allowed=self._allowed))
                    ranges = [(one.first, one.last) for one in at_work]
                    log.warning(
                        "died_at_work", worker=path.parent.name, topic=tp.topic, partition=tp.partition, at=ranges
                    )

    def _change(self, tp: TP, change: Callable[[Sequence[Suspect]], list[Suspect]]) -> None:
        with self._guarded(), self._ledger() as ledger:
            ledger.put(tp, change(ledger.of(tp)))

    @contextmanager
    def _ledger(self) -> Generator[_Ledger]:
        """Give out what all workers know, to be changed; nobody else changes it meanwhile."""
        lock = os.open(self._ledger_path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._ledger_path.read_bytes() if self._ledger_path.exists() else b"{}"
            ledger = _read(before)
            yield ledger
            after = msgspec.json.encode(ledger)
            if after != before:
                # Replaced in one step: whoever is killed here leaves the old one or the new one.
                written = self._ledger_path.with_suffix(".new")
                written.write_bytes(after)
                written.replace(self._ledger_path)
        finally:
            os.close(lock)
        self._suspects = {
            TP(topic, number): suspects for topic, one in ledger.suspects.items() for number, suspects in one.items()
        }

    @contextmanager
    def _guarded(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        log.error("crash_journal_failed", path=str(self._path), error=str(error))
        self._slots = None
        self._suspects = {}
        self._end_turn()


def _read(content: bytes) -> _Ledger:
    try:
        return msgspec.json.decode(content, type=_Ledger)
    except msgspec.MsgspecError as error:
        # It is never synced; after a crash of the machine it may be anything. What it knew is learnt again.
        log.warning("crash_ledger_unreadable", error=str(error))
        return _Ledger()
