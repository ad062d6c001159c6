"""How long a newcomer waits: a fresh clone, `make demo`, until everything adds up.

python -m bench.demo [--count N] [--kafka auto|real|memory]

The clone is of what is committed. Packages come from pip's and uv's caches, as far as they hold them.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from bench.report import ROOT, Figure, finish

CLONE_TO_END_SECONDS = 90.0
RUN_SECONDS = 30.0


def main() -> int:
    """Run the demo once in a fresh clone and report; 1 when a bar is missed or it does not add up."""
    parser = argparse.ArgumentParser(description="A newcomer's first minute: clone, make demo.")
    parser.add_argument("--count", type=int, default=20_000, help="records that enter")
    parser.add_argument("--kafka", default="auto", help="as `travelos demo --kafka`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-demo-") as folder:
        Path(folder).chmod(0o755)  # or the embedded Postgres would keep its data elsewhere, see deploy/local/postgres
        clone = Path(folder) / "clone"
        began = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        arguments = f"ARGS=--json --count {given.count} --kafka {given.kafka}"
        done = subprocess.run(["make", "--silent", "demo", arguments], cwd=clone, stdout=subprocess.PIPE, check=False)
        elapsed = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"make demo ended with exit code {done.returncode}: {done.stdout.decode()[-2000:]}")
    printed = json.loads(done.stdout)
    phases = {phase: float(seconds) for phase, seconds in printed["seconds"].items()}
    figures = [
        Figure(name="clone to end", value=elapsed, unit="s", bar=CLONE_TO_END_SECONDS, lower_is_better=True),
        Figure(name="run", value=sum(phases.values()), unit="s", bar=RUN_SECONDS, lower_is_better=True),
    ]
    setup = {"records": printed["records"], "kafka": printed["kafka"]}
    return finish("demo", figures, setup=setup, rounds={phase: [seconds] for phase, seconds in phases.items()})


if __name__ == "__main__":
    raise SystemExit(main())
