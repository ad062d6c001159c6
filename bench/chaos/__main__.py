"""Runs scenarios, prints what was done and what it came to; the exit code is 1 when a bar is missed."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec
from confluent_kafka import KafkaException

from bench.chaos import brokers, groups, kills, records, state, stores
from bench.chaos.load import NotAcknowledged
from bench.chaos.scenario import Outcome, Scenario, Size, exactly_none
from bench.chaos.trial import NotReached, trial
from bench.report import Figure, finish
from bench.stores.servers import KINDS, ONE_OF_EACH
from deploy.local.kafka import KafkaServer
from deploy.local.kafka.server import VERSION as KAFKA_VERSION

SHOWN = 5  # faults of each kind
STORES = "chaos.stores"  # the result file of the scenarios that are about stores, which may be run alone
SHORT_SESSION = 6.0  # seconds; the least that brokers allow by default
SCENARIOS = (
    Scenario(
        name="kills",
        run=kills.kill_at_random,
        full=Size(events=500_000, times=50),
        short=Size(events=8_000, times=3, session=SHORT_SESSION),
    ),
    Scenario(
        name="fault-points",
        run=kills.kill_at_fault_points,
        full=Size(events=20_000, times=2),
        short=Size(events=2_000, session=SHORT_SESSION),
    ),
    Scenario(
        name="zombie",
        run=groups.stop_a_worker,
        full=Size(events=60_000, times=2, seconds=60),
        short=Size(events=8_000, times=1, seconds=15, session=SHORT_SESSION),
    ),
    Scenario(
        name="scale", run=groups.scale, full=Size(events=100_000), short=Size(events=20_000, session=SHORT_SESSION)
    ),
    Scenario(
        name="rebalances",
        run=groups.keep_rebalancing,
        full=Size(events=100_000, times=10, seconds=60),
        short=Size(events=10_000, times=4, seconds=10, session=SHORT_SESSION),
    ),
    Scenario(
        name="slow-rebalances",
        run=groups.rebalance_slowly,
        full=Size(events=10_000, times=6, seconds=60),
        short=Size(events=2_000, times=2, seconds=10, session=SHORT_SESSION),
    ),
    Scenario(
        name="broker-restart",
        run=brokers.restart,
        full=Size(events=60_000, times=4),
        short=Size(events=8_000, times=1, session=SHORT_SESSION),
    ),
    Scenario(
        name="broker-away",
        run=brokers.away,
        full=Size(events=40_000, times=1, seconds=60),
        short=Size(events=8_000, times=1, seconds=12, session=SHORT_SESSION),
    ),
    Scenario(
        name="queue-full",
        run=brokers.full_queue,
        full=Size(events=40_000, times=1, seconds=30),
        short=Size(events=8_000, times=1, seconds=5, session=SHORT_SESSION),
    ),
    Scenario(
        name="poison",
        run=records.poison,
        full=Size(events=40_000, times=20),
        short=Size(events=8_000, times=4, session=SHORT_SESSION),
    ),
    Scenario(
        name="deadly",
        run=records.deadly,
        full=Size(events=20_000, times=1),
        short=Size(events=2_000, times=1, session=SHORT_SESSION),
    ),
    Scenario(
        name="hanging-sink",
        run=groups.hang,
        full=Size(events=40_000, seconds=25),
        short=Size(events=10_000, seconds=5, session=SHORT_SESSION),
    ),
    Scenario(
        name="lost-state",
        run=state.lose_state,
        full=Size(events=80_000),
        short=Size(events=8_000, session=SHORT_SESSION),
    ),
    Scenario(
        name="sink-workers",
        run=stores.kill_workers,
        about_stores=True,
        full=Size(events=300, times=20),  # of these three, `events` are writes a second
        short=None,  # the next one kills workers, too, and six servers are started once instead of twice
    ),
    Scenario(
        name="sink-servers",
        run=stores.kill_servers,
        about_stores=True,
        full=Size(events=300, times=2, seconds=5),
        short=Size(events=60, times=1, seconds=1, stores=ONE_OF_EACH),  # two cores carry six servers and six workers
    ),
    Scenario(
        name="sink-network",
        run=stores.disturb_networks,
        about_stores=True,
        full=Size(events=300, times=2),
        short=None,  # tests/integration/sinks/test_stores_behind_a_bad_network.py is a test of the same
    ),
)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; all scenarios in their full form are the benchmark, and its result is kept.

    So is that of all scenarios about stores, in a file of its own.
    """
    given = _parse(arguments)
    chosen = [
        one
        for one in SCENARIOS
        if (one.name in given.scenarios or not given.scenarios) and not (given.short and one.short is None)
    ]
    folder = Path(tempfile.mkdtemp(prefix="chaos-")) if given.keep is None else given.keep
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}, logs in {folder}", flush=True)
    kafka = KafkaServer(folder / "kafka")
    kafka.start()
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    try:
        for one in chosen:
            began = time.monotonic()
            figures += run(one, kafka, folder / one.name, given.seed, _size(one, given))
            seconds[one.name] = round(time.monotonic() - began, 1)
    finally:
        kafka.stop()
    stores = _stores(given) or tuple(KINDS)
    whole = all(_size(one, given) == msgspec.structs.replace(one.full, stores=stores) for one in chosen)
    about_stores = chosen == [one for one in SCENARIOS if one.about_stores]
    setup = {
        "seed": given.seed,
        "kafka": KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "sizes": {one.name: msgspec.structs.asdict(_size(one, given)) for one in chosen},
    }
    some = "" if stores == tuple(KINDS) else f".{'-'.join(stores)}"
    name, keep = (STORES + some if about_stores else "chaos"), whole and (about_stores or chosen == list(SCENARIOS))
    code = finish(name, figures, setup=setup, rounds={"seconds": seconds}, keep=keep)
    if code == 0 and given.keep is None:
        shutil.rmtree(folder)
    else:
        print(f"logs are in {folder}")
    return code


