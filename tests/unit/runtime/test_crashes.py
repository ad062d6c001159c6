"""Which records are suspected of killing the process: a model, and many lives of a worker."""

import random
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.crashes import (
    DEATHS_ALONE,
    DEATHS_BEFORE_ONE_BY_ONE,
    GROUP_RECORDS,
    CrashedProcess,
    Open,
    Part,
    Suspect,
    after_death,
    after_end,
    plan,
)
from streams.runtime.records import KafkaRecord, Record

ALLOWED = DEATHS_ALONE


def records(first: int, last: int) -> list[Record]:
    return [cast(Record, KafkaRecord("t", 0, offset, 0, None, None)) for offset in range(first, last + 1)]


def shape(parts: Sequence[Part]) -> list[tuple[int, int, bool, int]]:
    return [(one.records[0].offset, one.records[-1].offset, one.alone, one.crashes) for one in parts]


def died(suspects: Sequence[Suspect], *at_work: Open) -> list[Suspect]:
    return after_death(suspects, at_work, allowed=ALLOWED)


def ended(suspects: Sequence[Suspect], first: int, last: int) -> list[Suspect]:
    return after_end(suspects, first, last, allowed=ALLOWED)


# -- decisions


def test_a_range_is_processed_in_groups_after_its_second_death() -> None:
    once = died([], Open(10, 99))
    assert shape(plan(records(0, 119), once, allowed=ALLOWED)) == [(0, 119, False, 0)]
    twice = died(once, Open(12, 110))
    assert GROUP_RECORDS == 32
    groups = [(12, 43, True, 0), (44, 75, True, 0), (76, 99, True, 0)]
    assert shape(plan(records(0, 119), twice, allowed=ALLOWED)) == [(0, 11, False, 0), *groups, (100, 119, False, 0)]


def test_a_group_is_processed_record_by_record_after_its_own_death() -> None:
    suspects = died(died(died([], Open(0, 39)), Open(0, 39)), Open(0, 31, alone=True))
    alone = [(offset, offset, True, 0) for offset in range(32)]
    assert shape(plan(records(0, 39), suspects, allowed=ALLOWED)) == [*alone, (32, 39, True, 0)]


def test_a_record_at_which_the_process_died_alone_three_times_is_set_aside() -> None:
    suspects = died(died([], Open(0, 9)), Open(0, 9))
    for deaths in range(DEATHS_ALONE):
        parts = plan(records(5, 5), suspects, allowed=ALLOWED)
        assert shape(parts) == [(5, 5, True, 0)], deaths
        suspects = died(suspects, Open(5, 5, alone=True))
    assert shape(plan(records(5, 5), suspects, allowed=ALLOWED)) == [(5, 5, True, DEATHS_ALONE)]
    assert str(CrashedProcess(records(5, 5)[0], 3)) == (
        "the process died 3 times in a row while it worked on t-0 offset 5; it is not tried again"
    )


def test_what_came_to_its_end_is_not_suspected_any_more() -> None:
    suspects = died(died([], Open(0, 9)), Open(0, 9))
    assert ended(suspects, 0, 4) == [Suspect(5, 9, 2)]
    assert ended(suspects, 0, 9) == []


def test_what_lay_before_the_records_in_work_had_come_to_its_end() -> None:
    suspects = died(died([], Open(0, 9)), Open(0, 9))
    assert died(suspects, Open(5, 5, alone=True)) == [Suspect(5, 5, 2, 1), Suspect(6, 9, 2)]
    assert died(suspects, Open(0, 1), Open(8, 12)) == [Suspect(0, 1, 3), Suspect(8, 9, 3), Suspect(10, 12, 1)]


def test_a_record_that_was_set_aside_stays_so_until_it_is_committed() -> None:
    aside = [Suspect(5, 5, 2, ALLOWED)]
    assert ended(aside, 0, 9) == aside
    assert died(aside, Open(0, 9)) == [Suspect(0, 4, 1), *aside, Suspect(6, 9, 1)]


# -- the model: for each record, its deaths since it last came to an end


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(st.sampled_from(["died", "died alone", "ended"]), st.integers(0, 15), st.integers(0, 6)), max_size=30
)


@given(steps)
def test_suspects_are_what_a_count_for_each_record_would_be(history: list[Step]) -> None:
    suspects: list[Suspect] = []
    model: dict[int, tuple[int, int]] = {}
    for kind, first, length in history:
        last = first + length
        inside = range(first, last + 1)
        settled = {offset: counts for offset, counts in model.items() if counts[1] >= ALLOWED}
        if kind == "ended":
            suspects = ended(suspects, first, last)
            model = {offset: counts for offset, counts in model.items() if offset not in inside} | settled
        else:
            alone = kind == "died alone"
            suspects = died(suspects, Open(first, last, alone))
            before = dict(model)
            model = {offset: counts for offset, counts in model.items() if offset > last}
            for offset in inside:
                together, by_itself = before.get(offset, (0, 0))
                model[offset] = (together, by_itself + 1) if alone and not length else (together + 1, by_itself)
            model |= settled
        found = {
            offset: (one.deaths, one.deaths_alone) for one in suspects for offset in range(one.first, one.last + 1)
        }
        assert found == model
        assert [one.first for one in suspects] == sorted(one.first for one in suspects)


