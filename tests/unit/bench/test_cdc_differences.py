"""The workload of the differential test, its comparison, and the table of the differences from Debezium."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cdc import differences
from bench.cdc.comparison import Different, compare, same
from bench.cdc.events import Event, Record, events
from bench.cdc.workload.mix import Mix
from bench.cdc.workload.steps import Settle, Workload

ROOT = Path(__file__).parents[3]


def event(op: str = "c", lsn: int = 1, snapshot: str = "false", key: Any = 1, **row: Any) -> Event:
    source = {"lsn": lsn, "snapshot": snapshot, "table": "t"}
    return Event("t", {"id": key}, {"op": op, "source": source, "after": {"id": key, **row}, "ts_ms": lsn}, {})


def told(
    field: str, ours: Any, theirs: Any, table: str = "every_type", op: str = "c", configuration: str = "defaults"
) -> list[Different]:
    return differences.unexplained([Different(table, op, field, ours, theirs, "")], configuration)


def test_every_seed_has_a_mix_of_its_own_whose_shares_are_shares() -> None:
    mixes = [Mix.of(seed) for seed in range(50)]
    assert len(set(map(repr, mixes))) == len(mixes)
    assert all(mix.insert + mix.update + mix.rekey + mix.delete < 1 for mix in mixes)
    assert Mix.of(3) == Mix.of(3)


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


def test_of_rows_that_hold_the_same_it_does_not_matter_which_partition_has_the_first() -> None:
    first, other = event("r", 5, "first", key=1), event("r", 5, "true", key=1)
    assert compare([first, other], [other, first]) == []
    [found] = compare([first, other], [other, other])
    assert (found.field, found.ours, found.theirs) == ("source.snapshot", "first", "true")


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
    assert told("source.sequence", '["5","9"]', '["7","9"]', configuration="debezium_defaults") == []
    assert told("source.sequence", '["5","9"]', '["7","9"]') != []
    schema = {"type": "int32", "optional": False, "field": "Part"}
    assert told("schema value.after.e_number", schema, {**schema, "default": 0}) == []
    assert told("schema value.after.e_number", {**schema, "default": 3}, schema) != []
    assert told("schema value.after.Part", schema, {**schema, "default": 3}) != []
    assert told("schema value.after.Part", schema, {**schema, "optional": True}) != []


def test_schemas_are_compared_member_by_member_in_their_order() -> None:
    def wrapped(**row: Any) -> list[Event]:
        value = {"op": "c", "source": {"lsn": 1, "snapshot": "false", "table": "t"}, "after": {"id": 1}}
        fields = [{"type": "struct", "fields": [{**row, "field": "id"}], "field": "after"}]
        schema = {"type": "struct", "fields": fields, "name": "t.Envelope"}
        return events([Record("t", None, msgspec.json.encode({"schema": schema, "payload": value}))], schemas=True)

    first = {"type": "int32", "optional": False}
    assert compare(wrapped(**first), wrapped(**first)) == []
    [found] = compare(wrapped(**first), wrapped(type="int64", optional=False))
    assert found.field == "schema value.after.id"
    [found] = compare(wrapped(**first), wrapped(optional=False, type="int32"))
    assert found.field == "schema value.after.id"


def test_transactions_and_messages_of_an_outbox_are_compared_too() -> None:
    mine, other = (
        events([Record("x", b"1", b'{"status":"BEGIN","id":"5:%d"}' % lsn), Record("o", b"2", body, [("id", b"u")])])
        for lsn, body in ((70, b"null"), (71, b"1"))
    )
    assert [(found.table, found.field) for found in compare(mine, other)] == [
        ("transaction", "id"),
        ("outbox", "value"),
    ]
    removed = events([Record("o", b"2", None, [("id", b"u")])])
    assert [found.field for found in compare(mine[1:], removed)] == ["value"]


def test_what_is_half_a_character_is_told_as_such() -> None:
    [event] = events([Record("o", None, b'"a\\ud834"', [("id", b"1")])])
    assert (event.kind, event.value) == ("outbox", "a\ufffd")
    [whole] = events([Record("o", None, b'"\\ud834\\udd1e"', [("id", b"1")])])
    assert whole.value == "\U0001d11e"
