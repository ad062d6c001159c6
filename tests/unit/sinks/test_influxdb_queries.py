import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.errors import failure, refusal
from connectors.sinks.influxdb.lines import Point, Series
from connectors.sinks.influxdb.merge import Latest, State
from schemas.writes import TimeSeriesWrite

TIME = 1_777_000_000_123_456_789


def answer(*series: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"results": [{"statement_id": 0, "series": list(series)}]})


@given(times=st.lists(st.integers(-(2**62), 2**62), max_size=50), most=st.integers(1, 8))
def test_windows_hold_every_time_and_are_no_more_than_allowed(times: list[int], most: int) -> None:
    found = queries.windows(times, most)
    assert len(found) <= most
    assert all(any(first <= one <= last for first, last in found) for one in times)
    assert found == sorted(found)


def test_the_largest_gaps_are_left_out() -> None:
    hour = 3_600_000_000_000
    assert queries.windows([0, 5, 9 * hour, 9 * hour + 7, 3 * hour], 3) == [
        (0, 5),
        (3 * hour, 3 * hour),
        (9 * hour, 9 * hour + 7),
    ]
    assert queries.windows([], 3) == []


def test_few_series_are_asked_for_by_name_and_many_by_a_pattern_of_their_widest_tag() -> None:
    few = queries.states_of([Point("gps", (("user_id", "it's"),), TIME), Point("gps", (("user_id", "b"),), TIME + 1)])
    assert few == [
        'SELECT entity, /^version\\./ FROM "gps", "deleted:gps" WHERE '
        f"time >= {TIME} AND time <= {TIME} AND \"user_id\" = 'it\\'s' GROUP BY *",
        'SELECT entity, /^version\\./ FROM "gps", "deleted:gps" WHERE '
        f"time >= {TIME + 1} AND time <= {TIME + 1} AND \"user_id\" = 'b' GROUP BY *",
    ]
    many = [Point("gps", (("device", "phone"), ("user_id", f"u{number}")), TIME + number) for number in range(1_000)]
    [statement] = queries.states_of(many)
    assert '"user_id" =~ /^(u0|u1|' in statement
    assert f"time >= {TIME} AND time <= {TIME + 999}" in statement


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
def test_a_pattern_of_a_text_has_no_character_that_would_end_it(text: str) -> None:
    [statement] = queries.holding([text])
    pattern = statement.partition("/^(")[2].rpartition(")$/")[0]
    assert re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: chr(int(match[1], 16)), pattern) == text
    assert "/" not in pattern
    assert "\n" not in pattern


def test_an_entity_that_ends_in_its_time_is_looked_for_at_that_time() -> None:
    statements = queries.holding([f"gps:u1:{TIME}", "gps:u1"])
    assert f"time >= {TIME} AND time <= {TIME}" in statements[0]
    assert "time" not in statements[1].partition("WHERE")[2]


def test_versions_of_points_and_of_tombstones_are_read_together() -> None:
    columns = ["time", "entity", "version.one", "version.two"]
    rows = queries.answer(
        answer(
            {
                "name": "gps",
                "tags": {"b": "2", "a": "1", "none": ""},
                "columns": columns,
                "values": [[5, "e", 7, None]],
            },
            {
                "name": "deleted:gps",
                "tags": {"a": "1", "b": "2"},
                "columns": columns,
                "values": [[5, "e", 6, -(2**63)]],
            },
            {"name": "gps", "tags": {"a": "theirs"}, "columns": columns, "values": [[5, "e", None, None]]},
        )
    )
    buried = {"one": Latest(6, deleted=False), "two": Latest(2**63 - 1, deleted=True)}
    assert queries.states(rows) == {Point("gps", (("a", "1"), ("b", "2")), 5): State("e", {"one": 7}, buried)}


def test_a_removal_names_one_point_to_the_nanosecond() -> None:
    assert msgspec.json.decode(queries.removal(Point('g"s', (("user_id", "a\\b"),), TIME))) == {
        "start": "2026-04-24T03:06:40.123456789Z",
        "stop": "2026-04-24T03:06:40.123456789Z",
        "predicate": '"_measurement"="g\\"s" AND "user_id"="a\\\\b"',
    }


