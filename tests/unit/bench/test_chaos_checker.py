"""The set checker finds nothing wrong with runs that are right, and each fault that is put into one."""

import random
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.chaos.checker import Findings, Loss, Tables, check, repeatable
from bench.chaos.events import Output, Sent, Stored, Told
from bench.chaos.versioned import applied

PARTITIONS = 3
KEYS = 5


class History(NamedTuple):
    """All that is known of a run, to be spoilt by a test."""

    sent: list[Sent]
    outputs: list[Output]
    counts: dict[str, Stored]
    seen: dict[str, Stored]
    set_aside: list[tuple[int, int]]
    losses: list[Loss]

    def checked(self) -> Findings:
        return check(
            self.sent,
            self.outputs,
            Tables(self.counts, self.seen),
            set_aside=self.set_aside,
            losses=self.losses,
            effects=applied(self.outputs),
        )


class Partition:
    """One partition of a worker that does everything right: what it tells, what it commits, what it forgets."""

    def __init__(self, number: int, log: list[Sent]) -> None:
        self.number = number
        self.log = log
        self.counts: dict[str, Stored] = {}
        self.seen: dict[str, Stored] = {}
        self.outputs: list[Output] = []
        self.letters: list[tuple[int, int]] = []
        self.next = self.committed = 0

    def work(self, worker: str, records: int) -> None:
        for one in self.log[self.next : self.next + records]:
            self.next += 1
            if not one.good:
                self.letters.append((self.number, one.offset))
                continue
            sighting = self.seen.setdefault(str(one.event), Stored(1, one.offset))
            if sighting.position < one.offset:
                continue
            count = self.counts.get(one.key, Stored(0, -1))
            if count.position < one.offset:
                count = self.counts[one.key] = Stored(count.value + 1, one.offset)
            told = Told(one.event, one.seq, count.value, one.offset, worker)
            self.outputs.append(Output(one.key, self.number, len(self.outputs), told))


def history(seed: int, *, kills: int = 3) -> History:
    """Return what workers leave that do everything right, and are killed now and then."""
    choose = random.Random(seed)
    logs: list[list[Sent]] = [[] for _ in range(PARTITIONS)]
    places: Counter[str] = Counter()
    known: list[Sent] = []
    for event in range(60):
        key = f"k{choose.randrange(KEYS)}"
        partition = int(key[1:]) % PARTITIONS
        if choose.random() < 0.1:
            logs[partition].append(Sent(event, key, 0, partition, len(logs[partition])))
            continue
        places[key] += 1
        known.append(Sent(event, key, places[key], partition, len(logs[partition])))
        logs[partition].append(known[-1])
        if choose.random() < 0.2:
            again = choose.choice(known)
            logs[again.partition].append(again._replace(offset=len(logs[again.partition])))
    partitions = [Partition(number, log) for number, log in enumerate(logs)]
    losses: list[Loss] = []
    for life in range(kills + 1):
        worker = f"worker-{life}"
        last = life == kills
        for _ in range(100 if last else choose.randrange(12)):
            partition = choose.choice(partitions)
            partition.work(worker, choose.randrange(1, 5))
            if choose.random() < 0.3:
                partition.committed = partition.next
        if last:
            for partition in partitions:
                partition.work(worker, len(partition.log))
        else:
            losses.append(Loss(f"kill of {worker}", {one.number: one.committed for one in partitions}, worker))
            for partition in partitions:
                partition.next = partition.committed
    sent = [one for log in logs for one in log]
    choose.shuffle(sent)  # acknowledgements come in any order
    return History(
        sent,
        [output for one in partitions for output in one.outputs],
        {key: value for one in partitions for key, value in one.counts.items()},
        {key: value for one in partitions for key, value in one.seen.items()},
        [letter for one in partitions for letter in one.letters],
        losses,
    )


SEEDS = st.integers(0, 10_000)


@given(SEEDS, st.integers(0, 6))
def test_nothing_is_found_in_a_run_that_is_right(seed: int, kills: int) -> None:
    findings = history(seed, kills=kills).checked()
    assert findings.clean, findings
    assert findings.duplicates <= findings.bound


