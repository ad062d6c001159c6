# pyright: reportPrivateUsage=false
"""What is suspected of killing the process is in work by itself, and holds nobody up for ever."""

import asyncio
from typing import Any, cast

import pytest
from faust.types import TP

from streams.runtime import crash_journal
from streams.runtime.agents import _PartByPart
from streams.runtime.crash_journal import CrashJournal
from streams.runtime.crashes import Part
from streams.runtime.processing import Failure, process_run
from streams.runtime.records import Record, Run
from tests.unit.runtime.machines import ONCE, TOPIC, Books, Machine, die_at, records, run_of


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
