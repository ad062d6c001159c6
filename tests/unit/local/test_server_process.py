"""Starting, finding again and stopping one process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.ports import port_is_free
from deploy.local.process import ServerFailed, ServerProcess, start_time

SLEEPER = ["sleep", "60"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess("sleeper", tmp_path)
    yield process
    process.stop(stop_signal=signal.SIGKILL)


def shell(process: ServerProcess, script: str) -> None:
    process.spawn(["sh", "-c", script])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def until_written(process: ServerProcess, text: str) -> None:
    until(lambda: text in process.log_file.read_text())


def test_the_pid_file_names_the_program_itself_and_not_a_shell_around_it(process: ServerProcess) -> None:
    shell(process, "echo running; exec sleep 60")
    until_written(process, "running")
    pid = process.pid
    assert pid is not None
    assert process.pid_file.read_text().split()[0] == str(pid)
    until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")


def test_a_stopped_process_is_gone_and_so_is_its_pid_file(process: ServerProcess) -> None:
    process.spawn(SLEEPER)
    pid = process.pid
    assert pid is not None
    process.stop()
    assert start_time(pid) is None
    assert process.pid is None
    assert not process.pid_file.exists()
    assert not process.died


def test_stopping_what_does_not_run_does_nothing(process: ServerProcess) -> None:
    process.stop()
    assert process.pid is None


def test_a_process_that_ignores_the_signal_is_killed_after_the_timeout(process: ServerProcess) -> None:
    shell(process, "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    until_written(process, "ready")
    pid = process.pid
    assert pid is not None
    process.stop(timeout=0.2)
    assert start_time(pid) is None


def test_killing_ends_the_children_as_well(process: ServerProcess) -> None:
    shell(process, "sleep 60 & echo child $!; wait")
    until_written(process, "child")
    child = int(process.log_file.read_text().split()[1])
    process.stop(stop_signal=signal.SIGKILL)
    until(lambda: start_time(child) is None)


def test_a_process_that_an_earlier_object_left_behind_is_found_and_stopped(process: ServerProcess) -> None:
    process.spawn(SLEEPER)
    later = ServerProcess(process.name, process.folder)
    assert later.pid == process.pid
    later.stop()
    assert process.pid is None


def test_a_process_whose_starter_was_killed_is_found_and_stopped(tmp_path: Path) -> None:
    starter = (
        "import os, signal; from pathlib import Path; from deploy.local.process import ServerProcess\n"
        f"ServerProcess('sleeper', Path({str(tmp_path)!r})).spawn(['sleep', '60'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", starter], cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == -signal.SIGKILL
    left = ServerProcess("sleeper", tmp_path)
    pid = left.pid
    assert pid is not None
    left.stop()
    assert start_time(pid) is None


def test_a_pid_that_was_given_to_another_program_is_not_ours(process: ServerProcess) -> None:
    stranger = subprocess.Popen(SLEEPER)
    try:
        started = start_time(stranger.pid)
        assert started is not None
        process.pid_file.write_text(f"{stranger.pid} {started - 1}\n")
        assert process.pid is None
        assert process.died
        process.stop()
        assert stranger.poll() is None, "a program that is not ours was stopped"
        assert not process.pid_file.exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_a_damaged_pid_file_names_nobody(process: ServerProcess) -> None:
    for content in ("", "twelve", "12", f"{os.getpid()} x"):
        process.pid_file.write_text(content)
        assert process.pid is None


def test_two_folders_hold_two_processes_of_the_same_name(tmp_path: Path) -> None:
    one, other = (ServerProcess("sleeper", tmp_path / folder) for folder in ("one", "other"))
    try:
        one.spawn(SLEEPER)
        other.spawn(SLEEPER)
        one.stop()
        assert one.pid is None
        assert other.pid is not None
    finally:
        one.stop()
        other.stop()


def test_a_relative_folder_is_found_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = ServerProcess("sleeper", Path("folder"))
    process.spawn(SLEEPER)
    monkeypatch.chdir("/")
    try:
        assert ServerProcess("sleeper", tmp_path / "folder").pid == process.pid
    finally:
        process.stop()


def test_a_missing_program_is_named(process: ServerProcess) -> None:
    with pytest.raises(ServerFailed, match="no-such-program"):
        process.spawn(["no-such-program"])
    assert process.pid is None


def test_a_crash_at_start_shows_the_exit_code_and_the_log_of_this_start_only(process: ServerProcess) -> None:
    process.log_file.write_text("an old line\n")
    shell(process, "echo cannot open the data folder >&2; exit 3")
    with pytest.raises(ServerFailed) as failure:
        process.wait_until(lambda: False, timeout=10)
    assert "exit code 3" in str(failure.value)
    assert "cannot open the data folder" in str(failure.value)
    assert "an old line" not in str(failure.value)


def test_a_process_that_was_killed_at_start_names_the_signal(process: ServerProcess) -> None:
    shell(process, "kill -SEGV $$")
    with pytest.raises(ServerFailed, match="SIGSEGV"):
        process.wait_until(lambda: False, timeout=10)


def test_a_process_that_never_answers_is_reported_with_its_log(process: ServerProcess) -> None:
    shell(process, "echo still loading; exec sleep 60")
    until_written(process, "loading")
    with pytest.raises(ServerFailed, match=r"(?s)did not answer within 0 s.*still loading"):
        process.wait_until(lambda: False, timeout=0)


def test_a_process_that_ended_by_itself_is_told_apart_from_one_that_was_stopped(process: ServerProcess) -> None:
    shell(process, "exit 0")
    with pytest.raises(ServerFailed):
        process.wait_until(lambda: False, timeout=10)
    assert process.died
    process.stop()
    assert not process.died


def test_the_environment_is_extended_and_the_output_logged(process: ServerProcess) -> None:
    process.spawn(["sh", "-c", 'echo "$COLOUR in $PWD"; exec sleep 60'], env={"COLOUR": "blue"})
    until_written(process, "blue")
    assert process.last_lines() == f"blue in {process.folder}"


def test_memory_is_told_while_it_runs(process: ServerProcess) -> None:
    assert process.memory_mb() is None
    process.spawn([sys.executable, "-c", "import time; time.sleep(60)"])
    until(lambda: (process.memory_mb() or 0) > 1)


def test_a_port_is_free_until_somebody_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)
