"""The processes that are measured: our workers, which tell how far they are, and the peers, which print a rate."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report import ROOT
from bench.runtime.timeline import Point, Sample
from streams.supervisor import RoleProcess

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 120.0
PYTHON = (sys.executable, "-m")
TICKS = os.sysconf("SC_CLK_TCK")


class MeasurementFailed(RuntimeError):  # noqa: N818 - says what happened
    """A process ended or stood still; the message ends with the last lines it wrote."""


class Worker:
    """One of our workers, in a process of its own.

    Args:
        name: of the process and its log.
        module: of bench.runtime_apps.
        arguments: of the module.
        folder: for its log.
    """

    def __init__(self, name: str, module: str, arguments: Mapping[str, object], folder: Path) -> None:
        words = [word for option, value in arguments.items() for word in (f"--{option}", str(value))]
        self._process = RoleProcess(
            name, words, folder=folder, env={}, program=(*PYTHON, f"bench.runtime_apps.{module}")
        )
        self._process.start()

    @property
    def pid(self) -> int | None:
        """Its pid while it runs."""
        return self._process.pid

    def told(self) -> list[dict[str, Any]]:
        """Return what it has told so far."""
        lines = self._process.log_file.read_text(errors="replace").splitlines()
        return [json.loads(line)["bench"] for line in lines if line.startswith('{"bench"') and line.endswith("}}")]

    def samples(self) -> list[Sample]:
        """Return how far it was and when."""
        return [Sample(one["at"], one["done"], one["cpu"], one["runs"]) for one in self.told() if "done" in one]

    def profile(self) -> dict[str, Any] | None:
        """Return where its time went, if it has told."""
        return next((one["profile"] for one in self.told() if "profile" in one), None)

    @property
    def done(self) -> int:
        """How many events it has finished."""
        samples = self.samples()
        return samples[-1].done if samples else 0

    def stop(self) -> None:
        """Stop it in order: what it has finished is committed then."""
        self._process.stop()

    def fail(self, reason: str) -> MeasurementFailed:
        """Return an error with the end of its log."""
        return MeasurementFailed(f"{self._process.name} {reason}:\n{self._process.last_lines()}")


def wait_until(condition: Callable[[], bool], workers: Sequence[Worker], *, patience: float = PATIENCE_SECONDS) -> None:
    """Return once a condition holds.

    Raises:
        MeasurementFailed: a worker ended, or it took too long.
    """
    deadline = time.monotonic() + patience
    while not condition():
        for worker in workers:
            if worker.pid is None:
                raise worker.fail("ended")
            if time.monotonic() > deadline:
                raise worker.fail(f"was not done after {patience:.0f} s")
        time.sleep(LOOK_SECONDS)  # between two looks; the condition decides


class CpuMeter:
    """Reads the CPU seconds of a process from time to time, in a thread."""

    def __init__(self, pid: int) -> None:
        self.points: list[Point] = []
        self._file = Path(f"/proc/{pid}/stat")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu-meter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            user, system = self._file.read_text().rpartition(")")[2].split()[11:13]
            self.points.append(Point(time.monotonic(), (int(user) + int(system)) / TICKS))


def rate_of(command: Sequence[str | Path], *, folder: Path, env: Mapping[str, str] | None = None) -> float:
    """Run a peer to its end and return the rate that it prints.

    Raises:
        MeasurementFailed: it printed none before it ended, or was killed because it took too long.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    found = re.search(r"([\d.]+) events/s", said)
    if found is None:
        raise MeasurementFailed(f"{' '.join(words)} printed no rate:\n{said[-2000:]}")
    return float(found.group(1))
