"""Put programs into the cache folder: once, whole or not at all, by one process at a time."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import structlog

from deploy.local.lock import exclusive
from deploy.local.process import ServerFailed, cache_folder

log = structlog.get_logger(__name__)


def installed(name: str, build: Callable[[Path], None]) -> Path:
    """Return the folder `<cache>/<name>`; the first time it is filled by `build`, which is given an empty folder.

    It is built beside and renamed, so that an interrupted build is never taken for a whole one.
    """
    target = cache_folder() / name
    if target.exists():
        return target
    with exclusive(cache_folder() / f"{name}.lock"):
        if target.exists():  # somebody built it while we waited
            return target
        for left_behind in cache_folder().glob(f"{name}.partial-*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        started = time.monotonic()
        log.info("install_started", what=name, folder=str(target))
        fresh = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=cache_folder()))
        try:
            build(fresh)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        log.info("install_done", what=name, seconds=round(time.monotonic() - started, 1))
    return target


def recipe_digest(*files: Path) -> str:
    """Return a short digest of the files that an installation is made from, to be part of its name."""
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:8]


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None, purpose: str | None = None
) -> str:
    """Run one step of an installation and return what it wrote to standard output.

    Args:
        command: the program and its arguments.
        cwd: working directory.
        env: the whole environment; by default ours.
        purpose: what the step does, for the log; none for steps that take no time.

    Raises:
        ServerFailed: it is missing or failed; the message ends with the last lines it wrote.
    """
    if purpose is not None:
        log.info("install_step", step=purpose)
    words = [str(part) for part in command]
    try:
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise ServerFailed(f"`{words[0]}` cannot be run: {error}") from error
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()[-25:]
        raise ServerFailed(f"`{' '.join(words[:3])}` failed (exit code {done.returncode}):\n" + "\n".join(lines))
    return done.stdout


def copy_jars(pom: Path, into: Path) -> None:
    """Fetch what a `pom.xml` depends on at run time, and put the jars into a folder.

    Raises:
        ServerFailed: `mvn` is missing or failed.
    """
    work = into.with_name(f"{into.name}-pom")
    work.mkdir(parents=True)
    shutil.copy(pom, work / "pom.xml")
    _maven("copy-dependencies", f"-DoutputDirectory={into}", "-DincludeScope=runtime", cwd=work)
    shutil.rmtree(work)


def copy_artifact(artifact: str, into: Path) -> Path:
    """Fetch one file of Maven's repository, "group:name:version", into an empty folder, and return where it lies.

    Raises:
        ServerFailed: `mvn` is missing or failed.
    """
    _maven("copy", f"-Dartifact={artifact}", f"-DoutputDirectory={into}", cwd=into)
    return next(into.glob("*.jar"))


def _maven(goal: str, *options: str, cwd: Path) -> None:
    command = ["mvn", "-q", "-B", "-ntp", f"org.apache.maven.plugins:maven-dependency-plugin:3.6.1:{goal}", *options]
    # Maven's own repository is not made for several writers at a time.
    with exclusive(cache_folder() / "maven.lock"):
        run(command, cwd=cwd, purpose="fetching jars with Maven")
