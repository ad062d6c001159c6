from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.copy_text import parse_row
from connectors.cdc.encoding import Encoding
from connectors.cdc.envelope import Database, Moment, SnapshotMarker, source_template
from connectors.cdc.errors import MalformedMessage, UnreadableValue
from connectors.cdc.receipt import Receipt
from connectors.cdc.snapshot_rows import SnapshotRows
from connectors.cdc.tables import Column, Table
from schemas.changes import Change, decode_change

INT4, TEXT, JSONB = 23, 25, 3802
DATABASE = Database(version="1", name="cdc.travel", db="100% travel")
COLUMNS = [Column("id", INT4, -1), Column("50% a", TEXT, -1), Column("b", JSONB, -1)]
TABLE = Table("public", "t", "topic", COLUMNS, key=[0])
NOW_NS = 1_795_228_827_872_248_606


RECEIPT = Receipt(lambda: None, lambda: True, lambda error, message: None)


def rows(table: Table = TABLE, marker: SnapshotMarker = "true") -> SnapshotRows:
    moment = Moment(time_us=5_000, tx_id=1, last_commit=None, snapshot=marker)
    return SnapshotRows(table, source_template(DATABASE, table, moment), 77)


def made(writer: SnapshotRows, *lines: bytes) -> list[tuple[bytes | None, Change]]:
    found: list[tuple[bytes | None, Change]] = []
    for one in writer.of_lines(lines, NOW_NS, RECEIPT):
        change = decode_change(one["value"])
        assert change is not None
        assert one["callback"] is RECEIPT
        found.append((one["key"], change))
    return found


@pytest.mark.parametrize("marker", ["first", "true", "last", "last_in_data_collection", "incremental"])
def test_a_row_of_the_snapshot_is_a_read(marker: SnapshotMarker) -> None:
    [(key, change)] = made(rows(marker=marker), b"1\tx\t\\N\n")
    assert key == b'{"id":1}'
    assert (change.op, change.source.snapshot, change.source.ts_ms, change.source.lsn) == ("r", marker, 5, 77)
    assert (change.before, change.after) == (None, {"id": 1, "50% a": "x", "b": None})
    assert (change.source.db, change.ts_ns) == ("100% travel", NOW_NS)


def test_rows_without_key_have_none() -> None:
    [(key, change)] = made(rows(Table("public", "t", "topic", COLUMNS, key=[])), b"1\tx\t{}\n")
    assert (key, change.after) == (None, {"id": 1, "50% a": "x", "b": "{}"})


def test_a_schema_comes_with_each_row_where_it_is_asked_for() -> None:
    table = Table("public", "t", "topic", COLUMNS, key=[0], encoding=Encoding(schemas=True))
    [(key, change)] = made(rows(table), b"1\tx\t\\N\n")
    assert (key or b"").startswith(b'{"schema":')
    assert change.after == {"id": 1, "50% a": "x", "b": None}


texts = st.one_of(st.none(), st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=8))


def printed(value: str | None) -> bytes:
    if value is None:
        return b"\\N"
    escaped = value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return escaped.encode()


@given(st.lists(st.tuples(st.integers(0, 9), texts, texts), max_size=5))
def test_rows_arrive_as_they_are_whatever_they_hold(values: list[tuple[int, str | None, str | None]]) -> None:
    lines = [b"%d\t%b\t%b\n" % (number, printed(a), printed(b)) for number, a, b in values]
    short = rows().of_lines(lines, NOW_NS, RECEIPT)
    long: list[dict[str, Any]] = rows().of_values([parse_row(line) for line in lines], NOW_NS, RECEIPT)
    assert short == long
    assert [(key, change.after) for key, change in made(rows(), *lines)] == [
        (b'{"id":%d}' % number, {"id": number, "50% a": a, "b": b}) for number, a, b in values
    ]


def test_a_value_that_is_not_what_its_type_prints_names_its_column_and_not_itself() -> None:
    with pytest.raises(UnreadableValue, match=r"public\.t\.id") as refused:
        rows().of_lines([b"secret\tx\t{}\n"], NOW_NS, RECEIPT)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("line", [b"1\tx\n", b"1\tx\t{}\t2\n"])
def test_a_row_with_more_or_fewer_values_than_columns_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedMessage):
        rows().of_lines([line], NOW_NS, RECEIPT)
