"""Debian's packages in a folder of their own: fetched with apt and unpacked, which needs no root."""

import os
import shutil
from pathlib import Path

from deploy.local.install import run
from deploy.local.programs import require

_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "etc", "lib/systemd")


def unpack(into: Path, package: str, *others: str) -> None:
    """Unpack a package, those of its dependencies that this machine lacks, and others whether it has them or not.

    Raises:
        ServerFailed: this is no Debian, or the packages cannot be fetched.
    """
    require(package, "apt-get", "dpkg")
    simulation = run(["apt-get", "install", "--simulate", "--no-install-recommends", package], cwd=into)
    packages = dict.fromkeys([package, *others, *missing_packages(simulation)])
    run(["apt-get", "download", *packages], cwd=into, purpose=f"fetching Debian's {', '.join(packages)}")
    for fetched in sorted(into.glob("*.deb")):
        run(["dpkg", "-x", fetched, into], cwd=into)
        fetched.unlink()
    for folder in _NOT_NEEDED:
        shutil.rmtree(into / folder, ignore_errors=True)


def missing_packages(simulation: str) -> list[str]:
    """Return the names of the packages that `apt-get install --simulate` would install, in its order."""
    return [line.split()[1] for line in simulation.splitlines() if line.startswith("Inst ")]


def library_folders(root: Path) -> list[Path]:
    """Return the folders of shared libraries below the root of unpacked packages."""
    return sorted({library.parent for library in root.rglob("*.so*")})


def library_path(root: Path) -> dict[str, str]:
    """Return how the dynamic linker finds the libraries below a root, as an addition to the environment."""
    folders = [str(folder) for folder in library_folders(root)]
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": ":".join(folders + ([inherited] if inherited else []))}
