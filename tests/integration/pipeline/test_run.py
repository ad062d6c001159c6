"""`travelos run`: the same pipeline for good, in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.sinks.embedded import EmbeddedReaders
from connectors.sinks.errors import SinkError

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

PATIENCE_SECONDS = 90.0
STOP_SECONDS = 25.0


class Running:
    """`travelos run` with everything embedded, in a folder."""

    def __init__(self, folder: Path, kafka: str) -> None:
        self.folder = folder
        self._kafka = kafka
        self.log = folder.parent / "run.log"
        self.env_file = folder / "travelos.env"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "streams.cli", "run", "--kafka", self._kafka]
        environment = {**os.environ, "TRAVELOS_DATA_DIR": str(self.folder)}
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(STOP_SECONDS)

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if not self.runs or time.monotonic() > deadline:
                pytest.fail(f"{what}: {self.log.read_text()[-3000:]}")
            time.sleep(0.2)  # between two looks

    def found(self, text: str) -> int:
        """Return how many documents of the search store have this name."""
        try:
            with EmbeddedReaders(self.folder / "stores", "").search() as reader:
                return len(reader.query("SELECT 1 FROM documents WHERE name = ?", (text,)))
        except SinkError:
            return 0  # not made yet

    def execute(self, statement: str) -> None:
        variables = self.env_file.read_text()
        (dsn,) = re.findall(r"^export TRAVELOS_SOURCE_DSN=(\S+)$", variables, re.MULTILINE)
        with psycopg.connect(dsn) as connection:
            connection.execute(statement)  # pyright: ignore[reportArgumentType,reportCallIssue]

    def executed(self, statement: str) -> bool:
        """Whether a statement could be executed."""
        try:
            self.execute(statement)
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    made = Running(tmp_path / "data", request.param)
    made.start()
    yield made
    if made.runs:
        made.stop(signal.SIGTERM)


# Kafka in memory forgets where change capture was: a row that is deleted while nothing runs is not noticed.
@pytest.mark.parametrize("running", ["real"], indirect=True)
def test_it_follows_the_tables_until_it_is_told_to_stop_and_goes_on_from_there(
    running: Running, left_running: Callable[[Path], list[str]]
) -> None:
    running.wait_for(lambda: running.found("curry garden"), "the shipped places arrive")
    running.execute("INSERT INTO places (id, name, kind) VALUES ('new-1', 'Lighthouse', 'attraction')")
    running.wait_for(lambda: running.found("Lighthouse"), "an insert arrives")
    assert running.stop(signal.SIGINT) == 0
    assert left_running(running.folder) == []

    running.start()
    running.wait_for(running.env_file.exists, "it runs again")
    running.execute("DELETE FROM places WHERE id = 'new-1'")
    running.wait_for(lambda: not running.found("Lighthouse"), "a delete arrives")
    assert running.stop(signal.SIGTERM) == 0
    assert left_running(running.folder) == []


@pytest.mark.parametrize("running", ["real"], indirect=True)
def test_servers_that_are_killed_are_started_again(running: Running) -> None:
    running.wait_for(lambda: running.found("curry garden"), "the shipped places arrive")
    for server in ("kafka", "postgres"):
        os.kill(int((running.folder / server / f"{server}.pid").read_text().split()[0]), signal.SIGKILL)
    running.wait_for(lambda: running.log.read_text().count("server_ended") == 2, "both are missed")
    running.wait_for(
        lambda: running.executed("INSERT INTO places (id, name, kind) VALUES ('new-3', 'Watchtower', 'attraction')"),
        "Postgres is back",
    )
    running.wait_for(lambda: running.found("Watchtower"), "an insert arrives")
    assert running.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("running", ["memory"], indirect=True)
def test_a_role_that_is_killed_is_started_again(running: Running) -> None:
    running.wait_for(lambda: running.found("curry garden"), "the shipped places arrive")
    for role in ("cdc", "ingest", "deliver"):
        pid = int((running.folder / "run" / f"{role}.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
    running.execute("INSERT INTO places (id, name, kind) VALUES ('new-2', 'Windmill', 'attraction')")
    running.wait_for(lambda: running.found("Windmill"), "an insert arrives after all roles were killed")
    assert running.stop(signal.SIGTERM) == 0
