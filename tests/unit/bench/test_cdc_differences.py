"""The workload of the differential test, its comparison, and the table of the differences from Debezium."""

from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cdc import differences
from bench.cdc.comparison import Different, Event, Record, compare, events, same
from bench.cdc.workload.steps import Settle, Workload

ROOT = Path(__file__).parents[3]


def event(op: str = "c", lsn: int = 1, snapshot: str = "false", key: Any = 1, **row: Any) -> Event:
    source = {"lsn": lsn, "snapshot": snapshot, "table": "t"}
    return Event("t", {"id": key}, {"op": op, "source": source, "after": {"id": key, **row}, "ts_ms": lsn}, {})


def told(field: str, ours: Any, theirs: Any, table: str = "every_type", op: str = "c") -> list[Different]:
    return differences.unexplained([Different(table, op, field, ours, theirs, "")])


def test_the_page_of_differences_is_the_table() -> None:
    assert (ROOT / "docs" / "cdc-differences.md").read_text("utf-8") == differences.page()


@settings(max_examples=20)
@given(st.integers(0, 1_000))
def test_the_same_seed_gives_the_same_statements(seed: int) -> None:
    first, second = (list(Workload(seed).steps(50)) for _ in range(2))
    assert first == second


def test_a_session_ends_every_transaction_that_it_begins_before_anything_settles() -> None:
    open_ones: Counter[int] = Counter()
    for step in Workload(3).steps(2_000):
        if isinstance(step, Settle) or step.sql.startswith(("TRUNCATE", "ALTER")):
            assert not +open_ones
        elif step.sql == "BEGIN":
            open_ones[step.session] += 1
            assert open_ones[step.session] == 1
        elif step.sql in ("COMMIT", "ROLLBACK"):
            open_ones[step.session] -= 1


def test_numbers_that_look_different_and_are_the_same_are_the_same() -> None:
    [mine] = events([Record("t", None, b'{"a":1e-30}', [])])
    [theirs] = events([Record("t", None, b'{"a":1.0E-30}', [])])
    assert same(mine.value, theirs.value)
    assert not same(1, 1.0)
    assert not same([True], [1])


def test_what_one_reader_does_not_tell_is_a_difference() -> None:
    first, second = event(lsn=1), event(lsn=2)
    assert compare([first, second], [second, first]) == []
    [missing] = compare([first], [first, second])
    assert (missing.field, missing.ours) == ("event", "(no such field)")
    [field] = compare([event(a=1)], [event(a=None)])
    assert (field.field, field.ours, field.theirs) == ("after.a", 1, None)


def test_rows_of_a_snapshot_belong_together_whatever_their_position() -> None:
    rows = [event("r", 5, "first", key=1), event("r", 5, "last", key=2)]
    others = [event("r", 9, "first", key=2), event("r", 9, "last", key=1)]
    assert {found.field for found in compare(rows, others)} == {"source.lsn", "source.snapshot"}


def test_a_tombstone_belongs_to_the_delete_before_it() -> None:
    value = b'{"op":"d","source":{"lsn":1,"snapshot":"false","table":"t"}}'
    with_one = events([Record("t", b"1", value, []), Record("t", b"1", None, [])])
    without = events([Record("t", b"1", value, [("__debezium.context.taskId", b'"0"')])])
    [found] = compare(with_one, without)
    assert (found.field, found.ours, found.theirs) == ("tombstones", 1, 0)


def test_a_row_of_the_table_explains_no_more_than_it_says() -> None:
    assert told("after.c_time_array", [1_001], [1_000]) == []
    assert told("after.c_time_array", [1_001], [2_000]) != []
    assert told("after.c_date", 2**31 - 1, -1) == []
    assert told("after.c_date", 100, 101) != []
    assert told("after.c_timestamp_3", -63_517_780_800_000, -63_517_953_600_000) == []
    assert told("after.c_timestamp_3", 1_000, 2_000) != []
    assert told("after.c_timestamptz", "1500-02-03T04:05:06Z", "1500-02-12T04:05:06Z") == []
    assert told("after.c_timestamptz", "2000-02-03T04:05:06Z", "2000-02-12T04:05:06Z") != []
    assert told("after.c_real", 134247260.0, 134247264.0) == []
    assert told("after.c_real", 1.5, 1.25) != []
    assert told("after.c_name", "x", None) == []
    assert told("after.c_name", "x", None, op="r") != []
    assert told("before.a", None, "", table="changing", op="d") == []
    assert told("before.a", "x", "", table="changing", op="d") != []
    assert told("event", {}, "(no such field)") != []
