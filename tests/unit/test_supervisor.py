"""Roles as processes: small Python programs stand for the roles, and the clock is ours."""

import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from streams.live_probe import LiveProbe
from streams.roles import ROLES, pipeline, probe_of, with_ports
from streams.settings import load
from streams.supervisor import (
    CALM_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PROBE_SECONDS,
    STARTING_SECONDS,
    RoleProcess,
    Supervisor,
)

PATIENCE_SECONDS = 10.0
ENDS = "import os; print('ended', os.environ['GREETING'])"
STAYS = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    "print('ready', flush=True); signal.pause()"
)


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.005)  # between two looks; the condition above decides


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., RoleProcess]]:
    made: list[RoleProcess] = []

    def role(name: str, program: str, is_live: Callable[[], bool] | None = None) -> RoleProcess:
        env, python = {"GREETING": "hello"}, (sys.executable, "-S", "-c")
        made.append(RoleProcess(name, [program], folder=tmp_path, env=env, now=clock, program=python, is_live=is_live))
        return made[-1]

    yield role
    for one in made:
        one.stop()


def ended(role: RoleProcess) -> bool:
    return role.pid is None


def test_a_role_that_ends_is_started_again_each_time_after_a_longer_pause(
    make: Callable[..., RoleProcess], clock: Clock
) -> None:
    role = make("short", ENDS)
    role.start()
    pauses: list[float] = []
    for restarts in range(8):
        wait_for(lambda: ended(role))
        assert role.restarts == restarts
        role.check()  # sees the end
        began = clock.now
        while role.restarts == restarts:
            clock.now += 0.25
            role.check()
        pauses.append(clock.now - began)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, LONGEST_PAUSE_SECONDS]


def test_a_role_that_ran_for_a_while_starts_again_with_the_first_pause(
    make: Callable[..., RoleProcess], clock: Clock
) -> None:
    role = make("short", ENDS)
    role.start()
    for _ in range(3):
        wait_for(lambda: ended(role))
        role.check()
        clock.now += LONGEST_PAUSE_SECONDS
        role.check()
    wait_for(lambda: ended(role))
    clock.now += CALM_SECONDS + 1
    role.check()
    clock.now += 0.5
    role.check()
    assert role.restarts == 4


def test_a_role_that_runs_is_left_alone(make: Callable[..., RoleProcess], clock: Clock) -> None:
    role = make("long", STAYS)
    role.start()
    wait_for(lambda: "ready" in role.last_lines())
    pid = role.pid
    for _ in range(3):
        clock.now += 100
        role.check()
    assert role.pid == pid
    assert role.restarts == 0


def test_a_role_that_was_live_and_is_not_three_times_is_ended_and_started_again(
    make: Callable[..., RoleProcess], clock: Clock
) -> None:
    answers = [False, False, True, False, False, True, False, False, False]
    role = make("stuck", STAYS, is_live=lambda: answers.pop(0))
    role.start()
    wait_for(lambda: "ready" in role.last_lines())
    pid = role.pid
    while answers:
        assert role.pid == pid
        clock.now += PROBE_SECONDS / 2
        role.check()
    assert role.pid is None
    role.check()
    clock.now += FIRST_PAUSE_SECONDS
    role.check()
    assert (role.restarts, role.pid is None) == (1, False)


def test_a_role_that_never_answers_is_given_time_to_start(make: Callable[..., RoleProcess], clock: Clock) -> None:
    role = make("slow", STAYS, is_live=lambda: False)
    role.start()
    began = clock.now
    wait_for(lambda: "ready" in role.last_lines())
    while role.pid is not None:
        clock.now += 1
        role.check()
    assert clock.now - began == pytest.approx(STARTING_SECONDS + 3 * PROBE_SECONDS, abs=PROBE_SECONDS)


