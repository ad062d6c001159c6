"""The environment that Quix Streams runs in: it pins another confluent-kafka than ours."""

import os
import subprocess
import sys
from pathlib import Path

from bench.report import ROOT
from deploy.local.install import run
from deploy.local.lock import exclusive
from deploy.local.process import cache_folder

REQUIREMENTS = ROOT / "bench" / "peers" / "quix-requirements.txt"


def version() -> str:
    """Return the version that is pinned."""
    pinned = [line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("quixstreams==")]
    return pinned[0].partition("==")[2]


def python() -> Path:
    """Return the Python that has Quix Streams, in the cache folder; the first time it is installed.

    Raises:
        ServerFailed: it cannot be installed; the message says why.
    """
    folder = cache_folder() / "peers" / "quix"
    program = folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with exclusive(folder.with_suffix(".lock")):
        if not _has_it(program):
            # uv does not read pip's settings: a mirror that is set for pip is told to it here.
            index = os.environ.get("PIP_INDEX_URL")
            env = {**os.environ, **({"UV_INDEX_URL": index} if index else {})}
            uv = Path(sys.executable).with_name("uv")
            run([uv, "venv", "--clear", "--python", sys.executable, folder], cwd=ROOT, env=env)
            install = [uv, "pip", "install", "--python", program, "--requirement", REQUIREMENTS]
            run(install, cwd=ROOT, env=env, purpose="installing Quix Streams")
    return program


def _has_it(program: Path) -> bool:
    if not program.exists():
        return False
    asked = [program, "-c", "from importlib.metadata import version; print(version('quixstreams'))"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip() == version()
