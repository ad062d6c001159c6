"""Groups that change: workers that stop for a while, come, go, and wait for a store that hangs."""

import signal
import time
from collections.abc import Mapping, Sequence

from bench.chaos.checker import Loss
from bench.chaos.events import Does
from bench.chaos.scenario import Outcome, Size, exactly_none
from bench.chaos.trial import LOOK_SECONDS, Trial
from bench.report import Figure

FEED = 500  # events that are on their way while workers stop
SLOW_BATCH_SECONDS = 2.0  # longer than a fetch, shorter than what a rebalance waits
# A store hangs for so many times longer than a worker may go without a poll.
HANGS = 2.5
# How it hangs, and with how many workers: a lone one has no standby tables, whose changelogs it would go on to read.
HANGS_OF: Sequence[tuple[Does, int]] = (("pause", 1), ("pause", 2), ("block", 2))
# Little enough that everything a worker may hold is held while the store hangs: then it has no reason to poll.
SMALL_BUFFER_BYTES = 16 * 1024


def stop_a_worker(trial: Trial, size: Size) -> Outcome:
    """SIGSTOP a worker that holds partitions, let another one take over, and SIGCONT the first: a zombie."""
    first, second = trial.start(), trial.start()
    trial.wait_for(lambda: trial.settled(first, second), "two workers share the input")
    for number in range(1, size.times + 1):
        zombie, other = trial.random.sample((first, second), 2)
        trial.load.up_to(size.events * number // size.times)
        trial.wait_for_progress(trial.random.randrange(1, 1_000))
        zombie.signal(signal.SIGSTOP)
        stopped, committed = time.monotonic(), trial.committed()
        trial.note(f"{zombie.name} stopped at {committed}")
        trial.wait_for(lambda other=other: trial.settled(other), f"{other.name} has taken over")
        trial.wait_for(trial.finished, f"{other.name} has done what the zombie left")
        trial.pause(max(0.0, size.seconds - (time.monotonic() - stopped)))
        ahead = trial.committed()
        zombie.signal(signal.SIGCONT)
        trial.wait_for(lambda: trial.settled(first, second), f"{zombie.name} is back in the group")
        trial.losses.append(Loss(f"stop of {zombie.name}", committed, zombie.name, trial.ends("out")))
        after = trial.committed()
        trial.note(f"{zombie.name} went on; the group was at {ahead} and is at {after}")
        if any(after[one] < ahead[one] for one in ahead):
            raise AssertionError(f"{zombie.name} committed over its successor: {ahead} became {after}")
    return Outcome(trial.finish())


def scale(trial: Trial, size: Size) -> Outcome:
    """1 -> 3 -> 1 workers under load, `times` times; each is stopped in order."""
    first = trial.start()
    slowest = 0.0
    for number in range(1, size.times + 1):
        trial.load.up_to(size.events * number // size.times)
        trial.wait_for_progress(1)
        others = [trial.start(), trial.start()]
        trial.wait_for(lambda others=others: trial.settled(first, *others), "three workers share the input")
        trial.note(f"three workers; {trial.state()}")
        trial.load.up_to(trial.load.limit + FEED * 20)
        trial.wait_for_progress(FEED)
        for one in trial.random.sample(others, 2):
            # The second one is asked to stop when it may have just learnt that the first has gone.
            slowest = max(slowest, trial.stop_in_order(one))
            trial.pause(trial.random.uniform(0, 2))
        trial.wait_for(lambda: trial.settled(first), "one worker has everything")
        trial.note(f"one worker; {trial.state()}")
    return Outcome(trial.finish(), [_stop_figure(slowest)])


def keep_rebalancing(trial: Trial, size: Size) -> Outcome:
    """Have a worker come or go every few seconds while two others stay."""
    return _rebalance(trial, size, {})


def rebalance_slowly(trial: Trial, size: Size) -> Outcome:
    """The same with a slow store: each rebalance finds batches in work, and must wait for them."""
    return _rebalance(trial, size, {"CHAOS_BATCH_SECONDS": str(SLOW_BATCH_SECONDS)})


def _rebalance(trial: Trial, size: Size, environment: Mapping[str, str]) -> Outcome:
    stay = trial.start(**environment), trial.start(**environment)
    trial.wait_for(lambda: trial.settled(*stay), "two workers share the input")
    began, rebalances, slowest = time.monotonic(), 0, 0.0
    while rebalances < size.times or time.monotonic() - began < size.seconds:
        passed = min(1.0, (time.monotonic() - began) / size.seconds)
        trial.load.up_to(max(trial.load.produced + FEED, round(size.events * passed)))
        guest = trial.start(**environment)
        trial.wait_for(lambda guest=guest: guest.name in trial.owners(), f"{guest.name} has joined")
        trial.pause(trial.random.uniform(0, 4))
        trial.load.up_to(trial.load.produced + FEED)
        slowest = max(slowest, trial.stop_in_order(guest))
        rebalances += 2
    trial.load.up_to(size.events)
    trial.note(f"{rebalances} rebalances in {time.monotonic() - began:.0f} s; {trial.state()}")
    figures = [Figure(name="rebalances", value=rebalances, unit="", bar=size.times), _stop_figure(slowest)]
    return Outcome(trial.finish(), figures)


def hang(trial: Trial, size: Size) -> Outcome:
    """Have a store hang for longer than a worker may go without a poll: awaited, and blocking the event loop."""
    limit = size.seconds / HANGS
    settings = {
        "CHAOS_MAX_POLL_SECONDS": str(limit),
        "CHAOS_HANGS_SECONDS": str(size.seconds),
        "CHAOS_BUFFER_BYTES": str(SMALL_BUFFER_BYTES),
    }
    changes = 0
    for number, (kind, count) in enumerate(HANGS_OF, start=1):
        while len(trial.alive()) < count:
            trial.start(**settings)
        trial.wait_for(lambda: trial.settled(*trial.alive()), f"{count} workers share the input")
        trial.load.up_to(size.events * number // len(HANGS_OF))
        trial.wait_for_progress(1)
        members = trial.members()
        trial.load.special(kind)
        began = time.monotonic()
        while time.monotonic() - began < size.seconds + limit:
            now = trial.members()
            changes += now != members
            members = now
            time.sleep(LOOK_SECONDS)  # between two looks at the group
        trial.wait_for(trial.finished, "the store answered and everything is processed")
        seconds = time.monotonic() - began
        trial.note(
            f"{count} workers, a store hung for {size.seconds:.0f} s ({kind}); all was done after {seconds:.0f} s"
        )
    return Outcome(trial.finish(), [exactly_none("changes of the group", changes)])


def _stop_figure(seconds: float) -> Figure:
    return Figure(name="slowest stop", value=seconds, unit="s", bar=10, lower_is_better=True)
