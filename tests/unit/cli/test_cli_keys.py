"""`travelos keys`: from the first master key over a rotation to the end of a user's key."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from connectors.keys import SQLiteKeyStore, UserKeys
from connectors.keys.rings import KeyRing
from schemas.sensitive import sealed_text
from streams.cli.keys import app

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAVELOS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TRAVELOS_KEYS_STORE", "sqlite")
    return tmp_path


def run(*arguments: str) -> Result:
    return RUNNER.invoke(app, list(arguments))


def user_keys(folder: Path) -> UserKeys:
    return UserKeys(SQLiteKeyStore(folder / "keys/user-keys.db"), KeyRing(path=folder / "keys/master.keys").read)


def sealed(folder: Path, value: str) -> str:
    keys = user_keys(folder)
    key = keys.get_or_create(["ann"])["ann"]
    assert key is not None
    keys.close()
    return sealed_text(key.seal("email", value, "e1"))


def test_a_rotation_leaves_everything_readable_and_found(folder: Path) -> None:
    assert run("new-master").exit_code == 0
    text, (before,) = sealed(folder, "ann@example.org"), run("index", "email", "Ann@example.org").output.split()
    assert run("new-master").exit_code == 0
    assert run("rotate").output.startswith("1 keys wrapped anew")
    assert run("rotate").output.startswith("0 keys wrapped anew")
    assert run("unseal", "ann", "email", text).output == "ann@example.org\n"
    found = run("index", "email", "ann@example.org").output.split()
    assert len(found) == 2
    assert found[1] == before
    ring = folder / "keys/master.keys"
    ring.write_text(ring.read_text().splitlines()[1] + "\n")
    assert run("unseal", "ann", "email", text).output == "ann@example.org\n"


def test_a_field_whose_key_is_gone_is_told_to_be_erased(folder: Path) -> None:
    run("new-master")
    text = sealed(folder, "ann@example.org")
    keys = user_keys(folder)
    keys.destroy(["ann"])
    keys.close()
    result = run("unseal", "ann", "email", text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "erased" in result.stderr


def test_a_value_of_somebody_else_is_an_error(folder: Path) -> None:
    run("new-master")
    text = sealed(folder, "ann@example.org")
    result = run("unseal", "ann", "phone", text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "another user or field" in result.stderr


def test_a_line_for_a_variable_is_printed_and_nothing_is_written(folder: Path) -> None:
    result = run("new-master", "--print")
    assert re.fullmatch(r"[0-9a-f]{8}:[A-Za-z0-9+/]{43}=\n", result.output)
    assert list(folder.iterdir()) == []


def test_a_ring_in_a_variable_is_not_added_to_a_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    line = run("new-master", "--print").output.strip()
    monkeypatch.setenv("TRAVELOS_KEYS_MASTER_KEYS", line)
    result = run("new-master")
    assert result.exit_code == 2
    assert "--print" in result.stderr
    assert run("index", "email", "a@b").output.startswith(f"index:1:{line.partition(':')[0]}:")


@pytest.mark.parametrize("command", [["rotate"], ["index", "email", "a@b"], ["unseal", "ann", "email", "x"]])
def test_without_a_store_the_option_is_named(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAVELOS_KEYS_STORE", "off")
    result = run(*command)
    assert result.exit_code == 2
    assert "keys.store" in result.stderr


def test_a_store_without_its_database_is_an_error_that_names_the_option(monkeypatch: Any) -> None:
    monkeypatch.setenv("TRAVELOS_KEYS_STORE", "postgres")
    result = run("rotate")
    assert result.exit_code == 1
    assert "`keys.url`" in result.stderr
