"""Deliveries to every store, while the workers or the servers are killed or the network between them fails."""

import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import msgspec

from bench.chaos.checker import Findings
from bench.chaos.scenario import Outcome, Size, exactly_none
from bench.chaos.trial import PATIENCE_SECONDS, Trial
from bench.report import Figure
from bench.stores.adding_up import TWICE
from bench.stores.delivered import Delivered
from bench.stores.network import PATIENCE, faults_of, strike
from bench.stores.servers import KINDS, environment, prepare
from deploy.local.proxy import FaultProxy
from deploy.local.server import Server

ENTITIES = 1_000  # of each store; so all are written again and again
CHUNK = 20
# A server that is away for seconds is not to be left alone for a minute, or a trial would take hours.
QUICK = {"TRAVELOS_DELIVER_BACKOFF_MAX_SECONDS": "1", "TRAVELOS_DELIVER_BREAKER_SECONDS": "2"}
START_SECONDS = 300.0  # a JVM beside all the others
SETTLED_SECONDS = 900.0  # S3 replaces some fifty objects a second where everything runs on two cores


class _Setup(NamedTuple):
    servers: Mapping[str, Server]
    deliveries: Mapping[str, Delivered]
    proxies: Mapping[str, FaultProxy]


def kill_workers(trial: Trial, size: Size) -> Outcome:
    """Kill -9 the workers that deliver to the stores, again and again."""
    with _setup(trial, size) as setup:
        kills = dict.fromkeys(setup.deliveries, 0)
        with _load(setup, size):
            for number in range(1, size.times + 1):
                # All at once: a worker's start takes longer than what it then does until it is killed again.
                for name in setup.deliveries:
                    _wait_for_progress(trial, setup, name, size)
                for name, delivered in setup.deliveries.items():
                    delivered.kill()
                    kills[name] += 1
                trial.note(f"each worker killed for the {number}. time; {_state(setup)}")
        return _reconciled(trial, setup, "kills of its worker", kills)


def kill_servers(trial: Trial, size: Size) -> Outcome:
    """Kill -9 the server of each of these stores under load, and its worker while it is away, and start both again."""
    kept = tuple(name for name in size.stores if KINDS[name].keeps)
    assert kept, f"none of {', '.join(size.stores)} holds anything once it is started again"
    with _setup(trial, msgspec.structs.replace(size, stores=kept)) as setup:
        kills = dict.fromkeys(setup.servers, 0)
        with _load(setup, size):
            for _ in range(size.times):
                for name, server in setup.servers.items():
                    _wait_for_progress(trial, setup, name, size)
                    server.kill()
                    setup.deliveries[name].kill()  # the next one finds no server when it starts
                    trial.pause(size.seconds)
                    server.start(START_SECONDS)
                    kills[name] += 1
                    trial.note(f"{name} and its worker killed, away for {size.seconds:.0f} s; {_state(setup)}")
        return _reconciled(trial, setup, "kills of its server and worker", kills)


def disturb_networks(trial: Trial, size: Size) -> Outcome:
    """Let the network between each worker and its store fail in every way there is, under load."""
    with _setup(trial, size, proxied=True) as setup:
        struck = dict.fromkeys(setup.proxies, 0)
        with _load(setup, size):
            for name, proxy in setup.proxies.items():
                for fault in faults_of(name) * size.times:
                    _wait_for_progress(trial, setup, name, size)
                    strike(proxy, fault, setup.deliveries[name].wait_for)
                    struck[name] += 1
                    trial.note(f"{name} behind {fault}; {_state(setup)}")
        return _reconciled(trial, setup, "faults of its network", struck)


@contextmanager
def _setup(trial: Trial, size: Size, *, proxied: bool = False) -> Generator[_Setup]:
    """Give out running servers, each with a worker of its own: stores that scale apart, as in a cluster."""
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        deliveries: dict[str, Delivered] = {}
        proxies: dict[str, FaultProxy] = {}
        for name in size.stores:
            kind = KINDS[name]
            server = servers[name] = kind.make(trial.folder / name)
            stack.callback(server.delete)
            server.start(START_SECONDS)
            prepare(server)
            where = through = environment(name, server)
            if proxied:
                proxy = proxies[name] = stack.enter_context(FaultProxy("127.0.0.1", server.port))
                through = environment(name, server, port=proxy.port, patience=PATIENCE)
            deliveries[name] = stack.enter_context(
                Delivered(
                    kind.store,
                    trial.kafka.bootstrap,
                    f"{trial.input}.{name}.",
                    trial.folder / f"{name}-worker",
                    through={**through, **QUICK},
                    directly=where,
                    seed=trial.random.randrange(1_000),
                    entities=ENTITIES,
                )
            )
        yield _Setup(servers, deliveries, proxies)


@contextmanager
def _load(setup: _Setup, size: Size) -> Generator[None]:
    """Send to every store for as long as it takes, `size.events` writes a second to all of them together."""
    over = threading.Event()

    def send() -> None:
        pause = CHUNK * len(setup.deliveries) / size.events
        while not over.wait(pause):
            for delivered in setup.deliveries.values():
                delivered.produce(delivered.next() for _ in range(CHUNK))

    thread = threading.Thread(target=send, name="load")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _wait_for_progress(trial: Trial, setup: _Setup, name: str, size: Size) -> None:
    """Wait until a store has taken some more writes, as many as chance says: up to four seconds of its load."""
    delivered = setup.deliveries[name]
    aim = delivered.done() + trial.random.randint(1, max(1, 4 * size.events // len(setup.deliveries)))
    delivered.wait_for(lambda: delivered.done() >= aim, f"{name} has taken {aim:,} writes", PATIENCE_SECONDS)


def _reconciled(trial: Trial, setup: _Setup, killed: str, kills: Mapping[str, int]) -> Outcome:
    """Compare each topic with its receipts and its store, once everything has an end."""
    problems: list[str] = []
    figures: list[Figure] = []
    for name, delivered in setup.deliveries.items():
        delivered.send(0)  # all that was handed over is acknowledged
        delivered.settle(SETTLED_SECONDS)
        found = delivered.problems()
        done = delivered.done()
        trial.note(f"{name}: {done:,} writes, {len(found)} that do not add up")
        problems += [f"{name}: {problem}" for problem in found]
        figures += [
            Figure(name=f"{name}: {killed}", value=kills[name], unit="", bar=1),
            Figure(name=f"{name}: writes compared", value=done, unit="", bar=1),
            exactly_none(f"{name}: does not add up", len(found)),
        ]
    findings = Findings(
        missing=[problem for problem in problems if not problem.endswith(TWICE)],
        invented=[],
        differences=[],
        disorder=[],
        unexplained=[],
        effects=[problem for problem in problems if problem.endswith(TWICE)],
        duplicates=0,
        bounds=[],
    )
    return Outcome(findings, figures)


def _state(setup: _Setup) -> str:
    return ", ".join(f"{name} {delivered.done():,}" for name, delivered in setup.deliveries.items())
