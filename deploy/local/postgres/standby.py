"""A standby of a PostgreSQL server of this machine."""

import os
import subprocess
from pathlib import Path

from deploy.local.postgres.server import SUPERUSER, PostgresServer, give, server_user
from deploy.local.process import ServerFailed

_FEEDBACK = {"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"}


class PostgresStandby(PostgresServer):
    """A hot standby of a running primary, copied from it at the first start. It has the primary's password.

    A slot of the primary keeps WAL for it, and the primary the rows that it needs.

    Args:
        folder: of its data.
        primary: a running server.
        slot: on the primary; it is created.
    """

    def __init__(self, folder: Path, primary: PostgresServer, *, slot: str = "standby") -> None:
        super().__init__(folder, settings=primary.settings)
        self._primary = primary
        self._slot = slot

    @property
    def password(self) -> str:
        """The superuser's password, which is the primary's."""
        return self._primary.password

    def initialise(self, programs: Path, data: Path) -> None:
        """Copy the primary's data.

        Raises:
            ServerFailed: it cannot be reached, or has a slot of this name.
        """
        give(data)
        command = [programs / "pg_basebackup", "-D", data, "-h", "127.0.0.1", "-p", str(self._primary.port)]
        command += ["-U", SUPERUSER, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        command += ["--create-slot", f"--slot={self._slot}"]
        done = subprocess.run(
            [str(part) for part in command],
            user=server_user(),
            extra_groups=None if server_user() is None else [],
            cwd=data,
            env={**os.environ, "PGPASSWORD": self.password},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"pg_basebackup failed:\n{done.stderr[-2000:]}")
        with (data / "postgresql.auto.conf").open("a") as settings:  # what is given at the start could not be altered
            settings.write("".join(f"{name} = '{value}'\n" for name, value in _FEEDBACK.items()))
