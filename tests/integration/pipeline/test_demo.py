"""The demo as a newcomer runs it, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.events import EVENT_NAMES
from schemas.writes import STORES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

GPX = """<?xml version="1.0"?>
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>
{points}
</trkseg></trk></gpx>"""


def demo(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run the demo and return its exit code, what it printed as JSON, and its standard error."""
    command = [sys.executable, "-m", "streams.cli", "demo", "--json", "--data-dir", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("kafka", ["memory", "real"])
def test_every_acknowledged_event_is_in_its_stores_once_and_a_second_run_adds_to_the_first(
    kafka: str, tmp_path: Path, left_running: Callable[[Path], list[str]]
) -> None:
    for run in (1, 2):
        code, printed, errors = demo(tmp_path, "--kafka", kafka, "--count", "5000", "--seed", str(run))
        told = printed["reconciliation"]
        assert told["problems"] == [], errors
        assert all(store["problems"] == [] for store in told["stores"]), errors
        assert told["adds_up"]
        assert code == 0
        assert {store["store"] for store in told["stores"]} == set(STORES)
        assert all(store["expected"] == store["found"] > 0 for store in told["stores"])
        assert told["dead_letters"]["found"] == told["dead_letters"]["expected"] > 10
        assert told["duplicates"] >= 3
        assert all(answer["rows"] for answer in printed["answers"])
        kinds = {row["type"] for row in _events(tmp_path)}
        assert kinds == set(EVENT_NAMES)
    assert left_running(tmp_path) == []


def test_the_changes_of_the_tables_are_streamed_and_deletes_remove_what_inserts_wrote(tmp_path: Path) -> None:
    code, printed, errors = demo(tmp_path, "--kafka", "memory", "--count", "5000")
    assert code == 0, errors
    by_store = {store["store"]: store for store in printed["reconciliation"]["stores"]}
    for store in ("graph", "vector", "search"):
        assert by_store[store]["deleted"] > 0
    with _warehouse(tmp_path) as reader:
        operations = {row["op"] for row in reader.query("SELECT DISTINCT body ->> 'op' AS op FROM changes")}
    assert operations == {"r", "c", "u", "d"}


def test_a_track_of_the_users_own_takes_the_place_of_the_generated_ones(tmp_path: Path) -> None:
    points = "\n".join(
        f'<trkpt lat="{52.2 + number / 10_000}" lon="0.12"><time>2026-05-01T10:{number:02}:00Z</time></trkpt>'
        for number in range(60)
    )
    track = tmp_path / "walk.gpx"
    track.write_text(GPX.format(points=points))
    code, printed, errors = demo(tmp_path / "data", "--kafka", "memory", "--count", "3500", "--gps", str(track))
    assert code == 0, errors
    by_store = {store["store"]: store for store in printed["reconciliation"]["stores"]}
    assert by_store["timeseries"]["found"] == 60


def test_a_file_without_a_fix_and_a_wrong_kafka_are_refused_before_anything_starts(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.csv"
    nothing.write_text("lat,lon,time\n")
    for options in (("--gps", str(nothing)), ("--kafka", "nonsense")):
        command = [sys.executable, "-m", "streams.cli", "demo", "--data-dir", str(tmp_path / "data"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert "error" in done.stderr
    assert not (tmp_path / "data" / "postgres").exists()


def _warehouse(folder: Path) -> Any:
    from connectors.sinks.embedded import EmbeddedReaders

    return EmbeddedReaders(folder / "stores", "").warehouse()


def _events(folder: Path) -> list[dict[str, Any]]:
    with _warehouse(folder) as reader:
        return reader.query("SELECT DISTINCT type FROM events")
