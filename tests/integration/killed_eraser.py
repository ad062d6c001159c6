"""A worker of the role erasure that ends as by kill -9 when it has done one step, before that is recorded anywhere."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from schemas.erasures import Erasure
from streams.erasure.machine import Came
from streams.erasure.worker import ErasureWorker
from tests.unit.erasure.plane import Plane


class Killed:
    """Does what an eraser does, and delivers what stores are asked for."""

    def __init__(self, plane: Plane, at: str, stop: threading.Event) -> None:
        self._plane, self._eraser, self._at, self._stop = plane, plane.eraser(), at, stop

    def step(self, erasure: Erasure) -> Came:
        if erasure.step == "ask":
            self._plane.deliver()
        came = self._eraser.step(erasure)
        if erasure.step == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        if erasure.step == "release":
            self._stop.set()
        return came

    def send(self, records: Any) -> None:
        self._eraser.send(records)

    def close(self) -> None:
        self._eraser.close()


def main(bootstrap: str, folder: Path, group: str, at: str) -> None:
    """Work until the erasure is over, or the step is done that this is killed at; empty: none."""
    stop = threading.Event()
    plane = Plane(bootstrap, folder, new=False)
    eraser: Any = Killed(plane, at, stop)
    ErasureWorker(plane.connection, plane.catalogue, group, eraser).run(stop)
