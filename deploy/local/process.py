"""Start a server as a child process, wait until it answers, stop it, also when an earlier run started it."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

log = structlog.get_logger(__name__)

# The shell writes pid and start time to its standard input, which is the pid file, and then becomes the server. So
# there is no moment at which the server runs and no file says so, even if we are killed in between. The file is locked
# through the same descriptor until then.
_LAUNCHER = """read -r pid _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ started _ </proc/$$/stat
echo "$pid $started" >&0
exec "$@" </dev/null"""
_TAIL_BYTES = 64 * 1024


class ServerFailed(RuntimeError):  # noqa: N818 - reads as a statement
    """A server could not be installed or started; the message ends with the last lines of its log."""


def cache_folder() -> Path:
    """Return the one folder for downloads and builds: `TRAVELOS_CACHE`, else `~/.cache/travelos`."""
    folder = Path(os.environ.get("TRAVELOS_CACHE") or Path.home() / ".cache" / "travelos").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when there is none or only its exit code is left.

    Two processes that had the same pid one after the other differ in this (proc(5), field 22 of /proc/pid/stat).
    """
    process = Path(f"/proc/{pid}")
    try:
        # The name in parentheses may itself hold spaces and parentheses.
        fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        # The first thread of a killed JVM is a zombie while the others still hold its port and its files.
        if fields[0] in "ZX" and len(list((process / "task").iterdir())) <= 1:
            return None
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[19])


class _Outliving(subprocess.Popen[bytes]):
    """A child that may outlive the object and us; the destructor of Popen takes that for a mistake."""

    def __del__(self) -> None:
        pass


class _Record(NamedTuple):
    """What the pid file says."""

    pid: int
    started: int


class ServerProcess:
    """One process with its log and pid file in `folder`, at most one at a time.

    It gets a session of its own: Ctrl-C in a terminal reaches us and we stop it in order, and it outlives us if nobody
    stops it. Any later object with the same name and folder finds it again.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder.absolute()
        self.log_file = self.folder / f"{name}.log"
        self.pid_file = self.folder / f"{name}.pid"
        self._child: _Outliving | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Pid of the running process, also of one that an earlier run left behind; None when there is none."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        record = self._record()
        # The pid may have been given to another program since; that one started at another time.
        return record.pid if record is not None and start_time(record.pid) == record.started else None

    @property
    def exit_code(self) -> int | None:
        """How the process that this object started has ended; negative: by that signal. None while it runs."""
        return None if self._child is None else self._child.poll()

    @property
    def died(self) -> bool:
        """Whether a process was started and ended without being asked to."""
        return self.pid is None and self._record() is not None

    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start the command. Its output goes to the log file.

        Args:
            command: the program and its arguments.
            env: what is added to our environment.
            user: the user to run as; needs root.
            cwd: working directory; by default the server's folder.

        Raises:
            ServerFailed: the program cannot be run at all.
        """
        if shutil.which(command[0]) is None:
            raise ServerFailed(f"{self.name} cannot be started: {command[0]} is no program that can be run")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output, self.pid_file.open("a") as record:
            fcntl.flock(record, fcntl.LOCK_EX)
            record.truncate(0)
            self._log_start = output.tell()
            try:
                self._child = _Outliving(
                    ["/bin/sh", "-c", _LAUNCHER, self.name, *(str(part) for part in command)],
                    stdin=record,
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

    def wait_until(self, answers: Callable[[], bool], timeout: float) -> None:
        """Return once `answers()` is true.

        Raises:
            ServerFailed: the process ended, or `timeout` seconds passed.
        """
        started = time.monotonic()
        while not answers():
            if self.pid is None:
                raise ServerFailed(f"{self.name} {self._ending()}:\n{self.last_lines()}")
            if time.monotonic() - started > timeout:
                raise ServerFailed(f"{self.name} did not answer within {timeout:.0f} s:\n{self.last_lines()}")
            time.sleep(0.05)  # between two attempts; the condition above decides
        log.debug("server_ready", server=self.name, seconds=round(time.monotonic() - started, 2))

    def stop(self, *, stop_signal: signal.Signals = signal.SIGTERM, timeout: float = 20) -> None:
        """End the process and wait until it is gone; killed after `timeout` seconds. Harmless when there is none."""
        pid = self.pid
        if pid is not None:
            for number in (stop_signal, signal.SIGKILL):
                if not _send(pid, number) or self._gone(pid, timeout):
                    break
                log.warning("server_ignored_signal", server=self.name, pid=pid, signal=number.name)
            else:
                raise ServerFailed(
                    f"{self.name} (pid {pid}) does not end, not even when killed; it may wait for a disk"
                )
        self._child = None
        self.pid_file.unlink(missing_ok=True)

    def memory_mb(self) -> int | None:
        """Return the resident memory of the process in MB; None when there is none."""
        pid = self.pid
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")), None)
        return None if kilobytes is None else int(kilobytes) // 1024

    def last_lines(self, count: int = 15) -> str:
        """Return the end of the log, at most what was written since this object started the process."""
        try:
            with self.log_file.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-count:]) or f"(nothing was written to {self.log_file})"

    def _record(self) -> _Record | None:
        try:
            with self.pid_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # held by a process that is about to say its pid
                pid, started = file.read().split()
            return _Record(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None

    def _gone(self, pid: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            if self._child is not None:
                self._child.poll()  # collects its exit code, else it stays as a zombie
            if start_time(pid) is None:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)  # between two looks; the conditions above decide

    def _ending(self) -> str:
        code = self._child.returncode if self._child is not None else None
        if code is None:
            return "ended"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _send(pid: int, number: signal.Signals) -> bool:
    """Send a signal, SIGKILL to the children as well; return whether the process was there to get it."""
    try:
        if number is signal.SIGKILL:
            os.killpg(pid, number)  # it leads a group of its own, see `spawn`
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
