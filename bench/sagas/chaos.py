"""Sagas in all stores, some of whose writes are refused, while coordinators and sinks are killed: all or none.

`python -m bench.sagas.chaos`; `--short` for a few minutes of it, `--embedded` for three stores that need no server.
First a worker kills itself at each crash point, then they are killed at any moment. Every third saga comes close behind
one of its subject.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from bench.report import Figure, finish
from bench.sagas.declared import ALL, THREE, Shape, saga
from bench.sagas.points import POINTS_OF, kill_at_points
from bench.sagas.stand import NotReached, Stand, kill
from bench.stores.servers import KINDS, ONE_OF_EACH, environment, prepare
from deploy.local.kafka import KafkaServer
from deploy.local.server import Server
from schemas.sagas import ENDED, SagaStart
from streams.app import Role
from streams.supervisor import RoleProcess

FAILING = 0.2  # of the sagas, at any of their steps
SETTLE_SECONDS = 900

# Which role at which point.
PLACES = [(role, point) for role, points in POINTS_OF.items() for point in points]

S = TypeVar("S", bound=Server)


def main(arguments: Sequence[str]) -> int:
    """Run it, print what was found beside the bars, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.sagas.chaos", description=__doc__)
    parser.add_argument("--sagas", type=int, help="that are begun")
    parser.add_argument("--rate", type=float, help="at which they are, per second")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of whom is killed")
    parser.add_argument("--short", action="store_true", help="1,500 sagas, and no crash points by name")
    parser.add_argument(
        "--no-points", action="store_true", help="no crash points by name, which take a minute each on a busy machine"
    )
    parser.add_argument("--embedded", action="store_true", help="three stores, embedded")
    given = parser.parse_args(arguments)
    count = given.sagas or (1_500 if given.short else 10_000)
    shape = THREE if given.embedded else ALL
    rate = given.rate or (150 if given.embedded else 40)
    refused = share_of(shape)
    folder = Path(tempfile.mkdtemp(prefix="chaos-sagas-"))
    print(f"seed {given.seed}, logs in {folder}", flush=True)
    with ExitStack() as stack:
        kafka = started(stack, KafkaServer(folder / "kafka"))
        where = {} if given.embedded else start_stores(stack, folder)
        figures = run(
            Stand(kafka.bootstrap, "chaos.", folder / "data", refused=refused, servers=where, shape=shape),
            count=count,
            rate=rate,
            every=given.every,
            rng=random.Random(given.seed),
            points=not (given.short or given.no_points),
        )
    setup = {
        "sagas": count,
        "rate": rate,
        "every": given.every,
        "seed": given.seed,
        "refused": refused,
        "stores": list(shape.steps.values()),
    }
    name = "sagas.chaos.embedded" if given.embedded else "sagas.chaos"
    code = finish(name, figures, setup=setup, rounds={}, keep=not given.short)
    if code == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs are in {folder}")
    return code


def share_of(shape: Shape) -> float:
    """Return the share of writes that each store has to refuse for `FAILING` of the sagas to fail."""
    return 1 - (1 - FAILING) ** (1 / len(shape.steps))


def start_stores(stack: ExitStack, folder: Path) -> dict[str, str]:
    """Start the servers of all stores that have one, and return the variables that say where they are."""
    where: dict[str, str] = {}
    for name in ONE_OF_EACH:
        server = started(stack, KINDS[name].make(folder / name))
        prepare(server)
        where |= environment(name, server)
    # The warehouse is the other half of the same S3.
    objects, warehouse = "TRAVELOS_STORES_OBJECTS_", "TRAVELOS_STORES_WAREHOUSE_"
    where |= {warehouse + name[len(objects) :]: value for name, value in where.items() if name.startswith(objects)}
    return where | {warehouse + "INDEX_FOLDER": str(folder / "warehouse-index")}


def started(stack: ExitStack, server: S) -> S:
    """Start a server, and have it stopped at the end."""
    stack.callback(server.stop)
    server.start()
    return server


def run(
    stand: Stand, *, count: int, rate: float, every: float, rng: random.Random, points: bool = True
) -> list[Figure]:
    """Begin sagas at a rate, kill a worker every so often, and look at what is left when all is over.

    Args:
        stand: the installation.
        count: of the sagas.
        rate: at which they begin, per second.
        every: so many seconds a worker is killed.
        rng: chooses which.
        points: whether workers are first killed at each crash point by name.
    """
    workers: dict[Role, RoleProcess] = {role: stand.start(role) for role in POINTS_OF}
    published = threading.Event()
    began = time.monotonic()
    thread = threading.Thread(
        target=_publish, args=(stand, count, rate, began, published), name="producer", daemon=True
    )
    thread.start()
    at_points = kills = 0
    try:
        for point in kill_at_points(stand, workers) if points else ():
            print(f"  {time.monotonic() - began:4.0f} s: {point}", flush=True)
            at_points += 1
        while not published.wait(every):
            victim = rng.choice(list(workers.values()))
            kill(victim)
            stand.wait_for(lambda one=victim: one.pid is None, "it is dead", 10)
            victim.start()
            kills += 1
        thread.join()
        stand.wait_for(lambda: _over(stand) == count, "all sagas are over", SETTLE_SECONDS)
    except NotReached as error:
        print(error, flush=True)
    finally:
        stand.stop()
    seconds = time.monotonic() - began
    statuses = stand.statuses()
    wrong = (
        stand.wrong(starts(count, stand.shape))
        if len(stand.entries()) == count
        else [f"{count} sagas are not all known"]
    )
    for subject in wrong[:5]:
        print(f"  not what its sagas left: {subject}", flush=True)
    return [
        Figure(name="sagas that are over", value=sum(statuses[one] for one in ENDED), unit="", bar=count),
        Figure(name="completed", value=statuses["completed"], unit="", bar=1),
        Figure(name="compensated", value=statuses["compensated"], unit="", bar=1),
        Figure(
            name="subjects that are not what their sagas left in every store",
            value=len(wrong),
            unit="",
            bar=0,
            lower_is_better=True,
        ),
        Figure(name="crash points by name", value=at_points, unit="", bar=len(PLACES) if points else None),
        Figure(name="workers killed at any moment", value=kills, unit="", bar=1),
        Figure(name="alerts", value=stand.alerts(), unit=""),
        Figure(name="until all were over", value=seconds, unit="s"),
    ]


def starts(count: int, shape: Shape = THREE) -> Iterator[SagaStart]:
    """Yield sagas, every third of which is about the subject of the one before it."""
    for number in range(count):
        behind = number % 3 == 2
        yield saga(number, 2_000 if behind else 1_000, ordered=number % 2 == 0, subject=number - behind, shape=shape)


def _publish(stand: Stand, count: int, rate: float, began: float, published: threading.Event) -> None:
    def pace(number: int) -> None:
        if (left := began + number / rate - time.monotonic()) > 0:
            time.sleep(left)  # this is the pace

    try:
        stand.publish(starts(count, stand.shape), pace=pace)
    finally:
        published.set()


def _over(stand: Stand) -> int:
    stand.check()
    statuses = stand.statuses()
    return sum(statuses[status] for status in ENDED)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
