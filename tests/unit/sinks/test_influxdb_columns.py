"""Lines that are made column by column say what those made one by one say."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.influxdb.columns import block_of, lines_of
from connectors.sinks.influxdb.lines import MAX_TEXT_BYTES, Unfit, line, place_of, series_key
from schemas.writes import TimeSeriesWrite
from tests.unit.sinks.test_influxdb_lines import plain, read, split, write

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(['"', "\\", "%s", ","]),
)
NAMES = st.sampled_from(["lat", "lon", "a b", "%d", "n=1", "time", "_x", "", "bad\n"])
FIELDS = st.dictionaries(NAMES, VALUES, max_size=3)


def keys_of(writes: list[TimeSeriesWrite]) -> list[str]:
    points = [place_of(one) for one in writes]
    return [series_key(point.measurement, point.tags) for point in points]


def alone(one: TimeSeriesWrite) -> bytes | None:
    """The line of a write as it is made by itself; None where it is refused."""
    try:
        return line(place_of(one), entity=one.entity, versions={one.source: one.version}, fields=one.fields)
    except Unfit:
        return None


def meaning(text: bytes) -> tuple[str, dict[str, Any], str]:
    """Numbers may be written in more than one way (1e-5, 1e-05)."""
    series, content, moment = split(text.decode(), " ")
    pairs = [(name, content_of) for name, content_of in (halves(pair) for pair in split(content, ","))]
    return series, {plain(name): read(value) for name, value in pairs}, moment


def halves(pair: str) -> tuple[str, str]:
    name = split(pair, "=")[0]
    return name, pair[len(name) + 1 :]


def assert_a_block_says_the_same(block: bytes | None, lines: list[bytes]) -> None:
    """Lines of one shape stand together in it, so their order may be another one."""
    assert (block is not None) == all(lines)
    if block is not None:
        assert len(block) == sum(len(text) + 1 for text in lines)
        assert all(text + b"\n" in block for text in lines)


@given(
    given=st.lists(
        st.fixed_dictionaries(
            {
                "fields": FIELDS,
                "entity": st.sampled_from(["gps:u1:5", 'odd"', "\ud800", "%"]),
                "source": st.sampled_from(["gps-events", "100 %", "bad\x00"]),
                "op": st.sampled_from(["upsert", "upsert", "delete"]),
                "version": st.integers(0, 2**53),
                "time_ns": st.integers(0, 2**62),
            }
        ),
        max_size=8,
    )
)
def test_a_line_made_in_a_column_says_what_the_one_made_alone_says(given: list[dict[str, Any]]) -> None:
    writes = [write(**one) for one in given]
    lines = lines_of(keys_of(writes), writes)
    assert len(lines) == len(writes)
    if writes:
        assert_a_block_says_the_same(block_of(keys_of(writes), writes), lines)
    for one, text in zip(writes, lines, strict=True):
        if one.op == "delete":
            assert text == b""
        elif text:
            expected = alone(one)
            assert expected is not None
            assert meaning(text) == meaning(expected)


@given(
    values=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
            st.text(st.characters(exclude_categories=("Cs",), exclude_characters='"\\')),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_is_plain_is_made_in_columns(values: list[tuple[float, int, bool, str]]) -> None:
    writes = [write(fields=dict(zip("abcd", row, strict=True))) for row in values]
    lines = lines_of(keys_of(writes), writes)
    assert all(lines)
    assert block_of(keys_of(writes), writes) == b"".join(text + b"\n" for text in lines)


@pytest.mark.parametrize(
    "odd",
    [math.nan, math.inf, 2**63, -(2**63) - 1, "\ud800", 'a"b', "a\\b", "é" * MAX_TEXT_BYTES, 1],
    ids=lambda value: repr(value)[:12],
)
def test_a_value_that_is_not_plain_is_left_to_be_said_or_refused_alone(odd: Any) -> None:
    same = {float: 1.5, int: 3, str: "x"}[type(odd)] if odd != 1 else 1.5
    writes = [write(fields={"v": same}), write(fields={"v": odd}), write(fields={"w": 2})]
    assert [bool(text) for text in lines_of(keys_of(writes), writes)] == [False, False, True]


def test_a_write_whose_series_cannot_be_said_has_no_line() -> None:
    writes = [write(), write()]
    assert [bool(text) for text in lines_of(["", *keys_of(writes[1:])], writes)] == [False, True]
