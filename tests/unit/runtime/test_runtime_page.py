"""docs/runtime.md: its example makes an app, and its table of modules is complete."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "runtime.md").read_text("utf-8")


def test_every_module_of_the_runtime_has_its_line() -> None:
    modules = {module.stem for module in (ROOT / "streams" / "runtime").glob("*.py")} - {"__init__"}
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert modules - named - {"metrics_document"} == set()
    assert named - modules == set()


def test_the_example_makes_an_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    made: dict[str, Any] = {"__name__": "orders"}
    exec(compile(example.group(1), "orders.py", "exec"), made)
    app = made["app"]
    assert app.lanes.keys() == {"orders"}
    assert app.run_changelogs == {"orders-totals"}
    app.state_folder.close()
