"""Find the programs that servers need: on the PATH, and Java of a fitting version wherever it usually lies."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.process import ServerFailed

JVM_FOLDER = Path("/usr/lib/jvm")


class Java(NamedTuple):
    """A Java installation: its folder and its feature release (8, 17, 21, ...)."""

    home: Path
    release: int

    def program(self, name: str = "java") -> Path:
        """Return the path of one of its programs."""
        return self.home / "bin" / name


def require(server: str, *programs: str) -> None:
    """Return when all of the programs are on the PATH.

    Raises:
        ServerFailed: names those that are not.
    """
    missing = [f"`{program}`" for program in programs if shutil.which(program) is None]
    if missing:
        raise ServerFailed(f"{server} needs {' and '.join(missing)}: install what is missing and put it on the PATH")


def find_java(server: str, *, at_least: int, below: int | None = None, compiler: bool = False) -> Java:
    """Return the first fitting Java of JAVA_HOME, the PATH and /usr/lib/jvm.

    Args:
        server: who needs it, for the message.
        at_least: the oldest release that will do.
        below: the first release that will not do.
        compiler: whether `javac` must be there as well.

    Raises:
        ServerFailed: there is none; the message says which ones there are.
    """
    found = list(_installations())
    chosen = choose(found, at_least=at_least, below=below, compiler=compiler)
    if chosen is None:
        wanted = f"{'JDK' if compiler else 'Java'} {at_least}" + (" or newer" if below is None else f" to {below - 1}")
        there = ", ".join(f"{java.release} in {java.home}" for java in found) or "none"
        raise ServerFailed(f"{server} needs {wanted} (found: {there}): install one and set JAVA_HOME to its folder")
    return chosen


def choose(found: Sequence[Java], *, at_least: int, below: int | None = None, compiler: bool = False) -> Java | None:
    """Return the first that fits, or None."""
    for java in found:
        new_enough = java.release >= at_least and (below is None or java.release < below)
        if new_enough and (not compiler or java.program("javac").exists()):
            return java
    return None


def feature_release(version: str) -> int | None:
    """Return the number by which a Java version is known: 17 for "17.0.15", 8 for "1.8.0_402", None for no version."""
    match = re.match(r"(?:1\.)?(\d+)", version)
    return None if match is None else int(match[1])


def _installations() -> Iterator[Java]:
    on_path = shutil.which("java")
    candidates = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    candidates += [Path(on_path).resolve().parent.parent] if on_path else []
    candidates += sorted(JVM_FOLDER.iterdir()) if JVM_FOLDER.is_dir() else []
    seen: set[Path] = set()
    for home in (candidate.resolve() for candidate in candidates):
        if home in seen or not (home / "bin" / "java").exists():
            continue
        seen.add(home)
        release = _release(home)
        if release is not None:
            yield Java(home, release)


def _release(home: Path) -> int | None:
    """Return the feature release by the installation's `release` file, else by asking the program."""
    try:
        match = re.search(r'^JAVA_VERSION="([^"]+)"', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        match = None
    if match is None:
        asked = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=False)
        match = re.search(r'version "([^"]+)"', asked.stderr)
    return None if match is None else feature_release(match[1])
