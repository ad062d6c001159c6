"""Start a server as a child process, wait until it answers, stop it by its pid."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class ServerFailed(RuntimeError):  # noqa: N818 - reads as a statement
    """A server could not be installed or started; the message ends with the last lines of its log."""


def cache_folder() -> Path:
    """Return the one folder for downloads and builds: `TRAVELOS_CACHE`, else `~/.cache/travelos`."""
    folder = Path(os.environ.get("TRAVELOS_CACHE") or Path.home() / ".cache" / "travelos")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """One child process with its log and pid file in `folder`.

    It gets a session of its own, so that Ctrl-C in a terminal reaches us and we stop it in order.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.log_file = folder / f"{name}.log"
        self.pid_file = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the running process, also of one that an earlier run left behind; None when there is none."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        try:
            pid = int(self.pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        # A pid may have been given to another process since; its command line then says nothing of our folder.
        return pid if str(self.folder).encode() in command else None

    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start the command. Its output goes to the log file.

        Raises:
            ServerFailed: the program cannot be run at all.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            try:
                self._child = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, **(env or {})},
                    cwd=cwd or self.folder,
                    user=user,
                    extra_groups=[] if user else None,
                )
            except OSError as error:
                raise ServerFailed(f"{self.name} cannot be started: {error}") from error
        self.pid_file.write_text(str(self._child.pid))

    def wait_until(self, answers: Callable[[], bool], timeout: float) -> None:
        """Return once `answers()` is true.

        Raises:
            ServerFailed: the process ended, or `timeout` seconds passed.
        """
        started = time.monotonic()
        while not answers():
            if self.pid is None:
                code = self._child.returncode if self._child else None
                raise ServerFailed(f"{self.name} ended with exit code {code}:\n{self.last_lines()}")
            if time.monotonic() - started > timeout:
                raise ServerFailed(f"{self.name} did not answer within {timeout:.0f} s:\n{self.last_lines()}")
            time.sleep(0.05)  # between two attempts; the condition above decides
        log.debug("server_ready", server=self.name, seconds=round(time.monotonic() - started, 2))

    def stop(self, *, stop_signal: signal.Signals = signal.SIGTERM, timeout: float = 20) -> None:
        """End the process and wait until it is gone; killed after `timeout` seconds. Harmless when there is none."""
        pid = self.pid
        if pid is not None:
            for number in (stop_signal, signal.SIGKILL):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    break
                if self._gone(pid, timeout):
                    break
                log.warning("server_ignored_signal", server=self.name, pid=pid, signal=number.name)
        self._child = None
        self.pid_file.unlink(missing_ok=True)

    def _gone(self, pid: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._child is not None:
                if self._child.poll() is not None:
                    return True
            elif not Path(f"/proc/{pid}").exists():
                return True
            time.sleep(0.02)
        return False

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the log."""
        try:
            return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return "(no log)"
