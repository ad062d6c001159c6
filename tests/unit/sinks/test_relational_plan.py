"""A batch that is looked at and planned together comes to what its writes come to one by one."""

from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.contract import Outcome
from connectors.sinks.postgres.copying import array, copied
from connectors.sinks.postgres.lines import decode_versions
from connectors.sinks.postgres.merge import Line, Value
from connectors.sinks.postgres.plan import Identity, LineRow, Place, planned, sorted_out
from connectors.sinks.postgres.values import Unfit, all_checked, checked, storable
from schemas.writes import RelationalWrite

AT = datetime(2026, 5, 1, tzinfo=UTC)


def write(version: int, columns: dict[str, Any], **fields: Any) -> RelationalWrite:
    named: dict[str, Any] = {"table": "trips", "key": "1", "entity": "trip:1", "source": "one", **fields}
    return RelationalWrite(version=version, event_id="e", occurred_at=AT, columns=columns, **named)


_writes = st.lists(
    st.builds(
        write,
        st.integers(1, 6),
        st.dictionaries(st.sampled_from(["title", "status"]), st.sampled_from(["a", "b", None])),
        entity=st.sampled_from(["trip:1", "trip:2", "trip:3"]),
        key=st.sampled_from(["1", "2", "3"]),
        source=st.sampled_from(["one", "two"]),
        op=st.sampled_from(["upsert", "upsert", "delete"]),
    ),
    max_size=8,
)


class Tables:
    """Lines and rows as the database would keep them."""

    def __init__(self) -> None:
        self.lines: dict[Identity, LineRow] = {}
        self.rows: dict[Place, dict[str, Value]] = {}

    def take(self, writes: list[RelationalWrite]) -> list[Outcome]:
        entities = {one.entity for one in writes}
        known = {identity: _line(row) for identity, row in self.lines.items() if identity[0] in entities}
        plan = planned(sorted_out(writes), known)
        for row in plan.new_lines:
            assert row[:2] not in self.lines
        self.lines |= {row[:2]: row for row in (*plan.new_lines, *plan.changed_lines)}
        for table, keys in plan.removed.items():
            for key in keys:
                self.rows.pop((table, key), None)
        for (table, names), columns in (*plan.rows, *plan.new_rows):
            for key, *values in zip(*columns, strict=True):
                row = self.rows.setdefault((table, str(key)), {})
                row |= dict(zip(names, values, strict=True))
        return plan.outcomes


def _line(row: LineRow) -> Line:
    *_, table, key, version, deleted, removed, columns, revision = row
    versions = decode_versions(table, version, columns)
    return Line(
        table=table, key=key, version=version, deleted=deleted, removed=removed, columns=versions, revision=revision
    )


def _without_revisions(tables: Tables) -> dict[Identity, tuple[object, ...]]:
    return {row[:2]: (*row[2:7], decode_versions(row[2], row[4], row[7])) for row in tables.lines.values()}


@given(_writes, st.integers(1, 8))
def test_a_batch_leaves_what_its_writes_leave_one_by_one(writes: list[RelationalWrite], size: int) -> None:
    together, apart = Tables(), Tables()
    ends = [end for start in range(0, len(writes), size) for end in together.take(writes[start : start + size])]
    assert ends == [end for one in writes for end in apart.take([one])]
    assert _without_revisions(together) == _without_revisions(apart)
    assert together.rows == apart.rows


def test_a_row_is_new_only_when_no_source_of_its_entity_has_a_line() -> None:
    line = Line(table="trips", key="1", version=3, columns={"title": 3}, revision=1)
    plan = planned(sorted_out([write(1, {"status": "planned"}, source="two")]), {("trip:1", "one"): line})
    assert plan.new_rows == []
    assert plan.rows == [(("trips", ("status",)), [("1",), ("planned",)])]
    alone = planned(sorted_out([write(1, {"status": "planned"})]), {})
    assert alone.new_rows == [(("trips", ("status",)), [["1"], ("planned",)])]


_value = st.one_of(
    st.none(),
    st.text(max_size=4),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.text(max_size=3), max_size=2),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.sampled_from(["2026-05-01", "2026-W18-5", "2026-05-01T10:00:00Z", "2026-05-01 10:00:00+01:00", "\ud800", "\0"]),
    st.sampled_from(["2026-05-01T10:00:00+00:00\n2026-05-01T10:00:00+00:00", "2026-13-01T10:00:00+00:00"]),
)
_named = st.dictionaries(
    st.sampled_from(["user_id", "guests", "amount", "starts_at", "nonsense"]), _value, min_size=1, max_size=2
)


_bookings = st.lists(
    st.builds(
        write,
        st.sampled_from([1, 2**63, 0]),
        _named,
        table=st.just("bookings"),
        key=st.sampled_from(["k", "", "a\0", "키"]),
    ),
    max_size=6,
)


@given(_bookings)
def test_writes_looked_at_together_are_what_they_are_by_themselves(writes: list[RelationalWrite]) -> None:
    assert [one if isinstance(one, RelationalWrite) else str(one) for one in all_checked(writes)] == [
        _by_itself(one) for one in writes
    ]


def _by_itself(one: RelationalWrite) -> RelationalWrite | str:
    try:
        return checked(one)
    except Unfit as error:
        return str(error)


def test_a_value_that_copy_would_read_otherwise_is_escaped() -> None:
    texts = ["plain", "\\N", "\\.", "a\tb", "a\nb", "a\rb", ""]
    said = "plain\n\\\\N\n\\\\.\na\\tb\na\\nb\na\\rb\n\n"
    assert list(copied([texts])) == [said]
    assert list(copied([["a", "b"], [1, 2], cast("list[Value]", [None, True]), [1.5, 1e-07]])) == [
        "a\t1\t\\N\t1.5\nb\t2\tt\t1e-07\n"
    ]


def test_many_rows_are_copied_in_pieces_in_their_order() -> None:
    numbers = list(range(1_000))
    pieces = list(copied([numbers, ["a"] * 1_000]))
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(f"{number}\ta\n" for number in numbers)


def test_an_array_says_quotes_and_backslashes_of_its_texts() -> None:
    assert array([]) == "{}"
    assert array([""]) == '{""}'
    assert array(["a,b", 'q"', "\\", "NULL"]) == '{"a,b","q\\"","\\\\","NULL"}'


def test_texts_that_no_column_can_hold_are_not_looked_for() -> None:
    assert storable({"trip:1", "키"}) == {"trip:1", "키"}
    assert storable(["trip:1", "trip:\0", "trip:\ud800"]) == ["trip:1"]
