"""The whole pass: decode, check, dedupe, enrich, embed, route, publish, for typed events of a thousand travellers."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.report import ROOT
from bench.runtime.broker import Broker
from bench.runtime.mix import Mix, publish_events, publish_reference
from bench.runtime.timeline import Span, grown, span
from bench.runtime.workers import CpuMeter, MeasurementFailed, Worker, rate_of, wait_until
from connectors.kafka.admin import ensure_topics
from schemas.topics import Catalogue
from schemas.writes import STORES

PLAIN_SHARE = 60  # plain Faust does so many times fewer events; its rate does not depend on how many


class Pass(Struct, frozen=True):
    """One measured pass.

    Attributes:
        span: what the workers did while all of them had work.
        broker_cpu: seconds of the broker meanwhile.
        outputs: records on the topics of writes, for each event.
        profile: where the first worker's time went, if that was asked for.
    """

    span: Span
    broker_cpu: float
    outputs: float
    profile: Mapping[str, Any] | None


def fill(broker: Broker, prefix: str, given: Mix) -> Catalogue:
    """Make the topics of an installation, and its input."""
    catalogue = Catalogue(prefix=prefix)
    ensure_topics(broker.connection, catalogue)
    publish_reference(broker, catalogue, given)
    publish_events(broker, catalogue, given)
    return catalogue


def ours(
    broker: Broker,
    broker_pid: int,
    folder: Path,
    catalogue: Catalogue,
    events: int,
    *,
    workers: int = 1,
    profile: bool = False,
) -> Pass:
    """Return what our workers did; every event is committed and its outputs are acknowledged when this returns.

    Raises:
        MeasurementFailed: something was left out, or set aside.
    """
    home = folder / catalogue.prefix
    arguments = {"bootstrap": broker.bootstrap, "prefix": catalogue.prefix, "folder": home, "profile": int(profile)}
    meter = CpuMeter(broker_pid)
    running = [Worker(f"ingest-{number}", "ingest", arguments, home) for number in range(workers)]
    try:
        wait_until(lambda: sum(worker.done for worker in running) >= events, running)
    finally:
        for worker in running:
            worker.stop()
        meter.stop()
    found = span([worker.samples() for worker in running])
    profiled = running[0].profile()
    outputs = _check(broker, catalogue)
    shutil.rmtree(home)
    return Pass(found, grown(meter.points, found.start, found.end), outputs / events, profiled)


def plain_faust(broker: Broker, folder: Path, catalogue: Catalogue, events: int) -> float:
    """Return the rate of Faust as it is, on the same input."""
    prefix = f"plain-{catalogue.prefix}"
    outputs = Catalogue(prefix=prefix)
    for store in STORES:
        broker.create(outputs.writes(store).name)
    home = folder / prefix
    home.mkdir()
    command = [
        sys.executable,
        "-m",
        "faust",
        "-A",
        "bench.peers.plain_faust_pass",
        "worker",
        "-l",
        "info",
        "--without-web",
    ]
    env = {
        "PYTHONPATH": str(ROOT),
        "PREFIX": catalogue.prefix,
        "OUTPUT": prefix,
        "COUNT": str(max(1, events // PLAIN_SHARE)),
        "BROKER": f"kafka://{broker.bootstrap}",
    }
    try:
        return rate_of(command, folder=home, env=env)
    finally:
        broker.delete(prefix)
        shutil.rmtree(home)


def _check(broker: Broker, catalogue: Catalogue) -> int:
    """Return how many writes there are, once it is sure that nothing was left out."""
    inputs = [catalogue.user_events.name, catalogue.gps_events.name, catalogue.urgent_events.name]
    ends = broker.ends(inputs)
    committed = broker.committed(f"{catalogue.prefix}travelos-ingest")
    behind = {home: end for home, end in ends.items() if end and committed.get(home) != end}
    if behind:
        raise MeasurementFailed(f"not everything was committed: {behind}")
    aside = sum(broker.ends([catalogue.waiting_events.name, catalogue.dead_letters.name]).values())
    if aside:
        raise MeasurementFailed(f"{aside} events waited for a place or were dead-lettered")
    return sum(broker.ends(topic.name for topic, _, _ in catalogue.all_writes()).values())
