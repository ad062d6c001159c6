"""Whoever opens large values closes them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.large_values import LargeValues
from connectors.storage import FolderStorage
from deploy.local.kafka import MemoryKafka
from streams.app import build
from streams.cli.produce import app as produce
from streams.settings import Options, load


class Storage(FolderStorage):
    """A folder that knows whether it is open."""

    is_open = False

    def open(self) -> None:
        super().open()
        self.is_open = True

    def close(self) -> None:
        super().close()
        self.is_open = False


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "values")


async def test_the_worker_that_redeems_claims_closes_what_it_opened(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = LargeValues(storage)

    def of(_: Options) -> LargeValues:
        return values

    monkeypatch.setattr("streams.app.large_values_of", of)
    environ = {"TRAVELOS_DATA_DIR": str(tmp_path), "TRAVELOS_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    app = build("ingest", load(environ=environ).options)
    values.put(b"x", "x/y")
    assert storage.is_open
    await app.on_shutdown()
    assert not storage.is_open


def test_the_command_that_produces_events_closes_what_it_opened(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_open: list[bool] = []

    class Values(LargeValues):
        def close(self) -> None:
            was_open.append(storage.is_open)
            super().close()

    def of(_: Options) -> LargeValues:
        return Values(storage, over_bytes=1_024)

    monkeypatch.setattr("streams.cli.produce.large_values_of", of)
    monkeypatch.chdir(tmp_path)
    event = {
        "type": "message_sent",
        "event_id": "e1",
        "user_id": "u1",
        "occurred_at": "2026-03-01T12:00:00Z",
        "conversation_id": "c1",
        "role": "user",
        "text": "x" * 2_000,
    }
    Path("events.jsonl").write_text(json.dumps(event))
    cluster = MemoryKafka()
    cluster.start()
    try:
        command = ["events", "events.jsonl", "--bootstrap", cluster.bootstrap]
        result = CliRunner().invoke(produce, command, env={"TRAVELOS_LARGE_VALUES_ENABLED": "true"})
    finally:
        cluster.stop()
    assert result.exit_code == 0, result.output
    assert was_open == [True]
    assert not storage.is_open
