"""Runs the roles as processes of this machine: starts them, restarts those that end or are stuck, stops them."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from deploy.local.process import ServerProcess

log = structlog.get_logger(__name__)

TRAVELOS = (sys.executable, "-m", "streams.cli")
STOP_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
CALM_SECONDS = 60.0  # a role that ran this long starts again with the first pause
# As the probes in docs/metrics.md: 300 s to answer for the first time, then stuck when it is not live three times.
PROBE_SECONDS = 10.0
STARTING_SECONDS = 300.0
STUCK_AFTER = 3


class RoleProcess:
    """One role in a process of its own, `travelos <arguments>`, with its log and pid file in a folder.

    Args:
        name: of the role; that of its log and pid file too.
        arguments: of the command.
        folder: where log and pid file lie.
        env: what is added to our environment.
        now: a clock in seconds that is never set back.
        program: the command itself.
        is_live: asks the role whether it is live; None where it serves no page that says so.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
        program: Sequence[str] = TRAVELOS,
        is_live: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self._command = [*program, *arguments]
        self._env = env
        self._process = ServerProcess(name, folder)
        self._now = now
        self._started = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._due: float | None = None
        self._is_live = is_live
        self._probe_at = 0.0
        self._was_live = False
        self._misses = 0

    @property
    def log_file(self) -> Path:
        """Where the role's log goes."""
        return self._process.log_file

    def last_lines(self) -> str:
        """Return the end of the role's log."""
        return self._process.last_lines()

    @property
    def pid(self) -> int | None:
        """Pid while the role runs."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the role has ended that was started last; negative: by that signal. None while it runs."""
        return self._process.exit_code

    def start(self) -> None:
        """Start the role; one that an earlier run left behind is stopped first."""
        self._process.stop(timeout=STOP_SECONDS)
        self._spawn()

    def check(self) -> None:
        """Start the role again if it has ended, each time in a row after a longer pause; end it if it is stuck."""
        now = self._now()
        if self._process.pid is not None:
            if self._is_stuck(now):
                log.warning("role_stuck", role=self.name, misses=self._misses, last_lines=self._process.last_lines(5))
                self.stop()
            return
        if self._due is None:
            if now - self._started > CALM_SECONDS:
                self._pause = FIRST_PAUSE_SECONDS
            self._due = now + self._pause
            log.warning("role_ended", role=self.name, restart_in=self._pause, last_lines=self._process.last_lines(5))
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        if now >= self._due:
            self.restarts += 1
            self._spawn()

    def stop(self) -> None:
        """Stop the role in order; killed after STOP_SECONDS."""
        self._process.stop(timeout=STOP_SECONDS)

    def _is_stuck(self, now: float) -> bool:
        if self._is_live is None or now < self._probe_at:
            return False
        self._probe_at = now + PROBE_SECONDS
        if self._is_live():
            self._was_live, self._misses = True, 0
        elif self._was_live or now - self._started > STARTING_SECONDS:
            self._misses += 1
        return self._misses >= STUCK_AFTER

    def _spawn(self) -> None:
        self._due = None
        self._was_live, self._misses = False, 0
        self._started = self._now()
        self._probe_at = self._started + PROBE_SECONDS
        self._process.spawn(self._command, env=self._env, cwd=Path.cwd())


class Supervisor:
    """Keeps a set of roles running."""

    def __init__(self, roles: Sequence[RoleProcess]) -> None:
        self.roles = list(roles)

    def start(self) -> None:
        """Start all roles."""
        for role in self.roles:
            role.start()

    def check(self) -> None:
        """Restart what has ended; to be called every now and then."""
        for role in self.roles:
            role.check()

    def stop(self) -> None:
        """Stop all roles, side by side: what one has not passed on yet lies in Kafka, where the next one finds it."""
        with ThreadPoolExecutor(max(1, len(self.roles))) as pool:
            for stopped in [pool.submit(role.stop) for role in self.roles]:
                stopped.result()