def test_a_failed_statement_is_no_empty_answer() -> None:
    with pytest.raises(queries.QuestionFailed, match="timeout"):
        queries.answer(b'{"results": [{"statement_id": 0, "error": "timeout"}]}')
    with pytest.raises(queries.QuestionFailed):
        queries.answer(b"<html>")


CONFLICT = (
    b'{"code":"unprocessable entity","message":"failure writing points to database: partial write: '
    b'field type conflict: input field \\"lat\\" on measurement \\"gps\\" is type integer, already exists as '
    b'type float dropped=2"}'
)


def test_a_partial_write_names_the_field_to_those_that_have_it() -> None:
    found = refusal(422, CONFLICT)
    assert found is not None
    assert found.partial
    common: dict[str, Any] = {"entity": "e", "version": 1, "source": "s", "event_id": "e", "measurement": "gps"}
    common |= {"occurred_at": "2026-05-01T00:00:00Z", "tags": {}, "time_ns": 5}
    guilty = msgspec.convert({**common, "fields": {"lat": 1}, "store": "timeseries"}, TimeSeriesWrite)
    other = msgspec.convert({**common, "fields": {"lat": 1.5}, "store": "timeseries"}, TimeSeriesWrite)
    assert found.reason_of(guilty).startswith("`fields.lat`: field type conflict")
    assert "dropped" not in found.reason_of(guilty)
    assert found.reason_of(other).startswith("`fields`: one of them")


def test_a_line_that_cannot_be_parsed_is_not_repeated_in_the_reason() -> None:
    found = refusal(400, b'{"code":"invalid","message":"unable to parse \'gps secret=1\': bad"}')
    assert found is not None
    assert not found.partial
    assert "secret" not in found.reason


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (401, b'{"message":"unauthorized access"}', Fatal, r"stores\.timeseries\.token"),
        (404, b'{"message":"bucket \\"b\\" not found"}', Fatal, r"stores\.timeseries\.bucket"),
        (429, b"{}", Unavailable, "429"),
        (503, b"<html>busy</html>", Unavailable, "busy"),
        (405, b"", Fatal, r"stores\.timeseries\.url"),
    ],
)
def test_every_status_has_a_meaning(status: int, body: bytes, kind: type[Exception], says: str) -> None:
    error = failure(status, body, "7")
    assert isinstance(error, kind)
    assert re.search(says, str(error))
    if isinstance(error, Unavailable):
        assert error.after == 7.0


def test_who_wrote_last_is_asked_for_behind_the_last_claim_and_the_newest_one_counts() -> None:
    assert queries.claims(7) == 'SELECT writer FROM "travelos:writer" WHERE time >= 7'
    assert queries.claims(None) == 'SELECT last(writer) AS writer FROM "travelos:writer"'
    found = answer({"name": "travelos:writer", "columns": ["time", "writer"], "values": [[7, "a"], [9, "b"]]})
    assert queries.newest_claim(queries.answer(found)) == (9, "b")
    assert queries.newest_claim([]) is None


def test_the_end_of_a_track_is_its_last_point_or_tombstone() -> None:
    one, other = Series("gps", (("user_id", "a"),)), Series("gps", (("user_id", "b"),))
    assert queries.newest_of([one]) == [
        'SELECT last(entity) FROM "gps", "deleted:gps" WHERE "user_id" = \'a\' GROUP BY *'
    ]
    [statement] = queries.newest_of(Series("gps", (("user_id", f"u{number}"),)) for number in range(100))
    assert '"user_id" =~ /^(u0|u1|' in statement
    assert queries.newest_of([Series("gps", ())]) == ['SELECT last(entity) FROM "gps", "deleted:gps" GROUP BY *']
    rows = [("gps", {"user_id": "a"}, 5, {"last": "e"}), ("deleted:gps", {"user_id": "a"}, 9, {"last": "e"})]
    assert queries.newest_times([*rows, ("gps", {"user_id": "b"}, 3, {"last": "e"})]) == {one: 9, other: 3}
