"""Whether the topics equal the tables after everything was killed; the exit code is 1 when they do not.

python -m bench.cdc.convergence [--statements N] [--seed N] [--keep FOLDER]
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.cdc.convergence.trial import Size, trial
from bench.report import Figure, finish
from deploy.local.kafka import KafkaServer
from deploy.local.kafka.server import VERSION as KAFKA_VERSION
from deploy.local.postgres import PostgresServer
from streams.log import configure_logging

FULL = 100_000
SHOWN = 10


def main(arguments: Sequence[str]) -> int:
    """Run it, print what was done and what it came to."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cdc.convergence", description="What the CDC source survives."
    )
    parser.add_argument("--statements", type=int, default=FULL, help="of the workload: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of all random choices")
    parser.add_argument("--keep", type=Path, help="folder for logs and data, kept; else one that is kept on failure")
    given = parser.parse_args(arguments)
    configure_logging("error")
    folder = Path(tempfile.mkdtemp(prefix="chaos-cdc-")) if given.keep is None else given.keep
    print(f"seed {given.seed}, logs in {folder}", flush=True)
    kafka, postgres = KafkaServer(folder / "kafka"), PostgresServer(folder / "postgres")
    began = time.monotonic()
    try:
        kafka.start()
        postgres.start()
        outcome = trial(postgres, kafka, folder / "source", given.seed, Size(statements=given.statements))
    finally:
        kafka.stop()
        postgres.delete()
    faults = {
        "differences between topics and tables": outcome.differences,
        "repeated changes that are not the same": outcome.contradictions,
        "ends of the source by itself": outcome.ends,
    }
    for name, lines in faults.items():
        for line in lines[:SHOWN]:
            print(f"  {name}: {line}")
    figures = [
        Figure(name=name, value=len(lines), unit="", bar=0, lower_is_better=True) for name, lines in faults.items()
    ]
    figures += [
        Figure(name="source killed with SIGKILL", value=outcome.kills, unit="times", bar=1),
        Figure(name="Kafka killed or restarted", value=outcome.kafka_restarts, unit="times", bar=1),
        Figure(name="Postgres restarted in immediate mode", value=outcome.postgres_restarts, unit="times", bar=1),
        Figure(name="events in the topics", value=outcome.records, unit=""),
        Figure(name="of these repeated", value=outcome.repeated, unit=""),
    ]
    setup = {"seed": given.seed, "statements": given.statements, "kafka": KAFKA_VERSION, "postgres": "18"}
    rounds = {"seconds": round(time.monotonic() - began, 1)}
    code = finish("cdc.convergence", figures, setup=setup, rounds=rounds, keep=given.statements >= FULL)
    if code == 0 and given.keep is None:
        shutil.rmtree(folder)
    else:
        print(f"logs are in {folder}")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
