import json
from pathlib import Path

import pytest

import bench.report
from bench.report import Figure, finish, machine, median_ratio


def test_a_figure_passes_when_it_reaches_its_bar_in_its_direction() -> None:
    assert Figure(name="rate", value=100, unit="/s", bar=100).passed
    assert not Figure(name="rate", value=99, unit="/s", bar=100).passed
    assert Figure(name="latency", value=5, unit="ms", bar=5, lower_is_better=True).passed
    assert not Figure(name="latency", value=6, unit="ms", bar=5, lower_is_better=True).passed
    assert Figure(name="told", value=0, unit="").passed


def test_the_ratio_compares_runs_that_were_next_to_each_other() -> None:
    assert median_ratio([10, 100, 90], [10, 200, 100]) == 0.9


@pytest.mark.parametrize(("value", "code"), [(100, 0), (99, 1)])
def test_the_result_is_written_with_the_machine_and_a_missed_bar_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float, code: int
) -> None:
    monkeypatch.setattr(bench.report, "RESULTS", tmp_path)
    figures = [Figure(name="rate", value=value, unit="/s", bar=100)]
    assert finish("trial", figures, setup={"events": 3}, rounds={"rate": [value]}) == code
    written = json.loads((tmp_path / "trial.json").read_text())
    assert written["passed"] is (code == 0)
    assert written["figures"][0]["bar"] == 100
    assert written["machine"] == machine()
    assert {"commit", "date", "command", "setup", "rounds"} <= written.keys()
    assert ("reached" if code == 0 else "MISSED") in capsys.readouterr().out
