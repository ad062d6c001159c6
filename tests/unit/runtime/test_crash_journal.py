# pyright: reportPrivateUsage=false
"""The journal of what is in work: what it finds after deaths, whose death it is, and what it costs."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from streams.runtime import crash_journal
from streams.runtime.agents import _PartByPart
from streams.runtime.crash_journal import CrashJournal
from streams.runtime.crashes import Part
from streams.runtime.offsets import PartitionOffsets
from streams.runtime.processing import Failure, process_run
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


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for journal in made.alive:
        journal.close()


async def die_at(machine: Machine, number: int, first: int, last: int) -> None:
    """Have a worker die with a run in work, in the part that it would have come to."""
    journal = machine.start(number)
    await journal.begin(TOPIC, journal.plan(run_of(first, last))[0])
    machine.kill(journal)


# -- what is found after a death


async def test_a_range_that_was_in_work_at_two_deaths_comes_alone_and_after_a_third_record_by_record(
    machine: Machine,
) -> None:
    for _ in range(2):
        await die_at(machine, 1, 10, 19)
    journal = machine.start()
    assert shape(journal.plan(run_of(10, 12))) == [(10, 12, True)]
    machine.kill(journal)
    await die_at(machine, 1, 10, 19)
    parts = machine.start().plan(run_of(10, 12))
    assert shape(parts) == [(10, 10, True), (11, 11, True), (12, 12, True)]


async def test_a_record_that_goes_on_killing_is_set_aside_after_as_many_deaths_as_are_allowed(
    machine: Machine,
) -> None:
    for _ in range(6):
        await die_at(machine, 1, 10, 19)
    parts = machine.start().plan(run_of(10, 19))
    assert [part.crashes for part in parts] == [3] + [0] * 9


async def test_a_record_that_kills_one_worker_after_the_other_on_a_machine_is_counted_on(machine: Machine) -> None:
    for death in range(5):
        await die_at(machine, death % 2 + 1, 10, 10)
    parts = machine.start(3).plan(run_of(10, 10))
    assert [part.crashes for part in parts] == [3]


async def test_a_living_worker_learns_of_a_death_when_it_gets_the_partition(machine: Machine) -> None:
    survivor = machine.start(2)
    assert shape(survivor.plan(run_of(0, 1))) == [(0, 1, False)]
    for _ in range(2):
        await die_at(machine, 1, 10, 10)
    survivor.let_go()  # the rebalance that gives it the partition
    assert shape(survivor.plan(run_of(10, 10))) == [(10, 10, True)]


async def test_each_death_is_counted_once_whoever_finds_it_and_how_often(machine: Machine) -> None:
    await die_at(machine, 1, 10, 10)
    for number in (2, 3, 4):
        one = machine.start(number)
        one.let_go()
        assert shape(one.plan(run_of(10, 10))) == [(10, 10, False)]


async def test_what_a_living_worker_has_in_work_is_no_death(machine: Machine) -> None:
    busy = machine.start(1)
    await busy.begin(TOPIC, Part(records(10, 10)))
    for _ in range(3):
        await die_at(machine, 2, 50, 50)
    other = machine.start(3)
    assert shape(other.plan(run_of(10, 10))) == [(10, 10, False)]


async def test_a_range_that_came_to_its_end_in_between_is_not_suspected(machine: Machine) -> None:
    for _ in range(4):
        await die_at(machine, 1, 10, 19)
        journal = machine.start(1)
        for part in journal.plan(run_of(10, 19)):
            journal.end(await journal.begin(TOPIC, part))
            journal.survived(TOPIC, part)
        machine.kill(journal)
    assert shape(machine.start().plan(run_of(10, 19))) == [(10, 19, False)]


@pytest.mark.parametrize("end", ["end", "let_go", "close"])
async def test_what_ended_was_given_away_or_was_in_work_at_a_stop_is_nobodys_death(machine: Machine, end: str) -> None:
    for _ in range(5):
        journal = machine.start()
        slot = await journal.begin(TOPIC, Part(records(10, 10)))
        if end == "end":
            journal.end(slot)
        elif end == "let_go":
            journal.let_go()
        else:
            journal.close()
            machine.alive.remove(journal)
            continue
        machine.kill(journal)
    assert shape(machine.start().plan(run_of(10, 10))) == [(10, 10, False)]


async def test_work_that_ends_after_its_partition_was_given_away_does_not_end_that_of_the_next_assignment(
    machine: Machine,
) -> None:
    for _ in range(2):
        journal = machine.start()
        old = await journal.begin(TOPIC, Part(records(0, 0)))
        journal.let_go()
        await journal.begin(TOPIC, Part(records(10, 10)))
        journal.end(old)
        machine.kill(journal)
    assert shape(machine.start().plan(run_of(10, 10))) == [(10, 10, True)]


async def test_several_runs_of_a_partition_are_noted_side_by_side(machine: Machine) -> None:
    for _ in range(2):
        journal = machine.start()
        slots = [await journal.begin(TOPIC, Part(records(at, at + 1))) for at in (0, 10, 20)]
        journal.end(slots[1])
        machine.kill(journal)
    journal = machine.start()
    assert shape(journal.plan(run_of(0, 1))) == [(0, 1, True)]
    assert shape(journal.plan(run_of(10, 11))) == [(10, 11, False)]
    assert shape(journal.plan(run_of(20, 20))) == [(20, 20, True)]


async def test_what_lies_before_the_committed_offset_is_forgotten(machine: Machine) -> None:
    for _ in range(2):
        await die_at(machine, 1, 10, 19)
    machine.start().plan(run_of(20, 20))
    assert '"suspects":{"orders":{}}' in (machine.parent / "shop.crashes.json").read_text()


async def test_another_group_on_the_same_folders_has_its_own_suspects(machine: Machine) -> None:
    for _ in range(2):
        await die_at(machine, 1, 10, 10)
    assert shape(machine.start(1, group="other/group").plan(run_of(10, 10))) == [(10, 10, False)]


def test_a_process_that_kills_itself_is_found(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, signal, sys; from pathlib import Path; from faust.types import TP;"
        "from streams.runtime.crash_journal import CrashJournal; from streams.runtime.crashes import Part;"
        "from streams.runtime.records import KafkaRecord; Path(sys.argv[1]).mkdir(exist_ok=True);"
        "journal = CrashJournal(Path(sys.argv[1]), 'shop'); journal.open();"
        "asyncio.run(journal.begin(TP('orders', 3), Part([KafkaRecord('orders', 3, 7, 0, None, None)])));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "1")], check=False)
        assert ended.returncode == -9
    (tmp_path / "2").mkdir()
    journal = CrashJournal(tmp_path / "2", "shop")
    journal.open()
    assert shape(journal.plan(run_of(7, 7))) == [(7, 7, True)]
    journal.close()


# -- a suspected record is alone


async def suspecting(machine: Machine, *partitions: TP) -> CrashJournal:
    for _ in range(2):
        journal = machine.start()
        for tp in partitions:
            await journal.begin(tp, Part(records(0, 0, tp)))
        machine.kill(journal)
    return machine.start()


async def test_a_suspected_record_waits_for_what_is_in_work_and_what_comes_next_waits_for_it(
    machine: Machine,
) -> None:
    journal, other = await suspecting(machine, TOPIC), TP("others", 0)
    busy = await journal.begin(other, Part(records(5, 9, other)))
    suspected = asyncio.create_task(journal.begin(TOPIC, journal.plan(run_of(0, 0))[0]))
    late = asyncio.create_task(journal.begin(other, Part(records(10, 19, other))))
    await asyncio.sleep(0)  # lets both tasks come to where they wait
    await asyncio.sleep(0)  # ... for each other
    assert not suspected.done()
    journal.end(busy)
    alone = await asyncio.wait_for(suspected, 5)
    assert not late.done()
    journal.end(alone)
    await asyncio.wait_for(late, 5)


async def test_two_suspected_records_are_never_in_work_together(machine: Machine) -> None:
    others = [TP("orders", number) for number in range(6)]
    journal = await suspecting(machine, *others)
    at_work: set[TP] = set()

    class Watched:
        async def process(self, given: list[Record]) -> None:
            tp = TP(given[0].topic, given[0].partition)
            assert not at_work
            at_work.add(tp)
            await asyncio.sleep(0)  # gives the others a chance to be wrong
            at_work.remove(tp)

        async def set_aside(self, record: Record, failure: Failure) -> None:
            raise failure.error

        async def settle(self) -> None:
            pass

    books = [Books() for _ in others]
    runs = [run_of(0, 0, tp, one) for tp, one in zip(others, books, strict=True)]
    work = [process_run(run, cast(Any, Watched()), retry=ONCE, crashes=journal) for run in runs]
    await asyncio.wait_for(asyncio.gather(*work), 5)
    assert [one.finished for one in books] == [1] * 6


async def test_a_suspected_record_that_takes_long_gives_way_and_a_death_is_then_not_its_own(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_journal, "LONGEST_TURN_SECONDS", 0.01)
    other = TP("others", 0)
    for _ in range(2):
        await die_at(machine, 1, 0, 0)
    for _ in range(4):
        journal = machine.start()
        part = journal.plan(run_of(0, 0))[0]
        await journal.begin(TOPIC, part)
        await asyncio.wait_for(journal.begin(other, Part(records(0, 9, other))), 5)
        machine.kill(journal)
    [part] = machine.start().plan(run_of(0, 0))
    assert (part.alone, part.crashes) == (True, 0)


async def test_work_that_does_not_end_is_not_waited_for_again_and_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crash_journal, "LONGEST_TURN_SECONDS", 0.05)
    journal, hanging = await suspecting(machine, TOPIC), TP("hanging", 0)
    await journal.begin(hanging, Part(records(0, 9, hanging)))
    part = journal.plan(run_of(0, 0))[0]
    journal.end(await asyncio.wait_for(journal.begin(TOPIC, part), 5))
    monkeypatch.setattr(crash_journal, "LONGEST_TURN_SECONDS", 3_600)
    journal.end(await asyncio.wait_for(journal.begin(TOPIC, part), 5))


async def test_a_run_that_waits_for_its_turn_is_left_when_the_worker_stops(machine: Machine) -> None:
    other = TP("orders", 4)
    journal = await suspecting(machine, TOPIC, other)
    holder = await journal.begin(TOPIC, journal.plan(run_of(0, 0))[0])
    books = Books()
    work = _PartByPart(run_of(0, 0, other, books), lambda _: None, never, lambda: None)
    waiting = asyncio.create_task(process_run(run_of(0, 0, other, books), work, retry=ONCE, crashes=journal))
    await asyncio.sleep(0)  # lets it come to where it waits
    books.leave_event.set()
    journal.end(holder)
    await asyncio.wait_for(waiting, 5)
    assert books.finished == 0


async def test_whoever_is_cancelled_while_it_waits_or_finds_the_journal_closed_holds_nobody_up(
    machine: Machine,
) -> None:
    journal, other = await suspecting(machine, TOPIC), TP("others", 0)
    await journal.begin(other, Part(records(0, 9, other)))
    part = journal.plan(run_of(0, 0))[0]
    waiting = asyncio.create_task(journal.begin(TOPIC, part))
    await asyncio.sleep(0)  # lets it begin to wait
    waiting.cancel()
    await asyncio.wait([waiting])
    await asyncio.wait_for(journal.begin(other, Part(records(10, 19, other))), 5)
    journal.close()
    assert await asyncio.wait_for(journal.begin(TOPIC, part), 5) is None
    assert await asyncio.wait_for(journal.begin(TOPIC, part), 5) is None


async def never(record: Record, error: Exception) -> None:
    raise AssertionError("nothing is to be set aside") from error


# -- runs that are handed over


async def test_suspected_records_of_a_run_that_is_handed_over_are_handed_over_in_their_parts(machine: Machine) -> None:
    for _ in range(3):
        await die_at(machine, 1, 0, 2)
    journal, books, hurried = machine.start(), Books(), list[bool]()
    accepted: asyncio.Queue[Run] = asyncio.Queue()
    run = run_of(0, 5, TOPIC, books)
    work = _PartByPart(run, accepted.put_nowait, never, lambda: hurried.append(True))
    seeing = asyncio.create_task(process_run(run, work, retry=ONCE, crashes=journal))
    for expected in ([0], [1], [2], [3, 4, 5]):
        part = await asyncio.wait_for(accepted.get(), 5)
        assert [record.offset for record in part.records] == expected
        assert accepted.empty()
        assert books.finished == 0
        part.finish()
    await asyncio.wait_for(seeing, 5)
    assert books.finished == 1
    assert len(hurried) == 4


async def test_a_handed_over_part_is_given_up_when_the_worker_stops(machine: Machine) -> None:
    for _ in range(2):
        await die_at(machine, 1, 0, 2)
    books = Books()
    run = run_of(0, 2, TOPIC, books)
    accepted: asyncio.Queue[Run] = asyncio.Queue()
    work = _PartByPart(run, accepted.put_nowait, never, lambda: None)
    seeing = asyncio.create_task(process_run(run, work, retry=ONCE, crashes=machine.start()))
    await asyncio.wait_for(accepted.get(), 5)
    books.leave_event.set()
    await asyncio.wait_for(seeing, 5)
    assert books.finished == 0


# -- when it cannot be written


async def test_a_journal_that_cannot_be_written_says_so_and_costs_no_processing(machine: Machine) -> None:
    journal = machine.start()
    assert journal._slots is not None
    os.close(journal._slots._file)
    with capture_logs() as logs:
        assert await journal.begin(TOPIC, Part(records(0, 0))) is None
        assert await journal.begin(TOPIC, Part(records(1, 1))) is None
    assert [one["event"] for one in logs] == ["crash_journal_failed"]
    assert shape(journal.plan(run_of(0, 0))) == [(0, 0, False)]


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 64, b'{"counted":3}'])
async def test_a_ledger_that_the_machine_lost_is_begun_anew(machine: Machine, content: bytes) -> None:
    await die_at(machine, 1, 0, 0)
    (machine.parent / "shop.crashes.json").write_bytes(content)
    (machine.parent / "1" / "shop.in-work").write_bytes(content)
    assert shape(machine.start().plan(run_of(0, 0))) == [(0, 0, False)]
    for _ in range(2):
        machine.kill(machine.alive[-1])
        await die_at(machine, 1, 0, 0)
        machine.start()
    assert shape(machine.alive[-1].plan(run_of(0, 0))) == [(0, 0, True)]


def test_a_number_of_deaths_that_sets_everything_aside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="set_aside_after_crashes is 0"):
        CrashJournal(tmp_path, "shop", allowed=0)
