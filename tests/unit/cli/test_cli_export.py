"""`travelos export`: what it prints, where to, and what its exit code says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streams.cli import export
from streams.cli.main import command_line
from streams.persons.export import Export, Item
from streams.settings import Options

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Answer for the stores: one holds something; those named here do not answer."""
    away: dict[str, str] = {}

    def gathered(user: str, options: Options, *, records: bool) -> Export:
        content = {"text": "hello", "user_id": user}
        item = Item(
            store="vector", entity="m:1", source="events", version=7, when=NOON, event_id="e-1", content=content
        )
        return Export(user=user, at=NOON, items=[item], failed=away)

    monkeypatch.setattr(export, "_gathered", gathered)
    monkeypatch.setenv("TRAVELOS_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    return away


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command_line(["export"]), ["export", *arguments])


def test_one_document_is_printed_with_where_each_part_came_from(failed: dict[str, str]) -> None:
    done = run("ann")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["user"] == "ann"
    assert document["items"][0] == {
        "store": "vector",
        "entity": "m:1",
        "source": "events",
        "version": 7,
        "when": "2026-05-01T12:00:00Z",
        "event_id": "e-1",
        "content": {"text": "hello", "user_id": "ann"},
    }


def test_a_file_is_readable_by_its_owner_only_and_never_overwritten(failed: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "ann.json"
    assert run("ann", "--to", str(path)).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert run("bob", "--to", str(path)).exit_code == 2
    assert path.read_bytes() == before


def test_what_was_found_is_printed_when_a_store_does_not_answer(failed: dict[str, str]) -> None:
    failed["graph"] = "it does not answer"
    done = run("ann")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["failed"] == {"graph": "it does not answer"}
    assert "graph: it does not answer" in done.stderr
