"""A store that is down for minutes under load: what the worker's memory does meanwhile, and how fast it catches up."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bench.sinks.measured import Bench
from bench.stores.delivered import Delivered
from bench.stores.servers import KINDS, environment, prepare
from deploy.local.kafka import KafkaServer
from deploy.local.server import Server

RATE = 1_000
FULL_RATE_WRITES = 60_000
TICK_SECONDS = 0.05
LOOK_SECONDS = 0.25
# Of the outage; before that the worker still fills what it may hold.
FILLING = 0.2
MEMORY_BAR = 1.05
DRAIN_BAR = 0.9
PATIENCE_SECONDS = 1_800.0


class _Load:
    """A steady load from a thread of its own, the only one that makes writes meanwhile."""

    def __init__(self, delivered: Delivered) -> None:
        self._delivered = delivered
        self._more = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, name="load")

    def start(self) -> None:
        self._thread.start()

    def more(self, count: int) -> None:
        """Have so many writes sent beside the steady ones, at once."""
        self._more += count

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._over.wait(TICK_SECONDS):
            due = int((time.monotonic() - began) * RATE) + self._more
            self._delivered.produce(self._delivered.next() for _ in range(due - sent))
            sent = due


def measure(bench: Bench, name: str) -> None:
    """Take a store's server away for `--outage` seconds while 1,000 writes a second go on coming."""
    kafka, server = (
        KafkaServer(bench.folder / "kafka-outage", steady=True),
        KINDS[name].make(bench.folder / f"outage-{name}"),
    )
    kafka.start()
    try:
        server.start()
        prepare(server)
        where = environment(name, server)
        with Delivered(
            KINDS[name].store,
            kafka.bootstrap,
            f"outage-{name}.",
            bench.folder / "outage-worker",
            through=where,
            directly=where,
            entities=20_000,
        ) as delivered:
            _measure(bench, name, server, delivered)
    finally:
        server.delete()
        kafka.delete()


def _measure(bench: Bench, name: str, server: Server, delivered: Delivered) -> None:
    with _load(delivered) as load:
        memory: list[int] = []
        server.kill()
        until = time.monotonic() + bench.options.outage
        while time.monotonic() < until:
            memory.append(_resident(delivered))
            time.sleep(LOOK_SECONDS)  # between two looks at the memory
        backlog = delivered.lag()
        server.start()
        before = delivered.done()
        delivered.wait_for(lambda: delivered.done() > before, "the store is tried again", PATIENCE_SECONDS)
        first, began = delivered.done(), time.monotonic()
        delivered.wait_for(lambda: delivered.lag() < RATE, "the backlog is drained", PATIENCE_SECONDS)
        drained = (delivered.done() - first) / (time.monotonic() - began)
        full = _full_rate(delivered, load)
    delivered.send(0)
    delivered.settle()
    problems = delivered.problems()
    for problem in problems[:10]:
        print(f"  {problem}")
    held = memory[int(len(memory) * FILLING) :]
    tenth = max(1, len(held) // 10)
    growth = max(held[-tenth:]) / max(held[:tenth])
    bench.note(f"outage {name}", seconds=bench.options.outage, backlog=backlog, drained=drained, full=full)
    bench.setup[f"outage_{name}_mib"] = [round(one / 2**20, 1) for one in (memory[0], held[0], held[-1], max(memory))]
    seconds = f"{bench.options.outage:,.0f} s"
    bench.add(f"{name}: memory at the end of an outage of {seconds}", held[-1] / 2**20, "MiB")
    bench.add(f"{name}: ... / at its beginning", growth, "", MEMORY_BAR, lower_is_better=True)
    bench.add(f"{name}: backlog of the outage", backlog, "writes")
    bench.add(f"{name}: drained afterwards", drained, "writes/s")
    bench.add(f"{name}: drained / full rate", drained / full, "", DRAIN_BAR)
    bench.add(f"{name}: what does not add up", len(problems), "", 0, lower_is_better=True)


def _full_rate(delivered: Delivered, load: _Load) -> float:
    """Return how fast a worker gets through a backlog when the store was never away.

    It is measured right behind the drain and like it: the same load goes on coming, the writes are of the same kind,
    and it begins with the first one that has an end.
    """
    delivered.worker.stop()
    load.more(FULL_RATE_WRITES)
    delivered.wait_for(lambda: delivered.lag() >= FULL_RATE_WRITES, "the backlog is there", PATIENCE_SECONDS)
    before = delivered.done()
    delivered.worker.start()
    delivered.wait_for(lambda: delivered.done() > before, "the worker writes")
    first, began = delivered.done(), time.monotonic()
    delivered.wait_for(lambda: delivered.lag() < RATE, "the backlog is drained", PATIENCE_SECONDS)
    return (delivered.done() - first) / (time.monotonic() - began)


@contextmanager
def _load(delivered: Delivered) -> Generator[_Load]:
    load = _Load(delivered)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def _resident(delivered: Delivered) -> int:
    """Return the worker's resident memory in bytes."""
    status = Path(f"/proc/{delivered.worker.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
