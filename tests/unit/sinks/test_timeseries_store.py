from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sinks.contract import APPLIED, Rejected
from connectors.sinks.sqlite.timeseries import TimeSeriesReader, TimeSeriesSink
from schemas.writes import TimeSeriesWrite

START = 1_777_000_000_000_000_000


def point(
    user: str, time_ns: int, version: int = 1, tags: dict[str, str] | None = None, **fields: Any
) -> TimeSeriesWrite:
    all_tags = {"user_id": user, **(tags or {})}
    return TimeSeriesWrite(
        entity=f"gps:{sorted(all_tags.items())}:{time_ns}",
        version=version,
        source="gps-events",
        event_id="e",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        measurement="gps",
        tags=all_tags,
        time_ns=time_ns,
        fields=fields or {"lat": 40.0},
    )


@pytest.fixture
def sink(tmp_path: Path) -> Generator[TimeSeriesSink]:
    sink = TimeSeriesSink(tmp_path / "timeseries.db")
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def reader(sink: TimeSeriesSink) -> Generator[TimeSeriesReader]:
    with TimeSeriesReader(sink.path) as reader:
        yield reader


def test_a_range_is_in_order_of_time_and_leaves_out_its_end(sink: TimeSeriesSink, reader: TimeSeriesReader) -> None:
    sink.write([point("u1", START + second) for second in (3, 1, 2, 4)] + [point("u2", START + 2)])
    found = reader.range("gps", {"user_id": "u1"}, START + 2, START + 4)
    assert [one.time_ns - START for one in found] == [2, 3]
    assert [one.time_ns - START for one in reader.range("gps", {}, START, START + 3)] == [1, 2, 2]
    newest = reader.range("gps", {"user_id": "u1"}, limit=2, newest_first=True)
    assert [one.time_ns - START for one in newest] == [4, 3]


def test_points_are_found_by_some_of_their_tags(sink: TimeSeriesSink, reader: TimeSeriesReader) -> None:
    sink.write([point("u1", START, tags={"mode": "walk"}), point("u1", START + 1, tags={"mode": "car", "x": "ü,= "})])
    assert len(reader.range("gps", {"user_id": "u1"})) == 2
    assert [one.tags["mode"] for one in reader.range("gps", {"mode": "car", "user_id": "u1"})] == ["car"]
    assert reader.range("gps", {"mode": "u1"}) == []
    assert reader.range("other", {"user_id": "u1"}) == []
    assert reader.counts() == {"points": 2, "series": 2}


def test_the_order_of_tags_makes_no_difference(sink: TimeSeriesSink, reader: TimeSeriesReader) -> None:
    sink.write([point("u1", START, tags={"a": "1", "b": "2"}), point("u1", START + 1, tags={"b": "2", "a": "1"})])
    assert reader.counts() == {"points": 2, "series": 1}


def test_the_last_point_is_the_newest_and_not_the_one_written_last(
    sink: TimeSeriesSink, reader: TimeSeriesReader
) -> None:
    sink.write([point("u1", START + 9, lat=9.0), point("u1", START + 1, lat=1.0)])
    last = reader.last("gps", {"user_id": "u1"})
    assert last is not None
    assert last.fields == {"lat": 9.0}
    assert reader.last("gps", {"user_id": "nobody"}) is None


def test_nanoseconds_are_kept_exactly(sink: TimeSeriesSink, reader: TimeSeriesReader) -> None:
    sink.write([point("u1", START + 123_456_789), point("u1", -5)])
    assert [one.time_ns for one in reader.range("gps", {})] == [-5, START + 123_456_789]


def test_what_is_no_point_is_rejected_by_name(sink: TimeSeriesSink) -> None:
    outcomes = sink.write(
        [
            point("u1", START, speed=float("nan")),
            msgspec.structs.replace(point("u1", START), fields={}),
            point("u1", 2**63),
            point("u1", START),
            msgspec.structs.replace(point("u1", START), entity="another name of the same point"),
        ]
    )
    assert outcomes[0] == Rejected("`fields.speed` is not a finite number: nan")
    assert outcomes[1] == Rejected("`fields` are empty")
    assert isinstance(outcomes[2], Rejected)
    assert outcomes[3] == APPLIED
    assert isinstance(outcomes[4], Rejected)
    assert "points.time_ns" in outcomes[4].reason