def run(scenario: Scenario, kafka: KafkaServer, folder: Path, seed: int, size: Size) -> list[Figure]:
    """Run one scenario, print what it did, and return its figures beside their bars."""
    print(f"\n{scenario.name} (seed {seed}): {(scenario.run.__doc__ or '').splitlines()[0]}", flush=True)
    with trial(kafka, scenario.name, folder, seed, session=size.session) as made:
        try:
            figures = _figures(scenario.run(made, size))
        # The other scenarios are run all the same; this one has failed.
        except (NotReached, NotAcknowledged, KafkaException, TimeoutError, AssertionError) as error:
            print(f"  FAILED: {type(error).__name__}: {error}")
            figures = [exactly_none("not brought to an end", 1)]
    if not all(figure.passed for figure in figures):
        sizes = f"--events {size.events} --times {size.times} --seconds {size.seconds:g} --session {size.session:g}"
        sizes += f" --stores {','.join(size.stores)}"
        print(f"  repeat it with: python -m bench.chaos {scenario.name} --seed {seed} {sizes}", flush=True)
    return [msgspec.structs.replace(figure, name=f"{scenario.name}: {figure.name}") for figure in figures]


def _figures(outcome: Outcome) -> list[Figure]:
    found = outcome.findings
    faults = {
        "missing": found.missing,
        "invented": found.invented,
        "table differences": found.differences,
        "order violations": found.disorder,
        "duplicates that nothing explains": found.unexplained,
        "not applied exactly once by a versioned sink": found.effects,
    }
    for name, lines in faults.items():
        for line in lines[:SHOWN]:
            print(f"  {name}: {line}")
        if len(lines) > SHOWN:
            print(f"  {name}: {len(lines) - SHOWN} more")
    print(f"  {found.duplicates:,} duplicates; at-least-once allows {found.bound:,} here", flush=True)
    for what, events in sorted(found.bounds, key=lambda one: -one[1])[:SHOWN]:
        print(f"    {events:,} after {what}")
    duplicates = Figure(name="duplicates", value=found.duplicates, unit="", bar=found.bound, lower_is_better=True)
    return [*(exactly_none(name, len(lines)) for name, lines in faults.items()), duplicates, *outcome.figures]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    names = [one.name for one in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description="What the runtime survives.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(names)}; all when none is given")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of all random choices")
    parser.add_argument("--short", action="store_true", help="seconds to a minute each")
    parser.add_argument("--events", type=int, help="how many go in")
    parser.add_argument("--times", "--kills", type=int, help="how often a scenario does what it does")
    parser.add_argument("--seconds", type=float, help="how long something is stopped or away")
    parser.add_argument("--session", type=float, help="seconds after which a silent worker is taken for dead")
    parser.add_argument("--stores", help=f"which, of the scenarios about stores: {','.join(KINDS)}")
    parser.add_argument("--keep", type=Path, help="folder for logs and state, kept; else one that is kept on failure")
    given = parser.parse_args(arguments)
    unknown = set(given.scenarios) - set(names)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if unknown_stores := set(_stores(given) or ()) - set(KINDS):
        parser.error(f"--stores: {', '.join(sorted(unknown_stores))}; there are {', '.join(KINDS)}")
    return given


def _stores(given: argparse.Namespace) -> tuple[str, ...] | None:
    return None if given.stores is None else tuple(given.stores.split(","))


def _size(scenario: Scenario, given: argparse.Namespace) -> Size:
    size = (scenario.short if given.short else None) or scenario.full
    changed: dict[str, Any] = {
        name: value for name in ("events", "times", "seconds", "session") if (value := getattr(given, name)) is not None
    }
    return msgspec.structs.replace(size, stores=_stores(given) or size.stores, **changed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
