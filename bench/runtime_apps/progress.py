# pyright: reportUnknownMemberType=false
"""Tells how far a worker is, in lines on standard output that `bench.runtime.workers` reads."""

import asyncio
import json
import time
from collections.abc import Collection
from typing import Any

import faust
import mode.loop
from prometheus_client.registry import RestrictedRegistry

from streams.log import configure_logging
from streams.runtime.app import StreamApp
from streams.runtime.metrics import BATCH_SIZE

EVERY_SECONDS = 0.02


def report(app: StreamApp, agents: Collection[str]) -> None:
    """Have a worker tell how many records these agents have finished, from when its tables are restored."""
    records, runs = f"{BATCH_SIZE.full_name}_sum", f"{BATCH_SIZE.full_name}_count"
    registry = RestrictedRegistry([records, runs], app.metrics.registry)

    def total(name: str) -> int:
        samples = (one for metric in registry.collect() for one in metric.samples)
        return int(sum(one.value for one in samples if one.name == name and one.labels["agent"] in agents))

    async def tell_all() -> None:
        told = -1
        while True:
            done = total(records)
            if done != told:
                tell(at=time.monotonic(), done=done, cpu=time.process_time(), runs=total(runs))
                told = done
            await asyncio.sleep(EVERY_SECONDS)  # between two looks

    app.background(tell_all)


def run(app: StreamApp) -> None:
    """Run a worker until it is told to stop."""
    configure_logging("info", "json")
    mode.loop.use("uvloop")
    worker = faust.Worker(app, quiet=True, redirect_stdouts=False, override_logging=False)
    worker.spinner = None  # it writes escape sequences into logs
    worker.execute_from_commandline()


def tell(**values: Any) -> None:
    """Write one line."""
    print(json.dumps({"bench": values}), flush=True)
