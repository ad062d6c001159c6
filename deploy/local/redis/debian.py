"""Debian's Redis in a folder of its own: packages fetched with apt and unpacked, which needs no root."""

import shutil
from pathlib import Path

from deploy.local.install import run
from deploy.local.process import ServerFailed
from deploy.local.programs import require


def unpack(fresh: Path) -> None:
    """Unpack `redis-server` and those of its dependencies that this machine lacks into a folder.

    Raises:
        ServerFailed: this is no Debian, or the packages cannot be fetched.
    """
    try:
        require("Redis", "apt-get", "dpkg")
        packages = missing_packages(_simulated_installation(fresh))
        run(["apt-get", "download", *packages], cwd=fresh, purpose=f"fetching Debian's {', '.join(packages)}")
    except ServerFailed as error:
        raise ServerFailed(
            f"there is no `redis-server` on the PATH, and Debian's package cannot be fetched. {error}\n"
            "Install Redis 6 or newer, or renew apt's lists (`apt-get update`, as root)"
        ) from error
    for package in sorted(fresh.glob("*.deb")):
        run(["dpkg", "-x", package, fresh], cwd=fresh)
        package.unlink()
    for documentation in (fresh / "usr" / "share", fresh / "etc", fresh / "lib" / "systemd"):
        shutil.rmtree(documentation, ignore_errors=True)


def missing_packages(simulation: str) -> list[str]:
    """Return the names of the packages that `apt-get install --simulate` would install, in its order."""
    return [line.split()[1] for line in simulation.splitlines() if line.startswith("Inst ")]


def library_folders(root: Path) -> list[Path]:
    """Return the folders of shared libraries below the root of unpacked packages."""
    return sorted({library.parent for library in root.rglob("*.so*")})


def _simulated_installation(folder: Path) -> str:
    return run(["apt-get", "install", "--simulate", "--no-install-recommends", "redis-server"], cwd=folder)
