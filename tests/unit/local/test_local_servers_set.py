"""The servers of one folder, across objects and processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.process import ServerFailed, start_time
from deploy.local.server import MissingDriver, Server
from deploy.local.servers import KINDS, LocalServers


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def again(servers: LocalServers) -> LocalServers:
    """The same folder as another process sees it."""
    return LocalServers(servers.folder, servers._kinds)  # pyright: ignore[reportPrivateUsage]


def test_up_returns_when_it_answers_and_says_when_it_did_already(servers: LocalServers) -> None:
    assert servers.up("listener") is True
    assert servers.server("listener").answers()
    pid = servers.status("listener").pid
    assert again(servers).up("listener") is False
    assert again(servers).status("listener").pid == pid


def test_down_stops_what_another_process_started_and_says_whether_it_ran(servers: LocalServers) -> None:
    servers.up("listener")
    later = again(servers)
    assert later.down("listener") is True
    assert later.down("listener") is False
    assert later.status("listener").state == "stopped"
    assert not later.server("listener").answers()


def test_down_of_a_server_that_was_never_started_does_nothing(servers: LocalServers) -> None:
    assert servers.down("listener") is False
    assert list(servers.started()) == []


def test_data_are_deleted_only_when_asked_for_and_only_of_the_named_server(servers: LocalServers) -> None:
    for name in ("listener", "second"):
        servers.up(name)
    servers.down("listener")
    assert servers.server("listener").folder.exists()
    assert servers.down("listener", delete_data=True) is False
    assert not servers.server("listener").folder.exists()
    assert list(servers.started()) == ["second"]
    assert servers.status("second").state == "running"


def test_status_tells_a_crash_from_a_stop(servers: LocalServers) -> None:
    servers.up("listener")
    status = again(servers).status("listener")
    assert status.state == "running"
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: servers.server("listener").process.pid is None)
    assert again(servers).status("listener").state == "died"
    assert servers.up("listener") is True


def test_status_tells_that_a_running_server_does_not_answer(servers: LocalServers) -> None:
    servers.up("listener")
    # Asked at a port where nobody listens, while the process lives.
    (servers.folder / "listener.json").write_text('{"port": 1, "started_at": ""}')
    assert servers.status("listener").state == "not answering"


def test_a_crash_at_start_leaves_nothing_running_and_shows_the_log(servers: LocalServers) -> None:
    folder = servers.server("listener").folder
    folder.mkdir(parents=True)
    (folder / "behaviour").write_text("crash")
    with pytest.raises(ServerFailed, match=r"(?s)exit code 1.*cannot read the configuration"):
        servers.up("listener")
    assert servers.status("listener").state == "stopped"


def test_a_server_that_does_not_answer_in_time_is_not_left_running(servers: LocalServers) -> None:
    server = servers.server("listener")
    server.folder.mkdir(parents=True)
    (server.folder / "behaviour").write_text("hang")
    with pytest.raises(ServerFailed, match="did not answer within"):
        server.start(timeout=0.2)
    assert server.process.pid is None


def test_a_taken_port_is_an_error_before_anything_starts(servers: LocalServers) -> None:
    server = servers.server("listener")
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(ServerFailed, match=f"127.0.0.1:{server.port}: another program does.*--port-offset"):
            servers.up("listener")
        assert not server.process.log_file.exists()


def test_two_folders_run_side_by_side_with_other_ports_and_do_not_touch_each_other(
    servers: LocalServers, tmp_path: Path
) -> None:
    other = LocalServers(tmp_path / "other", servers._kinds)  # pyright: ignore[reportPrivateUsage]
    servers.up("listener")
    with pytest.raises(ServerFailed, match="another program"):
        other.up("listener")
    other.up("listener", port_offset=1)
    try:
        assert servers.down("listener") is True
        assert other.status("listener").state == "running"
    finally:
        other.down("listener")


def test_the_ports_of_the_last_start_are_kept_until_others_are_asked_for(servers: LocalServers) -> None:
    servers.up("listener", port_offset=2)
    shifted = servers.server("listener").port
    servers.down("listener")
    servers.up("listener")
    assert again(servers).server("listener").port == shifted
    with pytest.raises(ServerFailed, match=f"runs on port {shifted} already; stop it before"):
        servers.up("listener", port_offset=0)


def test_what_cannot_be_installed_says_why(servers: LocalServers) -> None:
    with pytest.raises(ServerFailed, match="needs `mvn`"):
        servers.up("broken")


def test_a_missing_client_names_the_extra_before_anything_is_built() -> None:
    class Undriven(KINDS["neo4j"]):  # pyright: ignore[reportUntypedBaseClass, reportGeneralTypeIssues]
        driver = "no_such_module"

    with pytest.raises(MissingDriver, match=r"pip install 'travelos-streams\[neo4j\]'"):
        Undriven.require_driver()
    assert issubclass(MissingDriver, ImportError)


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(servers: LocalServers) -> None:
    server = servers.server("listener")
    secret = server.secret()
    assert len(secret) == 48
    assert again(servers).server("listener").secret() == secret
    assert (server.folder / "password").stat().st_mode & 0o777 == 0o600
    assert server.masked(server.url) == f"tcp://user:********@{server.address}"


def test_a_server_whose_starter_was_killed_meanwhile_can_be_taken_down(servers: LocalServers) -> None:
    folder = servers.server("listener").folder
    folder.mkdir(parents=True)
    (folder / "behaviour").write_text("hang")
    script = (
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, 'tests/unit/local')\n"
        "from conftest import KINDS\n"
        "from deploy.local.servers import LocalServers\n"
        f"LocalServers(Path({str(servers.folder)!r}), KINDS).up('listener')"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as up:
        process = servers.server("listener").process
        until(lambda: process.pid is not None)
        up.kill()
    pid = process.pid
    assert pid is not None
    assert servers.status("listener").state == "not answering"
    assert servers.down("listener") is True  # the dead one's lock is no obstacle
    assert start_time(pid) is None


def test_every_server_has_a_port_of_its_own_below_the_ephemeral_ones() -> None:
    ports = [kind.default_port for kind in KINDS.values()]
    assert len(set(ports)) == len(ports)
    assert all(1024 < port < 32768 for port in ports)


def test_servers_are_made_without_any_input_or_output(tmp_path: Path) -> None:
    made: list[Server] = [kind(tmp_path / name, port=1) for name, kind in KINDS.items()]
    assert all("127.0.0.1:1" in server.address for server in made)
    assert list(tmp_path.iterdir()) == []
