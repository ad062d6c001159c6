"""Debian's PostgreSQL with PostGIS and the extensions of PostgreSQL's own distribution."""

import re
import shutil
from pathlib import Path

from deploy.local.debian import library_path, unpack
from deploy.local.install import installed, run
from deploy.local.postgres.server import PostgresServer, copy_within_reach, reachable
from deploy.local.process import ServerFailed
from deploy.local.programs import require

_PACKAGE = re.compile(r"^(postgresql-(\d+))-postgis-3 ", re.MULTILINE)


class PostgisServer(PostgresServer):
    """A server of the newest version for which Debian has PostGIS."""

    @classmethod
    def install(cls) -> Path:
        """Return the folder of the programs, copied to /var/tmp when the server's user cannot reach the cache.

        Raises:
            ServerFailed: this is no Debian, or the packages cannot be fetched.
        """
        home = installed("postgis-debian", _build)
        programs = next(home.glob("usr/lib/postgresql/*/bin"))
        if reachable(home):
            return programs

        def fill(fresh: Path) -> None:
            shutil.copytree(home, fresh, symlinks=True, dirs_exist_ok=True)

        return copy_within_reach(f"travelos-{home.name}", programs.relative_to(home), fill)

    def environment(self, programs: Path) -> dict[str, str]:
        """Return where the dynamic linker finds the libraries that were unpacked."""
        return library_path(programs.parents[4])


def _build(fresh: Path) -> None:
    require("PostGIS", "apt-cache")
    found = _PACKAGE.findall(run(["apt-cache", "search", "--names-only", "postgresql-.*-postgis-3"], cwd=fresh))
    if not found:
        raise ServerFailed("apt knows no package of PostGIS; renew its lists (`apt-get update`, as root)")
    server, version = max(found, key=lambda one: int(one[1]))
    # PostgreSQL looks for extensions beside itself: without a copy of it there is no place for them.
    unpack(fresh, f"{server}-postgis-3", server, f"postgresql-client-{version}")
    for folder in (fresh / "usr" / "share").iterdir():
        if folder.name != "postgresql":
            shutil.rmtree(folder)
    for control in fresh.glob("usr/share/postgresql/*/extension/*-3.control"):  # Debian's alternatives name them
        control.with_name(control.name.replace("-3.control", ".control")).symlink_to(control.name)
    for compiled in fresh.glob("usr/lib/postgresql/*/lib/bitcode"):  # for its compiler, which is off here
        shutil.rmtree(compiled)
