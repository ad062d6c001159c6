"""Rows a second of the snapshot and of the stream, ours and Debezium's, each measured in the same way."""

import os
import signal
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bench.cdc.database import Database
from bench.cdc.ours import cpu_seconds
from bench.runtime.timeline import Sample
from bench.runtime.workers import MeasurementFailed

PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.02


class Process(Protocol):
    """A process with a log."""

    @property
    def pid(self) -> int | None: ...

    def last_lines(self) -> str: ...


class Reader(Protocol):
    """Who reads the table: our source, or the peer."""

    @property
    def process(self) -> Process: ...

    @property
    def done(self) -> int: ...

    def samples(self) -> Sequence[Sample]: ...


class Measured(NamedTuple):
    """What a reader did: rows, seconds and its CPU seconds."""

    rows: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds for a million rows."""
        return self.cpu / self.rows * 1_000_000


def wait_for(reader: Reader, count: int, *, patience: float = PATIENCE_SECONDS) -> None:
    """Return once a reader has done so many rows.

    Raises:
        MeasurementFailed: it ended, or took too long.
    """
    deadline = time.monotonic() + patience
    while reader.done < count:
        if reader.process.pid is None or time.monotonic() > deadline:
            raise MeasurementFailed(f"stood still at {reader.done:,} of {count:,} rows:\n{reader.process.last_lines()}")
        time.sleep(LOOK_SECONDS)  # between two looks; the condition decides


def snapshot(reader: Reader, rows: int) -> Measured:
    """Return how fast a reader that was just started took its snapshot: from its first rows to its last one."""
    wait_for(reader, rows)
    timeline = reader.samples()
    first = next(one for one in timeline if one.done > 0)
    last = next(one for one in timeline if one.done >= rows)
    return Measured(rows - first.done, last.at - first.at, last.cpu - first.cpu)


def stream(reader: Reader, database: Database, *, warm_up: int, rows: int, transaction: int) -> Measured:
    """Return how fast a reader works off what was written while it was stopped (SIGSTOP), from then to its last row.

    It streams already and has seen `warm_up` rows, so no start is measured and a JVM has compiled what it runs.
    """
    database.insert(1, warm_up, transaction=transaction)
    wait_for(reader, warm_up)
    pid = reader.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        database.insert(warm_up + 1, warm_up + rows, transaction=transaction)
        cpu = cpu_seconds(pid)
    finally:
        began = time.monotonic()
        os.kill(pid, signal.SIGCONT)
    wait_for(reader, warm_up + rows)
    last = next(one for one in reader.samples() if one.done >= warm_up + rows)
    return Measured(rows, last.at - began, last.cpu - cpu)
