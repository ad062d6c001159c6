"""Roles as processes: small Python programs stand for the roles, and the clock is ours."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.roles import ROLES, pipeline, with_ports
from streams.settings import load
from streams.supervisor import CALM_SECONDS, LONGEST_PAUSE_SECONDS, RoleProcess, Supervisor

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
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[[str, str], RoleProcess]]:
    made: list[RoleProcess] = []

    def role(name: str, program: str) -> RoleProcess:
        env = {"GREETING": "hello"}
        made.append(
            RoleProcess(name, [program], folder=tmp_path, env=env, now=clock, program=(sys.executable, "-S", "-c"))
        )
        return made[-1]

    yield role
    for one in made:
        one.stop()


def ended(role: RoleProcess) -> bool:
    return role.pid is None


def test_a_role_that_ends_is_started_again_each_time_after_a_longer_pause(
    make: Callable[[str, str], RoleProcess], clock: Clock
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
    make: Callable[[str, str], RoleProcess], clock: Clock
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


def test_a_role_that_runs_is_left_alone(make: Callable[[str, str], RoleProcess], clock: Clock) -> None:
    role = make("long", STAYS)
    role.start()
    wait_for(lambda: "ready" in role.last_lines())
    pid = role.pid
    for _ in range(3):
        clock.now += 100
        role.check()
    assert role.pid == pid
    assert role.restarts == 0


def test_a_roles_output_and_variables_are_its_own(make: Callable[[str, str], RoleProcess], tmp_path: Path) -> None:
    role = make("short", ENDS)
    role.start()
    wait_for(lambda: ended(role))
    assert role.last_lines() == "ended hello"
    assert role.log_file == tmp_path / "short.log"


def test_a_process_that_an_earlier_run_left_behind_is_stopped_before_the_role_starts(
    make: Callable[[str, str], RoleProcess],
) -> None:
    left = make("one", STAYS)
    left.start()
    wait_for(lambda: "ready" in left.last_lines())
    pid = left.pid
    again = make("one", STAYS)
    assert again.pid == pid
    again.start()
    assert again.pid not in (pid, None)


def test_a_supervisor_starts_checks_and_stops_all_roles(make: Callable[[str, str], RoleProcess], clock: Clock) -> None:
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