# -- faults; each takes a history and spoils it, and is found as what its name says


def _all_outputs_of(run: History, event: int) -> list[int]:
    return [index for index, output in enumerate(run.outputs) if output.told.event == event]


def _lose_an_event(run: History, choose: random.Random) -> None:
    event = choose.choice(run.outputs).told.event
    for index in reversed(_all_outputs_of(run, event)):
        del run.outputs[index]


def _lose_a_dead_letter(run: History, choose: random.Random) -> None:
    assume(run.set_aside)  # a history without a bad record has none to lose
    lost = choose.choice(run.set_aside)
    while lost in run.set_aside:
        run.set_aside.remove(lost)


def _set_aside_a_good_event(run: History, choose: random.Random) -> None:
    good = choose.choice([one for one in run.sent if one.good])
    run.set_aside.append((good.partition, good.offset))


def _tell_of_what_was_not_sent(run: History, choose: random.Random) -> None:
    output = choose.choice(run.outputs)
    run.outputs.append(output._replace(told=Told(10**6, 10**6, 10**6, 10**6, "worker-0")))


def _tell_of_a_repeat(run: History, choose: random.Random) -> None:
    """Take an event that was sent twice for a new one."""
    output = choose.choice(run.outputs)
    told = output.told
    run.outputs.append(output._replace(told=Told(told.event, told.seq, told.count, told.offset + 1, told.worker)))


def _tell_in_the_wrong_partition(run: History, choose: random.Random) -> None:
    index = choose.randrange(len(run.outputs))
    output = run.outputs[index]
    run.outputs[index] = output._replace(partition=(output.partition + 1) % PARTITIONS)


def _count_twice(run: History, choose: random.Random) -> None:
    key = choose.choice(sorted(run.counts))
    run.counts[key] = Stored(run.counts[key].value + 1, run.counts[key].position)


def _forget_a_key(run: History, choose: random.Random) -> None:
    del run.counts[choose.choice(sorted(run.counts))]


def _forget_an_event(run: History, choose: random.Random) -> None:
    del run.seen[choose.choice(sorted(run.seen))]


def _keep_an_older_position(run: History, choose: random.Random) -> None:
    key = choose.choice(sorted(run.counts))
    run.counts[key] = Stored(run.counts[key].value, run.counts[key].position - 1)


def _keep_a_key_that_nobody_sent(run: History, choose: random.Random) -> None:
    run.counts["nobody"] = Stored(1, 1)


def _tell_a_lower_count(run: History, choose: random.Random) -> None:
    index = choose.randrange(len(run.outputs))
    told = run.outputs[index].told
    wrong = Told(told.event, told.seq, told.seq - 1, told.offset, told.worker)
    run.outputs[index] = run.outputs[index]._replace(told=wrong)


def _tell_a_higher_count_first(run: History, choose: random.Random) -> None:
    index = _all_outputs_of(run, choose.choice(run.outputs).told.event)[0]
    told = run.outputs[index].told
    wrong = Told(told.event, told.seq, told.count + 1, told.offset, told.worker)
    run.outputs[index] = run.outputs[index]._replace(told=wrong)


def _tell_out_of_order(run: History, choose: random.Random) -> None:
    """Exchange two events of a key that were told of for the first time."""
    key = choose.choice([one for one, count in run.counts.items() if count.value > 1])
    first: dict[int, int] = {}
    for index, output in enumerate(run.outputs):
        if output.key == key:
            first.setdefault(output.told.event, index)
    later, earlier = sorted(choose.sample(sorted(first.values()), 2), reverse=True)
    run.outputs.insert(earlier, run.outputs.pop(later))


