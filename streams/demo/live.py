"""Changes of the source tables while the demo runs: as data, and what applies them. `live_plan.py` makes them."""

import threading
import time
from collections.abc import Sequence
from typing import Literal

import psycopg
from msgspec import Struct, convert
from msgspec.structs import replace
from psycopg import sql

from streams.demo.database import ROW_TYPES, Row

Value = str | float | None


class RowChange(Struct, frozen=True):
    """One statement for one row. `columns` are those it sets: all for an insert, none for a delete."""

    op: Literal["insert", "update", "delete"]
    table: str
    id: str
    columns: dict[str, Value]


class LiveChanges(Struct, frozen=True):
    """Changes in the order they are made, and what the tables hold after the last one.

    Attributes:
        changes: one statement each.
        expected: the rows at the end, by table and id, rows that never changed included.
        arrived: rows that are inserted early enough for anybody to know them.
        late: rows that are inserted last, from `late_from` on; events speak of them before.
        late_from: index of the first change that inserts one of them.
        deleted: (table, id) of the rows that are gone at the end; no event speaks of them.
        recreated: (table, id) of the rows that were deleted and inserted again; no event speaks of them.
    """

    changes: list[RowChange]
    expected: dict[str, dict[str, Row]]
    arrived: list[Row]
    late: list[Row]
    late_from: int
    deleted: list[tuple[str, str]]
    recreated: list[tuple[str, str]]


def apply_change(tables: dict[str, dict[str, Row]], change: RowChange) -> None:
    """Do to rows in memory what the statement does to the table."""
    rows = tables[change.table]
    if change.op == "delete":
        rows.pop(change.id, None)
    elif change.op == "insert":
        rows[change.id] = convert(change.columns, ROW_TYPES[change.table])
    elif change.id in rows:
        rows[change.id] = replace(rows[change.id], **change.columns)


def statement(change: RowChange) -> tuple[sql.Composed, list[Value]]:
    """Return the SQL of a change and its parameters.

    An insert of a row that is there replaces it, so that a second demo on the same database ends like the first.
    """
    table = sql.Identifier(change.table)
    names = [sql.Identifier(name) for name in change.columns]
    values = list(change.columns.values())
    if change.op == "delete":
        return sql.SQL("DELETE FROM {} WHERE id = %s").format(table), [change.id]
    if change.op == "update":
        settings = sql.SQL(", ").join(sql.SQL("{} = %s").format(name) for name in names)
        command = sql.SQL("UPDATE {} SET {}, updated_at = now() WHERE id = %s").format(table, settings)
        return command, [*values, change.id]
    again = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names)
    command = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}, updated_at = now()").format(
        table, sql.SQL(", ").join(names), sql.SQL(", ").join(sql.Placeholder() * len(names)), again
    )
    return command, values


class ChangeApplier:
    """Applies changes to the database, one transaction each, at a steady rate.

    Args:
        dsn: of the database that holds the tables.
        rate: statements per second; None for as fast as the server takes them.
    """

    def __init__(self, dsn: str, *, rate: float | None = None) -> None:
        self._dsn = dsn
        self._rate = rate
        self.applied = 0

    def run(self, changes: Sequence[RowChange], stop: threading.Event | None = None) -> int:
        """Apply changes in order until the last one or until `stop` is set; return how many were committed.

        `applied` counts them meanwhile, over all runs.

        Raises:
            psycopg.Error: the server does not answer or refuses a statement; those before it are committed.
        """
        stop = stop or threading.Event()
        begun = time.monotonic()
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for number, change in enumerate(changes):
                due = begun + number / self._rate if self._rate else 0.0
                if stop.wait(max(0.0, due - time.monotonic())):
                    return number
                command, values = statement(change)
                connection.execute(command, values)
                self.applied += 1
        return len(changes)
