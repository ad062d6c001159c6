"""Records that cannot be processed, and one that kills the process."""

from bench.chaos.scenario import Outcome, Size, exactly_none
from bench.chaos.trial import Trial
from bench.report import Figure
from streams.runtime.crashes import DEATHS_ALONE, DEATHS_BEFORE_ONE_BY_ONE

ONLY_POISON = 300  # records in a row that fail, of one key: a run of nothing else
KEY = "poisoned"
DEATHS_PATIENCE_SECONDS = 300.0  # each death costs the group a session timeout


def poison(trial: Trial, size: Size) -> Outcome:
    """Send records that fail or do not decode: single ones, and batches of nothing else."""
    workers = trial.start(), trial.start()
    for number in range(1, size.times + 1):
        trial.load.up_to(size.events * number // size.times)
        trial.wait_for_progress(1)
        trial.load.special("fail", count=trial.random.randint(1, 3))
        trial.load.undecodable(trial.random.randint(1, 3))
    trial.wait_for(trial.finished, "single bad records are set aside")
    trial.note(f"bad records among others; {trial.state()}")
    trial.load.special("fail", count=ONLY_POISON, key=KEY)
    trial.load.undecodable(ONLY_POISON, key=KEY)
    trial.wait_for(trial.finished, "batches of bad records are set aside")
    trial.note(f"{2 * ONLY_POISON} of them in a row and nothing else; {trial.state()}")
    ended = len(workers) - len(trial.alive())
    return Outcome(trial.finish(), [exactly_none("workers that ended", ended)])


def deadly(trial: Trial, size: Size) -> Outcome:
    """Send a record that kills the process; whoever dies is replaced, as a supervisor does."""
    trial.start()
    trial.start()
    for number in range(1, size.times + 1):
        trial.load.up_to(size.events * number // size.times)
        trial.wait_for_progress(1)
        trial.load.special("die")
        before = len(trial.losses)

        def over() -> bool:
            trial.revive("death at a record")
            return trial.finished()

        trial.wait_for(over, "the record that kills is set aside", patience=DEATHS_PATIENCE_SECONDS)
        trial.note(f"a record killed {len(trial.losses) - before} workers before it was set aside")
    deaths = len(trial.losses)
    allowed = size.times * (DEATHS_BEFORE_ONE_BY_ONE + DEATHS_ALONE)
    figures = [
        Figure(name="deaths", value=deaths, unit="", bar=allowed, lower_is_better=True),
        Figure(name="deadly records that killed", value=min(deaths, size.times), unit="", bar=size.times),
    ]
    return Outcome(trial.finish(), figures)
