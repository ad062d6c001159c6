from connectors.cdc.envelope import SnapshotMarker
from connectors.cdc.snapshot import with_markers
from connectors.cdc.tables import Table


def markers(*rows_of_tables: int) -> list[SnapshotMarker]:
    tables = [Table("public", f"t{number}", "topic", [], key=[]) for number, _ in enumerate(rows_of_tables)]
    rows: list[tuple[Table, list[bytes]]] = [
        (table, []) for table, rows in zip(tables, rows_of_tables, strict=True) for _ in range(rows)
    ]
    return [row.marker for row in with_markers(iter(rows))]


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