@given(st.integers(0, 20), st.integers(0, 20), steps)
def test_a_plan_has_every_record_once_in_order(first: int, count: int, history: list[Step]) -> None:
    suspects: list[Suspect] = []
    for _, start, length in history:
        suspects = died(suspects, Open(start, start + length))
    run = records(first, first + count)
    parts = plan(run, suspects, allowed=ALLOWED)
    assert [record for part in parts for record in part.records] == run
    assert all(len(part.records) <= GROUP_RECORDS for part in parts if part.alone)


# -- the lives of workers on one partition, killed by records and at random


class Lives:
    """Workers that follow each other on one partition; each reads on where the last commit was.

    Several runs are in work at a time, as in an agent that hands its runs over, unless `side_by_side` is 1. What is
    suspected comes when nothing else is in work.
    """

    def __init__(self, chance: random.Random, *, killers: set[int], side_by_side: int, total: int = 120) -> None:
        self.chance = chance
        self.killers = killers
        self.side_by_side = side_by_side
        self.total = total
        self.suspects: list[Suspect] = []
        self.committed = 0
        self.deaths = 0
        self.aside: set[int] = set()
        self.streak: dict[int, int] = {}  # deaths of a record alone since it last came to an end: kept independently

    def live(self, random_kills: float) -> bool:
        """Return whether the worker came to the end of the partition; False when it died."""
        position = self.committed
        self.in_work: list[Part] = []
        while position < self.total:
            last = min(position + self.chance.randint(0, 30), self.total - 1)
            parts = plan(records(position, last), self.suspects, allowed=ALLOWED)
            position = last + 1
            for part in parts:
                if part.crashes:
                    self._set_aside(part)
                    continue
                if part.alone and not self._end_all(random_kills):
                    return False
                self.in_work.append(part)
                waited_for = len(parts) > 1 or part.alone or len(self.in_work) >= self.side_by_side
                if waited_for and not self._end_all(random_kills):
                    return False
            if self.chance.random() < 0.5:
                self.committed = self.in_work[0].records[0].offset if self.in_work else position
        return self._end_all(random_kills)

    def _end_all(self, random_kills: float) -> bool:
        """See what is in work to its end, one after the other in any order; False when the worker dies meanwhile."""
        self.chance.shuffle(ending := list(self.in_work))
        for part in ending:
            if self.killers & {record.offset for record in part.records} or self.chance.random() < random_kills:
                self._die()
                return False
            self.in_work.remove(part)
            self.suspects = ended(self.suspects, part.records[0].offset, part.records[-1].offset)
            for record in part.records:
                self.streak.pop(record.offset, None)
        return True

    def _die(self) -> None:
        self.deaths += 1
        at_work = [Open(one.records[0].offset, one.records[-1].offset, one.alone) for one in self.in_work]
        self.suspects = died([one for one in self.suspects if one.last >= self.committed], *at_work)
        for one in at_work:
            if one.alone and one.first == one.last:
                self.streak[one.first] = self.streak.get(one.first, 0) + 1

    def _set_aside(self, part: Part) -> None:
        offset = part.records[0].offset
        assert self.streak[offset] >= ALLOWED
        self.aside.add(offset)


@given(st.integers(0, 10_000), st.sets(st.integers(0, 119), max_size=4), st.integers(1, 3))
def test_records_that_kill_are_set_aside_after_a_bounded_number_of_deaths_and_no_others(
    seed: int, killers: set[int], side_by_side: int
) -> None:
    lives = Lives(random.Random(seed), killers=killers, side_by_side=side_by_side)
    while not lives.live(random_kills=0):
        assert lives.deaths <= (DEATHS_BEFORE_ONE_BY_ONE + DEATHS_ALONE) * len(killers)
    assert lives.aside == killers


@pytest.mark.parametrize("seed", range(5))
def test_random_kills_of_healthy_workers_set_no_record_aside(seed: int) -> None:
    chance = random.Random(seed)
    deaths = 0
    while deaths < 300:
        lives = Lives(chance, killers=set(), side_by_side=chance.randint(1, 3))
        while not lives.live(random_kills=0.05):
            pass
        assert lives.aside == set()
        deaths += lives.deaths


@given(st.integers(0, 10_000), st.floats(0, 0.5), st.sets(st.integers(0, 119), max_size=2))
def test_only_what_was_alone_in_work_at_three_deaths_since_its_last_end_is_ever_set_aside(
    seed: int, random_kills: float, killers: set[int]
) -> None:
    lives = Lives(random.Random(seed), killers=killers, side_by_side=3)
    for _ in range(60):
        if lives.live(random_kills):  # `_set_aside` asserts it
            break
