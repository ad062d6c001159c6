"""Sagas some of whose writes are refused, while coordinators and sinks are killed: in the end all or none.

`python -m bench.sagas.chaos`; `--short` for a minute of it. Every third saga comes close behind one of its subject.
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
from bench.sagas.declared import saga
from bench.sagas.stand import NotReached, Stand, kill
from bench.stores.servers import KINDS, environment
from deploy.local.kafka import KafkaServer
from deploy.local.server import Server
from schemas.sagas import ENDED, SagaStart

REFUSED = 0.07  # by each of three stores: some 20 % of the sagas fail, at any of their steps
SETTLE_SECONDS = 300
STORE_SERVERS = ("redis", "neo4j", "elasticsearch")

S = TypeVar("S", bound=Server)


def main(arguments: Sequence[str]) -> int:
    """Run it, print what was found beside the bars, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.sagas.chaos", description=__doc__)
    parser.add_argument("--sagas", type=int, help="that are begun")
    parser.add_argument("--rate", type=float, default=150, help="at which they are, per second")
    parser.add_argument("--every", type=float, default=6.0, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of whom is killed")
    parser.add_argument("--short", action="store_true", help="1,500 sagas")
    parser.add_argument("--servers", action="store_true", help="with Redis, Neo4j and Elasticsearch as stores")
    given = parser.parse_args(arguments)
    count = given.sagas or (1_500 if given.short else 10_000)
    folder = Path(tempfile.mkdtemp(prefix="chaos-sagas-"))
    print(f"seed {given.seed}, logs in {folder}", flush=True)
    with ExitStack() as stack:
        kafka = started(stack, KafkaServer(folder / "kafka"))
        where: dict[str, str] = {}
        for name in STORE_SERVERS if given.servers else ():
            where |= environment(name, started(stack, KINDS[name].make(folder / name)))
        figures = run(
            Stand(kafka.bootstrap, "chaos.", folder / "data", refused=REFUSED, servers=where),
            count=count,
            rate=given.rate,
            every=given.every,
            rng=random.Random(given.seed),
        )
    setup = {"sagas": count, "rate": given.rate, "every": given.every, "seed": given.seed, "refused": REFUSED}
    name = "sagas.chaos.servers" if given.servers else "sagas.chaos"
    code = finish(name, figures, setup=setup, rounds={}, keep=given.sagas is None and not given.short)
    if code == 0:
        shutil.rmtree(folder)
    else:
        print(f"logs are in {folder}")
    return code


def started(stack: ExitStack, server: S) -> S:
    """Start a server, and have it stopped at the end."""
    stack.callback(server.stop)
    server.start()
    return server


def run(stand: Stand, *, count: int, rate: float, every: float, rng: random.Random) -> list[Figure]:
    """Begin sagas at a rate, kill a worker every so often, and look at what is left when all is over."""
    workers = [stand.start(role) for role in ("sagas", "deliver")]
    published = threading.Event()
    began = time.monotonic()
    thread = threading.Thread(target=_publish, args=(stand, count, rate, began, published), name="producer")
    thread.start()
    kills = 0
    try:
        while not published.wait(every):
            victim = rng.choice(workers)
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
    statuses = stand.statuses()
    wrong = stand.wrong(starts(count)) if len(stand.entries()) == count else [f"{count} sagas are not all known"]
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
        Figure(name="workers killed", value=kills, unit="", bar=1),
        Figure(name="alerts", value=stand.alerts(), unit=""),
        Figure(name="until all were over", value=time.monotonic() - began, unit="s"),
    ]


def starts(count: int) -> Iterator[SagaStart]:
    """Yield sagas, every third of which is about the subject of the one before it."""
    for number in range(count):
        behind = number % 3 == 2
        yield saga(number, 2_000 if behind else 1_000, ordered=number % 2 == 0, subject=number - behind)


def _publish(stand: Stand, count: int, rate: float, began: float, published: threading.Event) -> None:
    def pace(number: int) -> None:
        if (left := began + number / rate - time.monotonic()) > 0:
            time.sleep(left)  # this is the pace

    try:
        stand.publish(starts(count), pace=pace)
    finally:
        published.set()


def _over(stand: Stand) -> int:
    stand.check()
    statuses = stand.statuses()
    return sum(statuses[status] for status in ENDED)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
