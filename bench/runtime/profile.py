"""Shows where the time of a worker went, of what `bench.runtime_apps.sampler` saw."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

TOLD = 30
LEAST_SHARE = 0.02


def show(name: str, profile: Mapping[str, Any], events: int) -> None:
    """Print microseconds of CPU time for each event, by thread and stage, and the most expensive places."""
    console = Console()
    cpu: Mapping[str, float] = profile["cpu"]
    threads = Table(title=f"{name}: CPU time by thread, of an event", title_justify="left")
    threads.add_column("thread")
    threads.add_column("us", justify="right")
    shown = [thread for thread in cpu if thread != "process" and cpu[thread] > LEAST_SHARE * cpu["process"]]
    for thread in shown:
        threads.add_row(thread, f"{cpu[thread] / events * 1e6:.2f}")
    native = cpu["process"] - sum(seconds for thread, seconds in cpu.items() if thread != "process")
    threads.add_row("librdkafka, RocksDB", f"{native / events * 1e6:.2f}")
    console.print(threads)
    for thread in shown:
        if thread in profile["stages"]:
            _show_thread(console, thread, profile, cpu[thread] / events * 1e6)


def _show_thread(console: Console, name: str, profile: Mapping[str, Any], microseconds: float) -> None:
    stages: dict[str, int] = dict(profile["stages"][name])
    waiting = stages.pop("waiting", 0)
    busy = sum(stages.values())
    if not busy:
        return
    title = f"{name}: at work in {busy / (busy + waiting):.0%} of the samples"
    for heading, counts in (("stage", stages), ("place", dict(list(profile["functions"][name].items())[:TOLD]))):
        table = Table(title=title, title_justify="left")
        for column in (heading, "share", "us of an event"):
            table.add_column(column, justify="left" if column == heading else "right")
        for what, samples in sorted(counts.items(), key=lambda item: -item[1]):
            table.add_row(what, f"{samples / busy:.1%}", f"{microseconds * samples / busy:.2f}")
        console.print(table)
