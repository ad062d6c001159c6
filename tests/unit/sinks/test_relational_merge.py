from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.contract import APPLIED, SUPERSEDED
from connectors.sinks.postgres.merge import Line, RowChange, Value, apply
from connectors.sinks.postgres.sink import stray
from connectors.sinks.postgres.values import Unfit, checked
from schemas.writes import RelationalWrite
from streams.routing.entities import Cause
from streams.routing.shapes import row

AT = datetime(2026, 5, 1, tzinfo=UTC)


def write(version: int, columns: dict[str, Any] | None = None, **fields: Any) -> RelationalWrite:
    named: dict[str, Any] = {"table": "trips", "key": "t1", "entity": "trip:t1", **fields}
    return RelationalWrite(
        version=version, source="user-events", event_id="e", occurred_at=AT, columns=columns or {}, **named
    )


class Row:
    """A row as the database would keep it."""

    def __init__(self) -> None:
        self.columns: dict[str, Value] | None = None

    def take(self, change: RowChange) -> None:
        if change.remove:
            self.columns = None
        if change.columns is not None:
            self.columns = (self.columns or {}) | change.columns

    def shown(self) -> dict[str, Value] | None:
        return None if self.columns is None else {k: v for k, v in self.columns.items() if v is not None}


def result(writes: list[RelationalWrite], batch: int = 1) -> dict[str, Value] | None:
    row, line = Row(), Line(table="trips", key="t1")
    for start in range(0, len(writes), batch):
        change = RowChange()
        for one in writes[start : start + batch]:
            apply(one, line, change)
        row.take(change)
    return row.shown()


def test_a_late_plan_fills_in_what_the_start_left_open_and_undoes_nothing() -> None:
    planned = write(1, {"title": "Boston", "status": "planned"})
    started = write(2, {"status": "started"})
    for order in ([planned, started], [started, planned]):
        assert result(order) == {"title": "Boston", "status": "started"}


def test_a_late_write_without_anything_newer_is_superseded() -> None:
    line = Line(table="trips", key="t1")
    assert apply(write(5, {"status": "ended"}), line, RowChange()) == APPLIED
    change = RowChange()
    assert apply(write(3, {"status": "started"}), line, change) == SUPERSEDED
    assert apply(write(5, {"status": "ended"}), line, change) == SUPERSEDED
    assert change == RowChange()
    assert line.version == 5


def test_a_late_delete_clears_what_is_older_and_keeps_what_is_newer() -> None:
    planned, deleted, started = write(1, {"title": "Boston"}), write(3, op="delete"), write(5, {"status": "started"})
    for order in ([planned, deleted, started], [planned, started, deleted], [started, deleted, planned]):
        assert result(order) == {"status": "started"}


def test_a_column_set_to_nothing_is_not_filled_by_an_older_value() -> None:
    assert result([write(2, {"title": None}), write(1, {"title": "old"})]) == {}


columns = st.dictionaries(st.sampled_from(["title", "status", "user_id"]), st.integers().map(str), max_size=3)


@given(st.data())
def test_the_same_writes_give_the_same_row_in_every_order_and_batch(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 7))
    writes = [
        write(version, op="delete") if data.draw(st.integers(0, 4)) == 0 else write(version, data.draw(columns))
        for version in range(count)
    ]
    expected = result(writes)
    shuffled = data.draw(st.permutations(writes + data.draw(st.lists(st.sampled_from(writes), max_size=4))))
    assert result(shuffled, data.draw(st.integers(1, 5))) == expected


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), columns), max_size=8))
def test_a_second_run_changes_nothing(history: list[tuple[int, bool, dict[str, str]]]) -> None:
    writes = [
        write(version, {} if gone else {**named}, op="delete" if gone else "upsert") for version, gone, named in history
    ]
    line = Line(table="trips", key="t1")
    for one in writes:
        apply(one, line, RowChange())
    newest_first = sorted(writes, key=lambda one: -one.version)
    for one in newest_first:
        if one.version < line.version and sum(other.version == one.version for other in writes) == 1:
            change = RowChange()
            assert apply(one, line, change) == SUPERSEDED
            assert change == RowChange()


@pytest.mark.parametrize(
    ("columns", "table", "reason"),
    [
        ({"nonsense": 1}, "trips", "`trips` has no column `nonsense`"),
        ({"title": 5}, "trips", "column `title` of `trips` takes text: got 5"),
        ({"title": "a\0b"}, "trips", "NUL"),
        ({"title": "\ud83d"}, "trips", "not valid Unicode"),
        ({"destinations": "Boston"}, "trips", "takes text[]: got 'Boston'"),
        ({"destinations": ["a", 5]}, "trips", "takes text[]: got 5"),
        ({"starts_on": "2026-02-30"}, "trips", "column `starts_on`"),
        ({"planned_at": "2026-05-01T10:00:00"}, "trips", "no offset from UTC"),
        ({"planned_at": "yesterday"}, "trips", "column `planned_at`"),
        ({"guests": 2.5}, "bookings", "takes integer: got 2.5"),
        ({"guests": True}, "bookings", "takes integer: got True"),
        ({"guests": 2**31}, "bookings", "takes integer"),
        ({"amount": "12"}, "bookings", "takes numeric: got '12'"),
        ({"lat": float("nan")}, "urgent_requests", "takes double precision: got nan"),
        ({}, "nowhere", "`table` is `nowhere`"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_column(
    columns: dict[str, Any], table: str, reason: str
) -> None:
    with pytest.raises(Unfit) as caught:
        checked(write(1, columns, table=table))
    assert reason in str(caught.value)


@pytest.mark.parametrize("fields", [{"key": ""}, {"key": "a\0"}, {"entity": "\ud83d"}, {"version": 2**63}])
def test_an_identifier_the_database_cannot_hold_is_refused_by_name(fields: dict[str, Any]) -> None:
    named: dict[str, Any] = {"version": 1, **fields}
    with pytest.raises(Unfit, match=next(iter(fields))):
        checked(write(**named))


def test_times_and_dates_take_one_form() -> None:
    columns: dict[str, Any] = {
        "starts_on": "20260501",
        "planned_at": "2026-05-01T10:00:00Z",
        "title": None,
        "status": "🗽",
    }
    assert checked(write(1, columns)).columns == {
        "starts_on": "2026-05-01",
        "planned_at": "2026-05-01T10:00:00+00:00",
        "title": None,
        "status": "🗽",
    }


@given(st.text(":%ab", max_size=6))
def test_a_row_that_nobody_has_written_has_the_name_that_a_write_of_it_would_have(key: str) -> None:
    cause = Cause(version=1, source="events", event_id="e", occurred_at=AT)
    written, found = row(cause, "bookings", key, {}), stray("bookings", key)
    assert (found.entity, found.table, found.key) == (written.entity, written.table, written.key)