def _tell_twice(run: History, choose: random.Random) -> None:
    """Repeat an event once more than its losses allow."""
    event = choose.choice(run.outputs).told.event
    repeats = 1 + sum(event in repeatable(run.outputs, loss) for loss in run.losses)
    last = run.outputs[_all_outputs_of(run, event)[-1]]
    told = last.told
    again = Told(told.event, told.seq, told.count, told.offset, "worker-99")
    run.outputs.extend([last._replace(told=again)] * (repeats + 1 - len(_all_outputs_of(run, event))))


def _begin_again_before_what_is_committed(run: History, choose: random.Random) -> None:
    """Take it that all had been committed: no repeat is allowed any more."""
    every = dict.fromkeys(range(PARTITIONS), 10**6)
    run.losses[:] = [Loss(loss.what, every, loss.worker) for loss in run.losses]
    run.outputs.append(run.outputs[-1])


Fault = Callable[[History, random.Random], None]
FAULTS: list[tuple[Fault, str]] = [
    (_lose_an_event, "missing"),
    (_lose_an_event, "effects"),
    (_lose_a_dead_letter, "missing"),
    (_set_aside_a_good_event, "invented"),
    (_tell_of_what_was_not_sent, "invented"),
    (_tell_of_a_repeat, "invented"),
    (_tell_in_the_wrong_partition, "invented"),
    (_count_twice, "differences"),
    (_forget_a_key, "differences"),
    (_forget_an_event, "differences"),
    (_keep_an_older_position, "differences"),
    (_keep_a_key_that_nobody_sent, "differences"),
    (_tell_a_lower_count, "differences"),
    (_tell_a_higher_count_first, "differences"),
    (_tell_out_of_order, "disorder"),
    (_tell_out_of_order, "effects"),
    (_tell_twice, "unexplained"),
    (_begin_again_before_what_is_committed, "unexplained"),
]


@pytest.mark.parametrize(("fault", "found_as"), FAULTS)
@given(seed=SEEDS)
def test_each_fault_is_found(fault: Fault, found_as: str, seed: int) -> None:
    run = history(seed)
    fault(run, random.Random(seed))
    findings = run.checked()
    assert getattr(findings, found_as), findings
    assert not findings.clean


# -- what at-least-once allows


def _output(event: int, offset: int, worker: str, at: int) -> Output:
    return Output("k", 0, at, Told(event, event, event, offset, worker))


OUTPUTS = [_output(one, one, "a", one) for one in range(10)] + [
    _output(one, one, "b", 10 + one) for one in range(5, 20)
]


def test_what_a_worker_told_of_and_did_not_commit_may_come_again() -> None:
    assert repeatable(OUTPUTS, Loss("kill", {0: 7}, "a")) == {7, 8, 9}


def test_what_others_told_of_is_no_reason_for_repeats() -> None:
    assert repeatable(OUTPUTS, Loss("kill", {0: 0}, "c")) == set()


def test_what_was_told_of_after_the_loss_was_over_may_not_come_again() -> None:
    assert repeatable(OUTPUTS, Loss("brokers away", {0: 3}, until={0: 6})) == {3, 4, 5}


def test_an_event_may_come_again_once_for_each_loss() -> None:
    sent = [Sent(1, "k", 1, 0, 0)]
    told = [Output("k", 0, at, Told(1, 1, 1, 0, f"worker-{at}")) for at in range(3)]
    tables = Tables({"k": Stored(1, 0)}, {"1": Stored(1, 0)})
    losses = [Loss(f"kill {life}", {0: 0}, f"worker-{life}") for life in range(2)]
    two = check(sent, told, tables, losses=losses, effects=applied(told))
    assert (two.clean, two.duplicates, two.bound) == (True, 2, 2)
    one = check(sent, told, tables, losses=losses[:1], effects=applied(told))
    assert (one.clean, one.unexplained) == (False, ["event 1: 1 more than allowed"])


def test_a_versioned_sink_applies_what_is_newer_and_nothing_else() -> None:
    order = [1, 2, 3, 2, 3, 4, 1]
    outputs = [_output(one, one, "a", at) for at, one in enumerate(order)]
    assert applied(outputs) == Counter({1: 1, 2: 1, 3: 1, 4: 1})
