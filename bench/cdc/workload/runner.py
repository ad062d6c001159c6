"""Runs the steps of a workload on a database."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack

import psycopg

from bench.cdc.workload.steps import SESSIONS, Settle, Step


def run(dsn: str, steps: Iterable[Step | Settle], settle: Callable[[], None] = lambda: None) -> int:
    """Run steps, each on the connection of its session, and return how many there were.

    Args:
        dsn: of the database.
        steps: of a workload.
        settle: called where the workload lets readers catch up.

    Raises:
        psycopg.Error: a statement failed; none of a workload does on a server that is up.
    """
    done = 0
    with ExitStack() as stack:
        sessions = [stack.enter_context(psycopg.connect(dsn, autocommit=True)) for _ in range(SESSIONS)]
        for step in steps:
            if isinstance(step, Settle):
                settle()
            else:
                sessions[step.session].execute(step.sql.encode())
                done += 1
    return done
