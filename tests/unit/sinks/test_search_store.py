# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from collections.abc import Generator
from datetime import UTC, datetime
from math import cos, radians
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.contract import APPLIED, Rejected
from connectors.sinks.sqlite.geo import boxes_around, distance
from connectors.sinks.sqlite.search import SearchReader, SearchSink, match_expression
from schemas.writes import SearchWrite


def write(entity: str, name: str = "", version: int = 1, **fields: Any) -> SearchWrite:
    named: dict[str, Any] = {"kind": "restaurant", **fields}
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return SearchWrite(entity=entity, version=version, source="cdc", event_id="e", occurred_at=at, name=name, **named)


@pytest.fixture
def sink(tmp_path: Path) -> Generator[SearchSink]:
    sink = SearchSink(tmp_path / "search.db")
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def reader(sink: SearchSink) -> Generator[SearchReader]:
    with SearchReader(sink.path) as reader:
        yield reader


def names(found: list[Any]) -> list[str]:
    return [one.name for one in found]


def test_words_are_found_whatever_their_case_and_accents(sink: SearchSink, reader: SearchReader) -> None:
    sink.write([write("a", "Café Müller"), write("b", "Diner")])
    for words in ("cafe", "MULLER cafe", "café mül"):
        assert names(reader.matching(words)) == ["Café Müller"]
    assert reader.matching("caffeine") == []


def test_a_word_in_the_name_counts_more_than_in_the_text(sink: SearchSink, reader: SearchReader) -> None:
    sink.write([write("a", "Noodle Bar", text="also pizza, pizza and pizza"), write("b", "Pizza", text="noodles")])
    assert names(reader.matching("pizza")) == ["Pizza", "Noodle Bar"]
    assert names(reader.matching("pizza", kind="hotel")) == []
    assert names(reader.matching("pizza", limit=1)) == ["Pizza"]


def test_a_document_is_found_by_its_new_words_and_no_longer_by_its_old_ones(
    sink: SearchSink, reader: SearchReader
) -> None:
    sink.write([write("a", "Old Name", lat=40.0, lon=-74.0)])
    sink.write([write("a", "New Name", version=2, lat=50.0, lon=8.0)])
    assert names(reader.matching("name")) == ["New Name"]
    assert reader.matching("old") == []
    assert reader.within(40, -74, 1_000) == []
    assert names(reader.within(50, 8, 1_000)) == ["New Name"]
    sink.write([write("a", version=3)])
    assert reader.within(50, 8, 1_000) == []
    sink.write([write("a", version=4, op="delete")])
    assert reader.query("SELECT count(*) AS n FROM texts_docsize") == [{"n": 0}]
    assert reader.query("SELECT count(*) AS n FROM positions") == [{"n": 0}]


def test_the_index_is_whole_after_many_changes(sink: SearchSink) -> None:
    for version in range(1, 6):
        sink.write([write(f"e{n}", f"name {n * version}", version=version, lat=n / 10, lon=0.0) for n in range(200)])
        sink.write([write(f"e{n}", version=version, op="delete") for n in range(0, 200, 7)])
    sink.connection.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 1)")
    assert sink.connection.execute("SELECT rtreecheck('positions')").get == "ok"


def test_within_a_radius_the_best_come_first_and_then_the_nearest(sink: SearchSink, reader: SearchReader) -> None:
    sink.write(
        [
            write("good-far", "good far", lat=40.015, lon=-74.0, score=0.9),
            write("good-near", "good near", lat=40.001, lon=-74.0, score=0.9),
            write("bad", "bad", lat=40.0, lon=-74.0, score=0.1),
            write("unjudged", "unjudged", lat=40.0, lon=-74.0),
            write("outside", "outside", lat=40.02, lon=-74.0, score=1.0),
            write("corner", "corner of the box", lat=40.0178, lon=-74.0232, score=1.0),
            write("hotel", "hotel", kind="hotel", lat=40.0, lon=-74.0, score=1.0),
        ]
    )
    found = reader.within(40, -74, 2_000, kind="restaurant")
    assert names(found) == ["good near", "good far", "bad", "unjudged"]
    assert found[0].metres == pytest.approx(111, abs=1)
    assert names(reader.within(40, -74, 2_000, words="good")) == ["good near", "good far"]
    assert names(reader.within(40, -74, 2_000, kind="restaurant", limit=1)) == ["good near"]


def test_a_radius_reaches_over_the_date_line_and_the_pole(sink: SearchSink, reader: SearchReader) -> None:
    sink.write([write("a", "east", lat=-17.0, lon=179.99), write("b", "west", lat=-17.0, lon=-179.99)])
    sink.write([write("c", "pole", lat=89.99, lon=10.0)])
    assert set(names(reader.within(-17, 180, 5_000))) == {"east", "west"}
    assert set(names(reader.within(-17, -179.995, 5_000))) == {"east", "west"}
    assert names(reader.within(89.99, -170, 5_000)) == ["pole"]


def test_a_position_outside_the_earth_or_half_of_one_is_rejected(sink: SearchSink) -> None:
    outcomes = sink.write([write("a", lat=95.0, lon=0.0), write("b", lat=1.0), write("c", lat=0.0, lon=180.0)])
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [True, True, False]
    assert outcomes[1] == Rejected("`lat` and `lon` come together")
    assert outcomes[2] == APPLIED


@given(st.text())
def test_no_words_are_a_syntax_error(words: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
    expression = match_expression(words)
    if expression:
        connection.execute("SELECT * FROM t WHERE t MATCH ?", (expression,)).fetchall()
    else:
        assert not words.replace("\0", " ").split()


latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)


@given(latitudes, longitudes, st.floats(-1, 1), st.floats(-1, 1), st.floats(1, 2_000_000))
def test_what_is_within_the_radius_is_within_the_boxes(
    lat: float, lon: float, north: float, east: float, metres: float
) -> None:
    other_lat = max(-90.0, min(90.0, lat + north * metres / 111_000))
    other_lon = lon + east * metres / 111_000 / max(0.01, cos(radians(lat)))
    other_lon = (other_lon + 180) % 360 - 180
    if distance(lat, lon, other_lat, other_lon) <= metres * (1 - 1e-9):
        boxes = boxes_around(lat, lon, metres)
        assert any(
            box.south - 1e-9 <= other_lat <= box.north + 1e-9 and box.west - 1e-9 <= other_lon <= box.east + 1e-9
            for box in boxes
        )


def test_distances_are_those_of_the_sphere() -> None:
    assert distance(0, 0, 0, 0) == 0
    assert distance(40.7128, -74.0060, 51.5074, -0.1278) == pytest.approx(5_570_000, rel=0.001)
    assert distance(0, 0, 0, 180) == pytest.approx(20_015_115, rel=0.0001)
