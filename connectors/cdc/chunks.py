"""The queries that read a table in chunks of its key. Pure: values in, SQL out.

Keys are compared by the server, in the order of its own index: `(a, b) > ('1', 'x')`. Literals carry no type, so that
Postgres reads them as it printed them.
"""

from collections.abc import Sequence

from psycopg import sql

from connectors.cdc.catalog import TableInfo
from connectors.cdc.config import CdcConfig
from connectors.cdc.pgoutput import Tuple
from connectors.cdc.snapshot_state import Key
from connectors.cdc.tables import Table, key_columns


def chunk_key(info: TableInfo) -> tuple[str, ...]:
    """Return the columns by which a table is read in chunks: those that every change of a row names; may be none.

    None too when values of the key may not be seen: how far a table has been read is kept in the topic of offsets.
    """
    return () if info.key_is_concealed else row_key(info)


def row_key(info: TableInfo) -> tuple[str, ...]:
    """Return the columns that every change of a row names, and that tell it from all others; may be none."""
    key = key_columns(info.identity, info.indexes)
    return key if {column.name for column in info.columns}.issuperset(key) else ()


def chunk_query(
    info: TableInfo, *, after: Key | None = None, upto: Key | None = None, condition: str = "", limit: int | None = None
) -> bytes:
    """Return the COPY of a chunk.

    Args:
        info: the table.
        after: only rows whose key is greater.
        upto: only rows whose key is not greater.
        condition: only rows that meet this SQL.
        limit: at most so many rows, in the order of the key.
    """
    query = _select(info, [column.name for column in info.columns], after, upto, condition)
    if limit is not None:
        query += b" ORDER BY %b LIMIT %d" % (_names(chunk_key(info)), limit)
    return b"COPY (%b) TO STDOUT" % query


def boundary_query(info: TableInfo, *, after: Key | None, rows: int) -> bytes:
    """Return the COPY of the key of the row that is `rows` rows further; none when there are not so many."""
    key = chunk_key(info)
    query = _select(info, key, after, None, "")
    return b"COPY (%b ORDER BY %b OFFSET %d LIMIT 1) TO STDOUT" % (query, _names(key), rows - 1)


def lock_query(info: TableInfo) -> bytes:
    """Return the LOCK that keeps ALTER and TRUNCATE away, and nobody who reads or writes."""
    return b"LOCK TABLE %b IN ACCESS SHARE MODE" % _table(info)


def places_of(key: Sequence[str], info: TableInfo) -> list[int]:
    """Return the places of a key's columns among those of the table."""
    names = [column.name for column in info.columns]
    return [names.index(name) for name in key]


def key_of(values: Tuple, places: Sequence[int]) -> Key:
    """Return the key of a row as COPY prints it. Columns of a key are never null."""
    return tuple([values[place] for place in places])  # pyright: ignore[reportReturnType]


def captured_table(config: CdcConfig, info: TableInfo) -> Table:
    """Return how rows of a table that is read become records."""
    names = [column.name for column in info.columns]
    chosen = config.filters.key_of(str(info))
    key = chosen or key_columns(info.identity, info.indexes)
    return Table(
        info.schema,
        info.name,
        config.topics[str(info)].name,
        info.columns,
        key=[names.index(name) for name in key],
        encoding=config.encoding,
        filters=config.filters,
        key_is_chosen=chosen is not None,
    )


def _select(info: TableInfo, columns: Sequence[str], after: Key | None, upto: Key | None, condition: str) -> bytes:
    key = _names(chunk_key(info))
    where: list[bytes] = []
    if after is not None:
        where.append(b"(%b) > (%b)" % (key, _literals(after)))
    if upto is not None:
        where.append(b"(%b) <= (%b)" % (key, _literals(upto)))
    # Each may end in a comment.
    where += [b"(%b\n)" % only.encode() for only in (info.row_filter, condition) if only]
    query = b"SELECT %b FROM %b" % (_names(columns), _table(info))
    return query + (b" WHERE " + b" AND ".join(where) if where else b"")


def _table(info: TableInfo) -> bytes:
    # Tables that inherit from it have their own topics, or none; partitions are part of it.
    return (b"ONLY " if info.kind == "r" else b"") + sql.Identifier(info.schema, info.name).as_bytes()


def _names(columns: Sequence[str]) -> bytes:
    return b", ".join(sql.Identifier(column).as_bytes() for column in columns)


def _literals(values: Key) -> bytes:
    return b", ".join(b"E'%b'" % value.replace(b"\\", b"\\\\").replace(b"'", b"''") for value in values)
