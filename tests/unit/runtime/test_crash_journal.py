# pyright: reportPrivateUsage=false
"""The journal of what is in work: what it finds after deaths, and whose death it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streams.runtime.crash_journal import CrashJournal
from streams.runtime.crashes import Part
from tests.unit.runtime.machines import TOPIC, Machine, die_at, records, run_of, shape


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
