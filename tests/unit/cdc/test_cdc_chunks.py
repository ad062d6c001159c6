from collections.abc import Sequence

import pytest

from connectors.cdc.catalog import TableInfo
from connectors.cdc.chunks import boundary_query, chunk_key, chunk_query, key_of, lock_query, places_of, row_key
from connectors.cdc.counters import Counters
from connectors.cdc.snapshot_progress import SnapshotProgress, eta_seconds
from connectors.cdc.snapshot_state import SnapshotState
from connectors.cdc.tables import Column, Indexes


def info(*key: str, columns: Sequence[str] = ("a", "b", "c"), kind: str = "r", identity: str = "d") -> TableInfo:
    return TableInfo(
        oid=1,
        schema="public",
        name="T",
        kind=kind,
        persistence="p",
        identity=identity,
        owned=True,
        readable=True,
        row_security=False,
        owner="me",
        estimated_rows=1_000,
        columns=tuple(Column(name, 25, -1) for name in columns),
        indexes=Indexes(columns=tuple(columns), primary_key=key, identity_index=("b",)),
    )


def test_a_chunk_lies_between_two_keys_and_meets_the_condition() -> None:
    query = chunk_query(info("b", "a"), after=(b"1", b"it's \\"), upto=(b"9", b""), condition="c > 1 -- all", limit=5)
    assert query == (
        b'COPY (SELECT "a", "b", "c" FROM ONLY "public"."T" WHERE ("b", "a") > (E\'1\', E\'it\'\'s \\\\\') '
        b'AND ("b", "a") <= (E\'9\', E\'\') AND (c > 1 -- all\n) ORDER BY "b", "a" LIMIT 5) TO STDOUT'
    )


def test_a_table_without_key_is_one_chunk() -> None:
    assert chunk_query(info(kind="p")) == b'COPY (SELECT "a", "b", "c" FROM "public"."T") TO STDOUT'
    assert chunk_key(info()) == ()


def test_the_end_of_a_chunk_is_the_key_of_its_last_row() -> None:
    assert boundary_query(info("b"), after=(b"3",), rows=100) == (
        b'COPY (SELECT "b" FROM ONLY "public"."T" WHERE ("b") > (E\'3\') ORDER BY "b" OFFSET 99 LIMIT 1) TO STDOUT'
    )


def test_the_key_of_a_chunk_is_what_every_change_of_a_row_names() -> None:
    assert chunk_key(info("a", identity="i")) == ("b",)
    assert chunk_key(info("generated")) == ()
    assert key_of([b"1", b"2", None], places_of(row_key(info("b", "a")), info("b", "a"))) == (b"2", b"1")


def test_only_the_table_itself_is_locked() -> None:
    assert lock_query(info()) == b'LOCK TABLE ONLY "public"."T" IN ACCESS SHARE MODE'


def test_what_waits_is_not_added_again() -> None:
    state = SnapshotState().with_tables(["a", "b"]).with_tables(["a"]).with_tables(["a"], condition="x")
    assert [(entry.run, entry.table, entry.condition) for entry in state.tables] == [
        (1, "a", ""),
        (2, "b", ""),
        (3, "a", "x"),
    ]


def test_progress_of_a_run_that_was_stopped_changes_nothing() -> None:
    state = SnapshotState().with_tables(["a"]).without(["a"]).with_tables(["a"])
    assert state.progressed(1, (b"5",), 5).finished(1) == state
    assert not state.has(1)
    [entry] = state.progressed(2, (b"5",), 5).progressed(2, (b"9",), 4).tables
    assert (entry.after, entry.rows) == ((b"9",), 9)
    assert state.finished(2).done


@pytest.mark.parametrize(
    ("rows", "estimated", "rate", "eta"), [(250, 1_000, 50.0, 15), (0, 1_000, 0.0, None), (1_200, 1_000, 50.0, None)]
)
def test_the_rest_takes_as_long_as_what_was_read_lets_expect(
    rows: int, estimated: int, rate: float, eta: int | None
) -> None:
    assert eta_seconds(rows, estimated, rate) == eta


def test_progress_is_counted_and_said_every_ten_seconds() -> None:
    counters, now = Counters(), [0.0]
    progress = SnapshotProgress(counters, clock=lambda: now[0])
    progress.expect([info("a")], already=100)
    progress.read("public.T", 300)
    assert (counters.snapshot_rows, counters.snapshot_estimated_rows, counters.snapshot_eta_seconds) == (300, 900, None)
    now[0] = 10.0
    progress.read("public.T", 300)
    assert counters.snapshot_eta_seconds == 5
    progress.end()
    assert counters.snapshot_eta_seconds == 0
