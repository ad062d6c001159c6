"""How fast each sink is, how long a write takes into each store, and what an outage of a store does.

python -m bench.sinks [--only neo4j,elasticsearch,...] [--parts rates,latency,outage] [--rounds N] [--warm-up N]
    [--writes N] [--latency-seconds S] [--outage S] [--outage-of redis]

The rates stand beside the store's own client, on one server with the same data.

The peer is the client used the fastest way its documentation knows, without versions, receipts or outcomes. Ours is the
sink with all of them, driven as the framework drives it. A round runs all next to each other, each on an empty store
and each round beginning with another one. The first rounds warm up and do not count: a server in Java compiles for as
long, which costs the longer statement more.
"""

import argparse
import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.report import finish
from bench.sinks import latency, outage
from bench.sinks.measured import Bench
from streams.cli.garbage import collect_less
from streams.log import configure_logging

# A module for each store, with a function `measure(bench)` that starts the server it needs and stops it.
STORES = ("neo4j", "elasticsearch", "influxdb", "redis", "s3", "postgres")


PARTS = ("rates", "latency", "outage")


def main() -> int:
    """Run the rows and report; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="What the sinks reach.")
    parser.add_argument("--only", help=f"stores, separated by commas, else {','.join(STORES)}")
    parser.add_argument("--parts", help=f"what is measured, else {','.join(PARTS)}; with --only the rates")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of the rates")
    parser.add_argument("--warm-up", type=int, default=2, help="rounds before them, which do not count")
    parser.add_argument(
        "--writes", type=int, default=40_000, help="writes of a round; fast stores get some times as many"
    )
    parser.add_argument("--latency-seconds", type=float, default=20, help="how long the latency of a store is measured")
    parser.add_argument("--outage", type=float, default=600, help="seconds of the outage")
    parser.add_argument("--outage-of", default="redis", help="the store that is away: %(default)s")
    options = parser.parse_args()
    stores = _chosen(parser, "only", options.only, STORES, STORES)
    parts = _chosen(parser, "parts", options.parts, PARTS, PARTS if options.only is None else ("rates",))
    configure_logging("warning")
    collect_less()  # as a worker does; for the peers, too
    with tempfile.TemporaryDirectory(prefix="bench-sinks-") as folder:
        bench = Bench(Path(folder), options, setup={"writes": options.writes})
        if "rates" in parts:
            for store in stores:
                importlib.import_module(f"bench.sinks.{store}").measure(bench)
        if "latency" in parts:
            latency.measure(bench, stores)
        if "outage" in parts:
            outage.measure(bench, options.outage_of)
    whole = set(stores) == set(STORES) and set(parts) == set(PARTS)
    return finish("sinks", bench.figures, setup=bench.setup, rounds=bench.rounds, keep=whole)


def _chosen(
    parser: argparse.ArgumentParser, option: str, given: str | None, known: Sequence[str], default: Sequence[str]
) -> list[str]:
    names = list(default) if given is None else given.split(",")
    if unknown := set(names) - set(known):
        parser.error(f"--{option}: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    raise SystemExit(main())
