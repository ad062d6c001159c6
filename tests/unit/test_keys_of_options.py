"""Users' keys as the options say, and what a worker does about them before it starts."""

from pathlib import Path
from typing import Any

import pytest
import typer
from structlog.testing import capture_logs

from connectors.keys import SQLiteKeyStore, UserKeys
from connectors.sinks.errors import Fatal
from streams.app import build
from streams.cli.worker import prepare_keys
from streams.keys import MASTER_FILE, STORE_FILE, keys_of, ring_of
from streams.settings import Options, load


def options(folder: Path, **keys: Any) -> Options:
    given = {f"keys.{name}": value for name, value in keys.items()}
    return load(environ={}, overrides={"data_dir": str(folder), **given}).options


@pytest.mark.parametrize("store", ["", "off"])
def test_without_a_store_nothing_is_sealed_and_no_file_is_made(tmp_path: Path, store: str) -> None:
    assert keys_of(options(tmp_path, store=store)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_the_data_folder_makes_its_master_key_at_the_first_start_only(tmp_path: Path) -> None:
    chosen = options(tmp_path, store="sqlite")
    with capture_logs() as logs:
        prepare_keys(chosen)
        prepare_keys(chosen)
    assert [one["event"] for one in logs] == ["master_key_made"]
    assert (tmp_path / MASTER_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / STORE_FILE).exists()


async def test_the_worker_that_seals_closes_the_store_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = load(
        environ={"TRAVELOS_KAFKA_BOOTSTRAP": "127.0.0.1:1"},
        overrides={"data_dir": str(tmp_path), "keys.store": "sqlite"},
    ).options
    keys = keys_of(chosen)
    assert keys is not None
    closed: list[UserKeys] = []

    def of(_: Options) -> UserKeys:
        return keys

    monkeypatch.setattr("streams.app.keys_of", of)
    monkeypatch.setattr(keys, "close", lambda: closed.append(keys))
    await build("ingest", chosen).on_shutdown()
    assert closed == [keys]


def test_a_worker_does_not_start_with_a_mistyped_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = options(tmp_path, store="sqlite", master_file=str(tmp_path / "mistyped"))
    with pytest.raises(typer.Exit):
        prepare_keys(chosen)
    assert "keys.master_file" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()
    assert not (tmp_path / MASTER_FILE).exists()


def test_a_worker_that_is_not_told_of_a_store_says_so(tmp_path: Path) -> None:
    with capture_logs() as logs:
        prepare_keys(options(tmp_path))
        prepare_keys(options(tmp_path, store="off"))
    assert [one["event"] for one in logs] == ["sensitive_fields_stay_plain"]


def test_a_worker_starts_while_keys_cannot_be_had_and_events_wait(tmp_path: Path) -> None:
    chosen = options(tmp_path, store="postgres", url="postgresql://nobody@127.0.0.1:1/none")
    with capture_logs() as logs:
        prepare_keys(chosen)
    assert [one["event"] for one in logs] == ["keys_not_available"]


def test_several_machines_do_not_make_a_master_key_each(tmp_path: Path) -> None:
    keys = keys_of(options(tmp_path, store="postgres", url="postgresql://nobody@127.0.0.1:1/none"))
    assert keys is not None
    with pytest.raises(Fatal, match=r"`keys\.url`"):
        keys_of(options(tmp_path, store="postgres"))
    store = SQLiteKeyStore(tmp_path / "some.db")
    store.open()
    with pytest.raises(Fatal, match="is not there"):
        ring_of(options(tmp_path, store="postgres", url="postgresql://x/y")).read(store)
    store.close()


def test_a_master_key_that_everybody_can_read_is_told(tmp_path: Path) -> None:
    chosen = options(tmp_path, store="sqlite")
    prepare_keys(chosen)
    (tmp_path / MASTER_FILE).chmod(0o644)
    with capture_logs() as logs:
        prepare_keys(chosen)
    assert [one["event"] for one in logs] == ["master_keys_readable_by_everybody"]