@pytest.mark.parametrize(("status", "live"), [(200, True), (503, False)])
def test_a_probe_takes_no_answer_and_a_bad_one_for_not_live(status: int, live: bool) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/live" else 404)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        probe = LiveProbe("0.0.0.0", server.server_port)
        found = probe()
        server.shutdown()
        thread.join()
    assert (found, probe()) == (live, False)


def test_a_roles_output_and_variables_are_its_own(make: Callable[..., RoleProcess], tmp_path: Path) -> None:
    role = make("short", ENDS)
    role.start()
    wait_for(lambda: ended(role))
    assert role.last_lines() == "ended hello"
    assert role.log_file == tmp_path / "short.log"


def test_a_process_that_an_earlier_run_left_behind_is_stopped_before_the_role_starts(
    make: Callable[..., RoleProcess],
) -> None:
    left = make("one", STAYS)
    left.start()
    wait_for(lambda: "ready" in left.last_lines())
    pid = left.pid
    again = make("one", STAYS)
    assert again.pid == pid
    again.start()
    assert again.pid not in (pid, None)


def test_a_supervisor_starts_checks_and_stops_all_roles(make: Callable[..., RoleProcess], clock: Clock) -> None:
    roles = [make("a", STAYS), make("b", STAYS), make("c", ENDS)]
    supervisor = Supervisor(roles)
    supervisor.start()
    for role in roles[:2]:
        wait_for(lambda role=role: "ready" in role.last_lines())
    wait_for(lambda: ended(roles[2]))
    supervisor.check()
    clock.now += 1
    supervisor.check()
    assert [role.restarts for role in roles] == [0, 0, 1]
    supervisor.stop()
    assert [role.pid for role in roles] == [None, None, None]
    supervisor.stop()  # twice is harmless


def test_each_role_serves_on_a_port_of_its_own_or_none_does() -> None:
    ports = {name: arguments[arguments.index("--port") + 1] for name, arguments in with_ports(9400).items()}
    assert ports == {"cdc": "9402", "ingest": "9400", "deliver": "9401"}
    assert with_ports(0)["cdc"] == ("cdc", "run")
    assert with_ports(0)["ingest"] == ("worker", "ingest", "--port", "0")


def test_a_role_with_a_port_is_asked_there_whether_it_is_live() -> None:
    probes = [probe_of("127.0.0.1", arguments) for arguments in with_ports(9400).values()]
    assert {None if one is None else one.url for one in probes} == {
        f"http://127.0.0.1:{port}/live" for port in (9400, 9401, 9402)
    }
    assert {probe_of("127.0.0.1", arguments) for arguments in with_ports(0).values()} == {None}


def test_the_roles_of_the_pipeline_run_our_own_commands_and_log_below_the_data_folder(tmp_path: Path) -> None:
    options = load(environ={}, overrides={"data_dir": str(tmp_path)}).options
    roles = pipeline(options, {})
    assert [role.name for role in roles] == list(ROLES) == ["cdc", "ingest", "deliver"]
    assert {role.log_file.parent for role in roles} == {tmp_path / "run"}


def test_the_archive_runs_with_the_pipeline_where_it_is_enabled(tmp_path: Path) -> None:
    options = load(environ={"TRAVELOS_ARCHIVE_ENABLED": "true"}, overrides={"data_dir": str(tmp_path)}).options
    assert [role.name for role in pipeline(options, {})] == ["cdc", "ingest", "deliver", "archive"]
    assert with_ports(9400, {"archive": ("archive", "run")})["archive"] == ("archive", "run", "--port", "9404")


def test_the_role_erasure_runs_and_serves_where_it_is_enabled(tmp_path: Path) -> None:
    options = load(environ={"TRAVELOS_ERASURE_ENABLED": "true"}, overrides={"data_dir": str(tmp_path)}).options
    assert [role.name for role in pipeline(options, {})] == ["cdc", "ingest", "deliver", "erasure"]
    assert with_ports(9400, {"erasure": ("erasure", "run")})["erasure"] == ("erasure", "run", "--port", "9405")
