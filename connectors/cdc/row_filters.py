"""Whether the server can use the configured row filters, and whether its publication has them.

A filter that a publication has is printed by Postgres in its own words. Two filters are compared by having the server
plan both: what it prints then is the same for the same condition.
"""

from collections.abc import Sequence

import psycopg
from msgspec import Struct
from psycopg import Connection, sql

from connectors.cdc.catalog import TableInfo
from connectors.cdc.connect import translated
from connectors.cdc.publication import Publication, table_list
from connectors.cdc.tables import key_columns

FILTERS_SINCE = 150_000  # row filters and column lists of publications
LOCK_WAIT = "2s"  # for a lock that a long ALTER TABLE or VACUUM may hold

_WHOLE_IDENTITY = b"""
SELECT coalesce(bool_and(c.relreplident = 'f'), false)
FROM pg_partition_tree(%s::oid::regclass) p JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf
"""


class FilterState(Struct, frozen=True, kw_only=True):
    """The row filter of one table, as the server sees it.

    Attributes:
        table: as "<schema>.<table>".
        refused: why the server cannot use the filter; empty when it can.
        uncovered: what old rows lack that the filter needs, in the server's words; empty when they lack nothing.
        differs: whether the publication has the table without this filter.
    """

    table: str
    refused: str = ""
    uncovered: str = ""
    differs: bool = False


def read_row_filters(
    connection: Connection, tables: Sequence[TableInfo], publication: Publication | None, *, inserts_only: bool
) -> tuple[FilterState, ...]:
    """Return what the server makes of the row filters of the tables. Creates nothing.

    Args:
        connection: to ask with; in autocommit mode.
        tables: the captured ones; those that may not be read are left out, and those without a row filter.
        publication: that they are in or will be.
        inserts_only: neither updates nor deletes are published, so that old rows do not matter.

    Raises:
        Disconnected: the connection is lost.
    """
    filtered = [table for table in tables if table.row_filter and table.readable]
    return tuple(_state(connection, table, publication, inserts_only=inserts_only) for table in filtered)


def _state(
    connection: Connection, table: TableInfo, publication: Publication | None, *, inserts_only: bool
) -> FilterState:
    name = str(table)
    wanted, refused = _planned(connection, table, table.row_filter)
    if refused:
        return FilterState(table=name, refused=refused)
    is_published = publication is not None and (table.schema, table.name) in publication.tables
    actual = publication.row_filters.get(name) if publication is not None else None
    is_same = actual is not None and _planned(connection, table, actual)[0] == wanted
    refused = "" if is_same else _refusal(connection, table)
    differs = is_published and not is_same and not refused
    uncovered = "" if inserts_only or refused else _uncovered(connection, table)
    return FilterState(table=name, refused=refused, uncovered=uncovered, differs=differs)


def _planned(
    connection: Connection, table: TableInfo, condition: str, columns: Sequence[str] = ()
) -> tuple[object, str]:
    """Return how the server prints a condition on rows of a table, and why it is none; one of both is empty.

    Args:
        connection: to ask with.
        table: of the rows.
        condition: SQL.
        columns: of the rows, as far as they may be looked at; none for all.
    """
    relation = sql.SQL("ONLY {}" if table.kind == "r" else "{}").format(sql.Identifier(table.schema, table.name))
    if columns:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        relation = sql.SQL("(SELECT {} FROM {}) {}").format(names, relation, sql.Identifier(table.name))
    only = sql.SQL(condition)  # pyright: ignore[reportArgumentType] - of the configuration, like the tables' names
    command = sql.SQL("EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT (({}\n)) IS TRUE FROM {}")
    try:
        row = connection.execute(command.format(only, relation)).fetchone()
    except psycopg.OperationalError:
        with translated(f"planning source.row_filters of {table}"):
            raise
    except psycopg.Error as error:
        return None, _words(error)
    assert row is not None
    return row[0][0]["Plan"]["Output"], ""


def _uncovered(connection: Connection, table: TableInfo) -> str:
    """Return what the server misses when it sees only what old rows have.

    It refuses every UPDATE and DELETE of a table whose row filter needs more than that.
    """
    if table.identity == "f" and table.kind == "r":
        return ""
    with translated("reading the catalogue"):
        # Of a partitioned table the partitions decide.
        row = connection.execute(_WHOLE_IDENTITY, (table.oid,)).fetchone() if table.kind == "p" else None
    if row is not None and row[0]:
        return ""
    key = () if table.identity == "n" else key_columns(table.identity, table.indexes)
    if not key:
        return "there is no replica identity"
    return _planned(connection, table, table.row_filter, key)[1]


def _refusal(connection: Connection, table: TableInfo) -> str:
    """Return why the server would not publish the table with its row filter, as far as we are the ones to try.

    Publications take less than queries do: no subqueries, no functions of users, none whose result changes.
    """
    name = sql.Identifier(f"travelos_check_{connection.info.backend_pid}")
    command = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)")
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_WAIT)))
            connection.execute(command.format(name, table_list([table])))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.LockNotAvailable):
        return ""
    except psycopg.OperationalError:
        with translated(f"trying source.row_filters of {table}"):
            raise
    except psycopg.Error as error:
        return _words(error)
    return ""


def _words(error: psycopg.Error) -> str:
    said = (error.diag.message_primary or "it cannot be used", error.diag.message_detail)
    return " ".join(" ".join(part for part in said if part).split())
