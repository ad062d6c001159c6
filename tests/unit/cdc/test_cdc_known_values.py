import pytest

from connectors.cdc import types
from connectors.cdc.known_values import KnownValues
from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Tuple, Update
from connectors.cdc.tables import Column, Table

COLUMNS = [Column("id", types.INT4, -1), Column("n", types.INT4, -1), Column("large", types.TEXT, -1)]
TABLE = Table("s", "t", "topic", COLUMNS, key=[0])
OTHER = Table("s", "u", "other", COLUMNS, key=[0])
LARGE = b"x" * 600


def update(new: Tuple, old: Tuple | None = None, *, full: bool = False) -> Update:
    return Update(1, old, full, new)


def knowing(*keys: bytes, limit: int = 1 << 20) -> KnownValues:
    known = KnownValues(limit)
    for key in keys:
        known.seen(TABLE, Insert(1, [key, b"0", LARGE + key]))
    return known


def filled(known: KnownValues, key: bytes, table: Table = TABLE) -> object:
    return known.seen(table, update([key, b"1", UNCHANGED])).new[2]


def test_an_update_gets_the_value_of_the_insert_and_so_does_the_next_one() -> None:
    known = knowing(b"1", b"2")
    for _ in range(2):
        assert filled(known, b"1") == LARGE + b"1"
    assert filled(known, b"3") is UNCHANGED


def test_large_rows_of_the_snapshot_are_known() -> None:
    known = KnownValues()
    known.learn_lines(TABLE, [b"1\t0\t%b\n" % (b"\\t" * 2000), b"2\t0\tsmall\n"])
    assert filled(known, b"1") == b"\t" * 2000
    assert filled(known, b"2") is UNCHANGED


def test_the_latest_value_counts_null_too() -> None:
    known = KnownValues()
    wide = Table("s", "t", "topic", [*COLUMNS, Column("b", types.TEXT, -1)], key=[0])
    known.seen(wide, Insert(1, [b"1", b"0", LARGE, LARGE]))
    known.seen(wide, update([b"1", b"1", None, UNCHANGED]))
    assert known.seen(wide, update([b"1", b"2", UNCHANGED, UNCHANGED])).new == [b"1", b"2", None, LARGE]


def test_a_column_that_the_publication_leaves_out_moves_no_value_into_another_one() -> None:
    known = KnownValues()
    wide = Table("s", "t", "topic", [COLUMNS[0], Column("secret", types.TEXT, -1), *COLUMNS[1:]], key=[0])
    known.learn_lines(wide, [b"1\t%b\t0\t%b\n" % (b"s" * 900, LARGE)])
    assert filled(known, b"1") == LARGE


def test_a_row_follows_its_key() -> None:
    known = knowing(b"1")
    moved = known.seen(TABLE, update([b"2", b"0", UNCHANGED], [b"1", None, None]))
    assert moved.new[2] == LARGE + b"1"
    assert filled(known, b"2") == LARGE + b"1"
    assert filled(known, b"1") is UNCHANGED


def test_a_whole_old_row_wins_over_what_is_known() -> None:
    known = knowing(b"1")
    change = known.seen(TABLE, update([b"1", b"1", UNCHANGED], [b"1", b"0", b"old"], full=True))
    assert change.new[2] == b"old"


def test_a_null_of_an_old_row_that_is_only_a_key_is_no_value() -> None:
    change = KnownValues().seen(TABLE, update([b"2", b"1", UNCHANGED], [b"1", None, None]))
    assert change.new[2] is UNCHANGED


def test_what_was_deleted_truncated_or_has_become_small_is_forgotten() -> None:
    known = knowing(b"1", b"2", b"3")
    known.seen(TABLE, Delete(1, [b"1", None, None], old_is_full=False))
    known.seen(TABLE, update([b"2", b"1", b"small"]))
    assert (filled(known, b"1"), filled(known, b"2")) == (UNCHANGED, UNCHANGED)
    known.seen(OTHER, Insert(2, [b"3", b"0", LARGE]))
    known.forget_table("topic")
    assert filled(known, b"3") is UNCHANGED
    assert filled(known, b"3", OTHER) == LARGE


@pytest.mark.parametrize(("before", "after", "kept"), [("a", "a", True), ("a", "b", False), (None, None, False)])
def test_a_new_description_of_a_table_makes_what_is_known_doubtful(
    before: str | None, after: str | None, kept: bool
) -> None:
    known = KnownValues()
    known.begin("topic", before)
    known.learn(TABLE, [b"1", b"0", LARGE])
    known.described("topic", after)
    assert (filled(known, b"1") == LARGE) is kept
    known.seen(TABLE, Insert(1, [b"1", b"0", LARGE]))
    known.described("topic", "another")
    known.seen(TABLE, Insert(1, [b"1", b"0", LARGE]))
    known.described("topic", "another")  # the stream may be behind that
    assert filled(known, b"1") is UNCHANGED


def test_memory_is_bounded_and_the_rows_that_changed_last_stay() -> None:
    known = knowing(*(b"%d" % key for key in range(100)), limit=10_000)
    assert 5 <= len(known) <= 12
    assert filled(known, b"99") == LARGE + b"99"
    assert filled(known, b"0") is UNCHANGED


def test_tables_without_a_key_or_without_large_types_are_left_alone() -> None:
    known = KnownValues()
    for table in (Table("s", "t", "topic", COLUMNS, key=[]), Table("s", "t", "topic", COLUMNS[:2], key=[0])):
        assert not known.wants(table)
    assert not KnownValues(0).wants(TABLE)
    assert filled(knowing(b"1", limit=0), b"1") is UNCHANGED


@pytest.mark.parametrize("values", [[UNCHANGED, b"1", LARGE], [b"x", b"1", LARGE], [], [None, b"1"]])
def test_a_row_whose_key_cannot_be_told_is_not_known(values: Tuple) -> None:
    known = KnownValues()
    if len(values) == len(COLUMNS):
        known.learn(TABLE, values)
    assert known.seen(TABLE, update(values)).new == values
    assert not known
