"""How fast each sink is, beside the store's own client, on one server with the same data.

python -m bench.sinks [--only neo4j,elasticsearch,...] [--rounds N] [--writes N]

The peer is the client used the fastest way its documentation knows, without versions, receipts or outcomes. Ours is the
sink with all of them, driven as the framework drives it. A round runs both next to each other on an empty store; the
first round warms up and does not count.
"""

import argparse
import importlib
import tempfile
from pathlib import Path

from bench.report import finish
from bench.sinks.measured import Bench
from streams.log import configure_logging

# A module for each store, with a function `measure(bench)` that starts the server it needs and stops it.
STORES = ("neo4j", "elasticsearch", "influxdb", "redis", "s3", "postgres")


def main() -> int:
    """Run the rows and report; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="How fast each sink is, beside the store's own client.")
    parser.add_argument("--only", default=",".join(STORES), help="stores, separated by commas: %(default)s")
    parser.add_argument("--rounds", type=int, default=4, help="rounds, of which the first warms up")
    parser.add_argument("--writes", type=int, default=40_000, help="writes of a round")
    options = parser.parse_args()
    stores = options.only.split(",")
    if unknown := set(stores) - set(STORES):
        parser.error(f"--only: {', '.join(sorted(unknown))}; there are {', '.join(STORES)}")
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="bench-sinks-") as folder:
        bench = Bench(Path(folder), options, setup={"writes": options.writes})
        for store in stores:
            importlib.import_module(f"bench.sinks.{store}").measure(bench)
    return finish("sinks", bench.figures, setup=bench.setup, rounds=bench.rounds, keep=set(stores) == set(STORES))


if __name__ == "__main__":
    raise SystemExit(main())
