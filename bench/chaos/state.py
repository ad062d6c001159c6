"""State on disk that is deleted or corrupted: it comes back from the changelog, and the log says so."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.chaos.scenario import Outcome, Size
from bench.chaos.trial import Trial
from bench.report import Figure

SAID = ("state_empty", "state_discarded", "state_damaged")


class Harm(NamedTuple):
    """Something that is done to the database of a partition."""

    what: str
    do: Callable[[Path], None]
    running: bool = False  # it is done while the worker runs


def lose_state(trial: Trial, size: Size) -> Outcome:
    """Delete and corrupt what a worker has on disk, while it is stopped and while it runs."""
    harms = (
        Harm("deleted", shutil.rmtree),
        Harm("manifest corrupted", partial(_scribble, pattern="MANIFEST-*")),
        Harm("data corrupted", partial(_scribble, pattern="*.sst")),
        Harm("deleted under a worker that runs", shutil.rmtree, running=True),
    )
    worker = trial.start()
    restored = told = 0
    for number, harm in enumerate(harms, start=1):
        trial.load.up_to(size.events * number // (len(harms) + 1))
        trial.load.once_for_each_key()
        trial.wait_for(trial.finished, "everything so far is processed")
        known = len(trial.workers)
        if not harm.running:
            trial.stop_in_order(worker)
        for database in sorted(trial.folder.rglob("*.state")):
            harm.do(database)
        if harm.running:
            # It may go on with the files that it has open; what counts is what the next one finds.
            trial.load.once_for_each_key()
            trial.wait_for(lambda: trial.revive("damage") or trial.finished(), "the worker goes on or ends")
            trial.stop()
        trial.start()
        trial.load.once_for_each_key()  # so that every key is read

        def done() -> bool:
            trial.revive("damage")
            return trial.finished()

        trial.wait_for(done, f"everything is processed after the state was {harm.what}")
        worker = trial.alive()[0]
        since = trial.workers[known - harm.running :]
        records = sum(int(line["records"]) for one in since for line in one.says("state_restored"))
        reasons = sorted({str(line["event"]) for one in since for line in one.says(*SAID)})
        restored += records > 0
        told += bool(reasons)
        trial.note(f"{harm.what}: {records:,} records restored by {len(since)} workers; the log says {reasons}")
    figures = [
        Figure(name="restores", value=restored, unit="", bar=len(harms)),
        Figure(name="restores that the log tells of", value=told, unit="", bar=len(harms)),
    ]
    return Outcome(trial.finish(), figures)


def _scribble(database: Path, pattern: str) -> None:
    """Overwrite the middle of every file of a kind."""
    for path in database.glob(pattern):
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 64] = b"\xa5" * len(content[middle : middle + 64])
        path.write_bytes(content)
