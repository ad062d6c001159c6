"""What all benchmarks share: figures beside their bars, the machine they were measured on, the result file."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]


class Figure(Struct, frozen=True, kw_only=True):
    """One measured value. `bar` is what it has to reach; None for a value that is only told."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    lower_is_better: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is reached; true where there is none."""
        if self.bar is None:
            return True
        return self.value <= self.bar if self.lower_is_better else self.value >= self.bar


def median_ratio(ours: Sequence[float], peers: Sequence[float]) -> float:
    """Return the median of the ratios of rounds that ran next to each other.

    Both of a pair saw the same state of the machine, so this moves less than the ratio of two medians.
    """
    return statistics.median(our / peer for our, peer in zip(ours, peers, strict=True))


def machine() -> dict[str, str | int]:
    """Return what the figures depend on: processor, cores, memory, system, Python."""
    return {
        "processor": _first_match(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(_first_match(Path("/proc/meminfo"), r"MemTotal:\s*(\d+)") or 0) // 1024,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of the tree, with "+" when it was changed since; "unknown" outside of a repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def finish(
    name: str, figures: Sequence[Figure], *, setup: Mapping[str, Any], rounds: Mapping[str, Any], keep: bool = True
) -> int:
    """Print the figures beside their bars, write `bench/results/<name>.json`, return the exit code: 1 below a bar.

    Args:
        name: of the benchmark, and of the file.
        figures: the results.
        setup: what was measured with: sizes, versions, options.
        rounds: the single measurements behind the figures.
        keep: False for a trial run, whose file is not written.
    """
    passed = all(figure.passed for figure in figures)
    document = {
        "benchmark": name,
        "passed": passed,
        "figures": [{**msgspec.structs.asdict(figure), "passed": figure.passed} for figure in figures],
        "setup": dict(setup),
        "rounds": dict(rounds),
        "machine": machine(),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "-m", _module(name), *sys.argv[1:]]),
    }
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    Console().print(_table(name, figures))
    return 0 if passed else 1


def _module(name: str) -> str:
    """Return the module that runs: that of the benchmark, unless its result is one of a part."""
    spec = sys.modules["__main__"].__spec__
    return f"bench.{name}" if spec is None else spec.name.removesuffix(".__main__")


def _table(name: str, figures: Sequence[Figure]) -> Table:
    table = Table(title=name, title_justify="left", header_style="bold")
    for column in ("figure", "value", "bar", ""):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in figures:
        sign = "<=" if figure.lower_is_better else ">="
        bar = "" if figure.bar is None else f"{sign} {_shown(figure.bar)}"
        verdict = "" if figure.bar is None else "reached" if figure.passed else "MISSED"
        table.add_row(figure.name, f"{_shown(figure.value)} {figure.unit}".strip(), bar, verdict)
    return table


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _first_match(file: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, file.read_text())
    except OSError:
        return None
    return found.group(1).strip() if found else None
