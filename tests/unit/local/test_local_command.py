"""The command `travelos local`, with servers that take no time."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from typer.testing import CliRunner, Result

from deploy.local.process import start_time
from deploy.local.server import Server
from deploy.local.servers import KINDS as REAL_KINDS
from deploy.local.servers import LocalServers
from schemas.writes import STORES, StoreName
from streams.cli import local
from streams.settings import all_options, load
from streams.settings.kinds import kind_options
from streams.settings.load import variable_of


@pytest.fixture
def folder(servers: LocalServers, monkeypatch: pytest.MonkeyPatch) -> Path:
    kinds = servers._kinds  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(local, "KINDS", kinds)
    monkeypatch.setattr(local, "LocalServers", partial(LocalServers, kinds=kinds))
    monkeypatch.setattr(local, "variables", variables_of_listener)
    return servers.folder


def variables_of_listener(name: str, server: Server) -> dict[str, str]:
    return {f"TRAVELOS_{name.upper()}": server.url}


def run(*words: str) -> Result:
    return CliRunner().invoke(local.app, words)


def test_up_waits_prints_addresses_and_masks_secrets(folder: Path, servers: LocalServers) -> None:
    result = run("up", "listener", "second", "--folder", str(folder))
    assert result.exit_code == 0, result.output
    for name in ("listener", "second"):
        server = servers.server(name)
        assert server.answers()
        assert server.address in result.output
        assert server.secret() not in result.output
        assert f"TRAVELOS_{name.upper()}=tcp://user:********@" in result.output


def test_the_file_of_variables_is_private_and_can_be_read_by_a_shell(folder: Path, servers: LocalServers) -> None:
    run("up", "listener", "--folder", str(folder))
    file = folder / "listener.env"
    assert file.stat().st_mode & 0o777 == 0o600
    script = f". {shlex.quote(str(file))}; printenv TRAVELOS_LISTENER"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout.strip() == servers.server("listener").url


def test_up_of_a_running_server_says_so(folder: Path) -> None:
    run("up", "listener", "--folder", str(folder))
    result = run("up", "listener", "--folder", str(folder))
    assert result.exit_code == 0
    assert "already running" in result.output


def test_one_that_fails_is_reported_with_its_fix_and_the_others_stay_up(folder: Path, servers: LocalServers) -> None:
    result = run("up", "broken", "listener", "--folder", str(folder))
    assert result.exit_code == 1
    assert "broken needs `mvn`" in result.output
    assert servers.status("listener").state == "running"


def test_down_without_names_stops_all(folder: Path, servers: LocalServers) -> None:
    run("up", "listener", "second", "--folder", str(folder))
    result = run("down", "--folder", str(folder))
    assert result.exit_code == 0
    assert result.output.count("stopped") == 2
    assert [servers.status(name).state for name in ("listener", "second")] == ["stopped", "stopped"]
    assert not list(folder.glob("*.env"))


def test_down_of_one_leaves_the_others(folder: Path, servers: LocalServers) -> None:
    run("up", "listener", "second", "--folder", str(folder))
    run("down", "second", "--folder", str(folder))
    assert servers.status("listener").state == "running"


def test_status_is_one_json_document_and_its_exit_code_says_whether_all_is_well(
    folder: Path, servers: LocalServers
) -> None:
    assert json.loads(run("status", "--json", "--folder", str(folder)).output) == []
    run("up", "listener", "--folder", str(folder))
    result = run("status", "--json", "--folder", str(folder))
    (row,) = json.loads(result.output)
    assert (row["name"], row["state"], row["address"]) == ("listener", "running", servers.server("listener").address)
    assert result.exit_code == 0
    server = servers.server("listener")
    pid_file = server.process.pid_file.read_text()
    server.kill()
    server.process.pid_file.write_text(pid_file)
    assert run("status", "--folder", str(folder)).exit_code == 1


def test_status_of_an_empty_folder_says_that_nothing_was_started(folder: Path) -> None:
    result = run("status", "--folder", str(folder))
    assert result.exit_code == 0
    assert "no server was ever started" in result.output


def test_an_unknown_name_is_a_usage_error_with_a_suggestion(folder: Path) -> None:
    for command in ("up", "down", "install"):
        words = [command, "listner"] + (["--folder", str(folder)] if command != "install" else [])
        result = run(*words)
        assert result.exit_code == 2
        assert "did you mean listener?" in result.output


def test_install_prints_where_the_programs_are(folder: Path) -> None:
    result = run("install", "listener")
    assert result.exit_code == 0
    assert "bin" in result.output


def test_the_variables_of_every_server_are_options_that_exist_or_an_address_for_its_own_client(tmp_path: Path) -> None:
    known = {option.variable: option.secret for option in all_options()}
    for name, kind in REAL_KINDS.items():
        server = kind(tmp_path / name, port=1)
        given = dict(local.variables(name, server))
        address = given.pop(f"{name.upper()}_URL", None)
        assert address in (None, server.url)
        options = load(environ=given).options  # raises when one is unknown, or not what the kind takes
        secrets = known | {variable_of(one.name): one.option.secret for one in kind_options(options.stores)}
        for variable, value in given.items():
            secret = server.masked(value) != value
            assert not secret or secrets[variable], f"{variable} holds a secret and would be printed"


def test_the_variables_of_a_server_that_can_be_a_store_make_it_that_store(tmp_path: Path) -> None:
    stores = {"neo4j": "graph", "elasticsearch": "search", "influxdb": "timeseries", "redis": "cache", "s3": "objects"}
    for name, store in stores.items():
        server = REAL_KINDS[name](tmp_path / name, port=1)
        given = {one: value for one, value in local.variables(name, server).items() if one.startswith("TRAVELOS_")}
        options = load(environ=given).options
        assert options.stores.of(cast(StoreName, store)).kind == name
        assert [one for one in STORES if options.stores.of(one).kind != "embedded"] == [store]


def test_ctrl_c_stops_what_was_not_ready_yet(servers: LocalServers) -> None:
    server = servers.server("listener")
    server.folder.mkdir(parents=True)
    (server.folder / "behaviour").write_text("hang")
    script = (
        "import sys; from functools import partial\n"
        "sys.path.insert(0, 'tests/unit/local')\n"
        "from conftest import KINDS\n"
        "from deploy.local.servers import LocalServers\n"
        "from streams.cli import local\n"
        "local.KINDS = KINDS; local.LocalServers = partial(LocalServers, kinds=KINDS)\n"
        f"local.app(['up', 'listener', '--folder', {str(servers.folder)!r}])"
    )
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment, stderr=subprocess.PIPE) as up:
        deadline = time.monotonic() + 20
        while server.process.pid is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pid = server.process.pid
        assert pid is not None
        up.send_signal(signal.SIGINT)
        _, printed = up.communicate(timeout=20)
    assert up.returncode == 130
    assert b"interrupted" in printed
    assert b"Traceback" not in printed
    assert start_time(pid) is None
