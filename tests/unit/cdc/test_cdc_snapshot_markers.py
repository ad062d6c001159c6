import pytest

from connectors.cdc.envelope import SnapshotMarker
from connectors.cdc.snapshot import Batch, Chunk, with_markers
from connectors.cdc.snapshot_state import TableToRead
from connectors.cdc.tables import Table


def markers(*rows_of_tables: int, at_once: bool = False) -> list[SnapshotMarker]:
    tables = [Table("public", f"t{number}", "topic", [], key=[]) for number, _ in enumerate(rows_of_tables)]
    chunk = Chunk(TableToRead(run=1, table="t"), None, None)
    return [
        run.marker
        for run in with_markers(
            Batch(table, chunk, [b"row"] * size)
            for table, rows in zip(tables, rows_of_tables, strict=True)
            for size in ([rows] if at_once else [1] * rows)
            if size
        )
        for _ in run.lines
    ]


def test_an_empty_snapshot_has_no_rows() -> None:
    assert markers() == markers(0, 0) == []


def test_the_first_and_the_last_row_are_marked() -> None:
    assert markers(4) == ["first", "true", "true", "last"]


def test_each_table_begins_and_ends() -> None:
    assert markers(2, 3, 2) == [
        "first",
        "last_in_data_collection",
        "first_in_data_collection",
        "true",
        "last_in_data_collection",
        "first_in_data_collection",
        "last",
    ]


def test_a_table_of_one_row_ends_with_it() -> None:
    assert markers(2, 1, 1) == ["first", "last_in_data_collection", "last_in_data_collection", "last"]


def test_the_only_row_is_the_last_one() -> None:
    assert markers(1) == markers(0, 1, 0) == ["last"]


def test_empty_tables_at_the_end_do_not_hide_the_last_row() -> None:
    assert markers(2, 0, 0) == ["first", "last"]


@pytest.mark.parametrize("rows", [(), (0, 0), (1,), (4,), (2, 3, 2), (2, 1, 1), (2, 0, 0), (0, 1, 5)])
def test_in_how_many_parts_the_rows_come_does_not_matter(rows: tuple[int, ...]) -> None:
    assert markers(*rows) == markers(*rows, at_once=True)
