"""Faust stays Faust: its own command line runs the same apps."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.events import FriendAdded

pytestmark = pytest.mark.integration


def test_fausts_own_worker_command_runs_a_role(pipeline: Any) -> None:
    command = [sys.executable, "-m", "faust", "-A", "streams.app", "worker", "--without-web", "-l", "info"]
    environment = {**os.environ, **pipeline.environment, "TRAVELOS_ROLE": "ingest"}
    log = pipeline.options.data_dir / "faust.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        worker = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        pipeline.start("deliver")
        pipeline.publish([FriendAdded(event_id="f1", user_id="a", friend_id="b", occurred_at=datetime.now(UTC))])
        pipeline.settle()
        with pipeline.readers().graph() as reader:
            assert [row["entity"] for row in reader.query("SELECT entity FROM relations")] == ["FRIEND:a:b"]
    finally:
        worker.terminate()
        assert worker.wait(20) == 0, log.read_text()[-2000:]


def test_fausts_own_commands_know_the_agents(pipeline: Any) -> None:
    command = [sys.executable, "-m", "faust", "-A", "streams.app", "agents"]
    environment = {**os.environ, **pipeline.environment, "TRAVELOS_ROLE": "deliver", "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "graph-urgent" in done.stdout
