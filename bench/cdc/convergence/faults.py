"""What is done to the source, to Kafka and to Postgres while the workload runs."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import psycopg

from bench.cdc.workload.steps import SESSIONS, Settle, Step
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerProcess
from streams.supervisor import TRAVELOS


class KilledSource:
    """`travelos cdc run`, killed with SIGKILL every few seconds and started again, until it is told to stop.

    Attributes:
        kills: how often it was killed.
        ends: what the log said when it ended by itself, which it never should.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], seed: int, seconds: tuple[float, float]) -> None:
        self.kills = 0
        self.ends: list[str] = []
        self._process = ServerProcess("source", folder)
        self._environment = environment
        self._draw = Random(seed)
        self._seconds = seconds
        self._calm = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def start(self) -> None:
        """Start it."""
        self._spawn()

    def begin_to_kill(self) -> None:
        """Kill it every few seconds from now on."""
        self._thread.start()

    def calm_down(self) -> None:
        """Kill it no more; it runs from now on."""
        self._calm.set()
        if self._thread.ident is not None:
            self._thread.join()

    def stop(self) -> None:
        """End it in order."""
        self.calm_down()
        self._process.stop()

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self._process.pid is not None

    def last_lines(self) -> str:
        """Return the end of its log."""
        return self._process.last_lines()

    def _spawn(self) -> None:
        self._process.spawn([*TRAVELOS, "cdc", "run", "--json"], env=self._environment, cwd=Path.cwd())

    def _run(self) -> None:
        while not self._calm.wait(self._draw.uniform(*self._seconds)):
            pid = self._process.pid
            if pid is None:
                self.ends.append(self._process.last_lines(5))
            else:
                os.kill(pid, signal.SIGKILL)
                self.kills += 1
            self._process.stop()  # waits until it is gone
            self._spawn()


class KilledKafka:
    """A broker that is killed every now and then and started again at once, until the block ends."""

    def __init__(self, kafka: KafkaServer, seed: int, seconds: tuple[float, float]) -> None:
        self.restarts = 0
        self._kafka = kafka
        self._draw = Random(seed)
        self._seconds = seconds
        self._calm = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broker-killer", daemon=True)

    def __enter__(self) -> "KilledKafka":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._calm.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._calm.wait(self._draw.uniform(*self._seconds)):
            if self._draw.random() < 0.5:
                self._kafka.kill()
            else:
                self._kafka.stop()
            self._kafka.start()
            self.restarts += 1


def run_with_restarts(
    postgres: PostgresServer, dsn: str, steps: Iterable[Step | Settle], due: Callable[[int], bool]
) -> int:
    """Run the steps of a workload, and restart the server in immediate mode in between; return how often.

    What a session has not committed is gone then, so the rest of such a transaction is left out.

    Args:
        postgres: the server.
        dsn: of the database.
        steps: of a workload.
        due: whether to restart the server before a step, by its number.
    """
    restarts = 0
    with ExitStack() as stack:
        sessions = _connect(stack, dsn)
        in_transaction = [False] * SESSIONS
        lost = [False] * SESSIONS
        for number, step in enumerate(steps):
            if isinstance(step, Settle):
                continue
            if due(number):
                postgres.kill()
                postgres.start()
                stack.close()
                sessions = _connect(stack, dsn)
                lost = [was or now for was, now in zip(lost, in_transaction, strict=True)]
                restarts += 1
            one = step.session
            ends = step.sql in ("COMMIT", "ROLLBACK")
            if not lost[one]:
                sessions[one].execute(step.sql.encode())
            in_transaction[one] = not ends and (in_transaction[one] or step.sql == "BEGIN")
            lost[one] = lost[one] and not ends
    return restarts


def _connect(stack: ExitStack, dsn: str) -> list[psycopg.Connection]:
    return [stack.enter_context(closing(psycopg.connect(dsn, autocommit=True))) for _ in range(SESSIONS)]
