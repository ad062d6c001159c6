"""Events a second of the smallest works, decode and count, beside Quix Streams, a bare loop and plain Faust."""

import shutil
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from bench.runtime import quix
from bench.runtime.broker import COMPACTED, GIVEN_PEERS, Broker
from bench.runtime.timeline import Span, span
from bench.runtime.workers import Worker, rate_of, wait_until

TOPIC = "fill"
PLAIN_SHARE = 15  # plain Faust reads so many times fewer events; its rate does not depend on how many


def ours(broker: Broker, folder: Path, events: int, *, counted: bool, workers: int = 1) -> Span:
    """Return what our workers did, from when all had begun until the first had nothing left."""
    group = f"bench-{uuid.uuid4()}"
    home = folder / group
    arguments = {"bootstrap": broker.bootstrap, "topic": TOPIC, "group": group, "folder": home / "state"}
    if counted:
        arguments["changelog"] = f"{group}-counts"
        broker.create(arguments["changelog"], COMPACTED)
    running = [Worker(f"worker-{number}", "counting", arguments, home) for number in range(workers)]
    try:
        wait_until(lambda: sum(worker.done for worker in running) >= events, running)
    finally:
        for worker in running:
            worker.stop()
    timelines = [worker.samples() for worker in running]
    broker.delete(group)
    shutil.rmtree(home)
    return span(timelines)


def bare_loop(broker: Broker, folder: Path, events: int) -> float:
    """Return the rate of librdkafka and orjson without a framework."""
    given = GIVEN_PEERS / "bare_librdkafka.py"
    program: Sequence[str | Path] = [given] if given.exists() else ["-m", "bench.peers.bare_loop"]
    return rate_of([sys.executable, *program, TOPIC, str(events), broker.bootstrap], folder=folder)


def quix_streams(broker: Broker, folder: Path, events: int, *, counted: bool) -> float:
    """Return the rate of Quix Streams."""
    given = GIVEN_PEERS / "quix.py"
    program = given if given.exists() else Path(__file__).parents[1] / "peers" / "quix_counts.py"
    home = folder / f"quix-{uuid.uuid4()}"  # its state lies where it runs
    home.mkdir()
    command = [quix.python(), program, TOPIC, str(events), broker.bootstrap]
    try:
        return rate_of(command, folder=home, env={"STATE": "1"} if counted else {})
    finally:
        broker.delete("changelog__quix")
        shutil.rmtree(home)


def plain_faust(broker: Broker, folder: Path, events: int, *, counted: bool) -> float:
    """Return the rate of Faust as it is."""
    given = GIVEN_PEERS / "plain_faust.py"
    env = {"TOPIC": TOPIC, "COUNT": str(max(1, events // PLAIN_SHARE)), "BROKER": f"kafka://{broker.bootstrap}"}
    env |= {"STATE": "1"} if counted else {}
    if given.exists():
        env["PYTHONPATH"] = str(given.parent)
    app = given.stem if given.exists() else "bench.peers.plain_faust"
    home = folder / f"plain-{uuid.uuid4()}"
    home.mkdir()
    command = [sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info", "--without-web"]
    try:
        return rate_of(command, folder=home, env=env)
    finally:
        broker.delete("plain-")
        shutil.rmtree(home)
