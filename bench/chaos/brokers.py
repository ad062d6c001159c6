"""Brokers that are restarted, or away for a while, with a queue of records that fills up meanwhile."""

import time

from bench.chaos.checker import Loss
from bench.chaos.scenario import Outcome, Size, exactly_none
from bench.chaos.trial import Trial

TINY_QUEUE = 50  # records; a run alone is more


def restart(trial: Trial, size: Size) -> Outcome:
    """Restart the broker in order and at once, and with kill -9, while events are processed."""
    return _without_brokers(trial, size, seconds=0, environment={})


def away(trial: Trial, size: Size) -> Outcome:
    """Take the broker away for a while."""
    return _without_brokers(trial, size, seconds=size.seconds, environment={})


def full_queue(trial: Trial, size: Size) -> Outcome:
    """Take the broker away for a while, with workers that can queue next to nothing for it."""
    return _without_brokers(trial, size, seconds=size.seconds, environment={"CHAOS_QUEUE_RECORDS": str(TINY_QUEUE)})


def _without_brokers(trial: Trial, size: Size, *, seconds: float, environment: dict[str, str]) -> Outcome:
    workers = trial.start(**environment), trial.start(**environment)
    trial.wait_for(lambda: trial.settled(*workers), "two workers share the input")
    for number in range(1, size.times + 1):
        trial.load.up_to(size.events * number // size.times)
        trial.wait_for_progress(trial.random.randrange(1, 2_000))
        by_force = trial.random.random() < 0.5
        if by_force:
            trial.kafka.kill()
        else:
            trial.kafka.stop()
        trial.pause(seconds)
        began = time.monotonic()
        trial.kafka.start()
        committed = trial.committed()
        trial.wait_for_progress(1)
        back = time.monotonic() - began
        trial.wait_for(trial.finished, "everything is processed after the brokers are back")
        trial.wait_for(lambda: trial.settled(*workers), "both workers are in the group again")
        # Who has lost its place in the group learns that from its next commit or heartbeat, and works on until then. So
        # each event that was not committed when the brokers came back may be told of once more, by its next owner.
        trial.losses.append(Loss("brokers away", committed, None, trial.ends("out")))
        how = "killed" if by_force else "stopped"
        trial.note(f"broker {how}, away for {seconds:.0f} s; outputs again after {back:.1f} s; {trial.state()}")
    ended = len(workers) - len(trial.alive())
    return Outcome(trial.finish(), [exactly_none("workers that ended", ended)])
