import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.influxdb.lines import (
    EARLIEST,
    LATEST,
    Unfit,
    line,
    place_of,
    series_key,
    tombstone_line,
)
from schemas.writes import TimeSeriesWrite

TAG_TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x7f", min_codepoint=0x20), min_size=1, max_size=12
).filter(lambda text: not text.endswith("\\"))
NAMES = TAG_TEXT.filter(
    lambda name: name not in ("time", "entity") and not name.startswith(("_", "version.", "deleted:"))
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
)


def write(**given: Any) -> TimeSeriesWrite:
    fields: dict[str, Any] = {
        "entity": "gps:u1:5",
        "version": 7,
        "source": "gps-events",
        "event_id": "e",
        "occurred_at": datetime(2026, 5, 1, tzinfo=UTC),
        "measurement": "gps",
        "tags": {"user_id": "u1"},
        "time_ns": 5,
        "fields": {"lat": 1.5},
    }
    return TimeSeriesWrite(**{**fields, **given})


def rendered(one: TimeSeriesWrite) -> str:
    point = place_of(one)
    return line(point, entity=one.entity, versions={one.source: one.version}, fields=one.fields).decode()


def split(text: str, at: str) -> list[str]:
    """Split where a character stands neither in quotes nor behind a backslash, as the server's scanner does."""
    parts, quoted, position = [""], False, 0
    while position < len(text):
        if text[position] == "\\" and position + 1 < len(text):
            parts[-1] += text[position : position + 2]
            position += 2
            continue
        quoted ^= text[position] == '"' and "=" in parts[-1]
        if text[position] == at and not quoted:
            parts.append("")
        else:
            parts[-1] += text[position]
        position += 1
    return parts


def plain(name: str) -> str:
    for character in ",= ":
        name = name.replace(f"\\{character}", character)
    return name


def read(value: str) -> str | int | float | bool:
    if value.startswith('"'):
        return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if value in ("true", "false"):
        return value == "true"
    return int(value[:-1]) if value.endswith("i") else float(value)


def test_a_line_has_sorted_tags_the_fields_the_entity_the_version_and_nanoseconds() -> None:
    one = write(tags={"z": "1", "a": "2"}, fields={"lat": 40.5, "n": 3, "ok": True, "cell": 'a"b\\'}, time_ns=123456789)
    assert rendered(one) == (
        'gps,a=2,z=1 lat=40.5,n=3i,ok=true,cell="a\\"b\\\\",entity="gps:u1:5",version.gps-events=7i 123456789'
    )


def test_commas_spaces_and_equal_signs_are_escaped_where_they_would_end_something() -> None:
    one = write(measurement="a b,c=d", tags={"k =,": "v =,"}, fields={"f =,": 1}, source="s =,")
    assert rendered(one).startswith("a\\ b\\,c=d,k\\ \\=\\,=v\\ \\=\\, f\\ \\=\\,=1i,")
    assert "version.s\\ \\=\\,=7i" in rendered(one)


@given(
    tags=st.dictionaries(NAMES, TAG_TEXT.filter(lambda text: "\\" not in text), max_size=4),
    fields=st.dictionaries(
        NAMES.filter(lambda text: "\\" not in text and '"' not in text), VALUES, min_size=1, max_size=5
    ),
    time_ns=st.integers(EARLIEST, LATEST),
)
def test_what_is_written_reads_back_as_it_was(tags: dict[str, str], fields: dict[str, Any], time_ns: int) -> None:
    tags = {name: value for name, value in tags.items() if "\\" not in name and '"' not in name + value}
    series, content, moment = split(rendered(write(tags=tags, fields=fields, time_ns=time_ns)), " ")
    _, *pairs = split(series, ",")
    names = [split(pair, "=") for pair in pairs]
    assert {plain(name): plain(value) for name, value in names} == tags
    assert [plain(name) for name, _ in names] == sorted(tags)
    found = {plain(split(pair, "=")[0]): read(pair[len(split(pair, "=")[0]) + 1 :]) for pair in split(content, ",")}
    assert found == {**fields, "entity": "gps:u1:5", "version.gps-events": 7}
    assert all(type(found[name]) is type(value) for name, value in fields.items())
    assert int(moment) == time_ns


@given(tags=st.dictionaries(NAMES, TAG_TEXT, max_size=5))
def test_the_order_of_tags_makes_no_difference(tags: dict[str, str]) -> None:
    backwards = dict(reversed(tags.items()))
    assert rendered(write(tags=tags)) == rendered(write(tags=backwards))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_by_name(value: float) -> None:
    with pytest.raises(Unfit, match=r"`fields\.speed` is not a finite number"):
        rendered(write(fields={"speed": value}))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"fields": {}}, "`fields` are empty"),
        ({"fields": {"n": 2**63}}, r"`fields\.n` does not fit into 64 bits"),
        ({"fields": {"text": "x" * 1_048_577}}, r"`fields\.text` has more than 1,048,576 bytes"),
        ({"fields": {"time": 1}}, "reserved name 'time'"),
        ({"fields": {"entity": "e"}}, "reserved name 'entity'"),
        ({"fields": {"version.x": 1}}, "reserved name"),
        ({"fields": {"a\nb": 1}}, "control character"),
        ({"fields": {"text": "\ud800"}}, "not valid Unicode"),
        ({"tags": {"user_id": "line\nbreak"}}, r"`tags\.user_id` has a control character"),
        ({"tags": {"user_id": "ends\\"}}, "ends in a backslash"),
        ({"tags": {"time": "1"}}, "reserved name 'time'"),
        ({"tags": {"user_id": "x" * 65_000}}, "more than 64,535 bytes"),
        ({"measurement": ""}, "`measurement` is empty"),
        ({"measurement": "deleted:gps"}, "reserved"),
        ({"source": "a\nb"}, "`source` has a control character"),
        ({"time_ns": LATEST + 1}, "`time_ns`"),
        ({"time_ns": EARLIEST - 1}, "`time_ns`"),
    ],
)
def test_what_line_protocol_cannot_say_is_refused_by_name(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        rendered(write(**given))


def test_a_tag_without_a_value_is_no_tag() -> None:
    assert place_of(write(tags={"a": "", "b": "1"})) == place_of(write(tags={"b": "1"}))


def test_a_tombstone_says_which_versions_were_deletes() -> None:
    point = place_of(write())
    largest = 2**63 - 1
    assert tombstone_line(point, entity="e", versions={"one": (5, False), "two": (largest, True)}).decode() == (
        f'deleted:gps,user_id=u1 entity="e",version.one=5i,version.two={-(2**63)}i 5'
    )


def test_a_series_is_named_as_the_server_names_it() -> None:
    assert series_key("m", (("b", "x y,z=q\"w'"),)) == "m,b=x\\ y\\,z\\=q\"w'"
