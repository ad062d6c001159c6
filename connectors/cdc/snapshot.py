"""Read the captured tables as they were when the slot was created."""

import time
from collections.abc import Iterator, Sequence

import structlog
from msgspec import Struct
from psycopg import Connection, sql

from connectors.cdc.catalog import TableInfo, read_tables
from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect, translated
from connectors.cdc.copy_text import parse_row
from connectors.cdc.envelope import SnapshotMarker
from connectors.cdc.errors import Disconnected, Misconfigured
from connectors.cdc.stop import Stop
from connectors.cdc.tables import Table, key_columns
from connectors.cdc.wire import Wire

log = structlog.get_logger(__name__)

READ_ROWS = 1_000
READ_BYTES = 1 << 20
READ_SECONDS = 0.2
SAY_EVERY_SECONDS = 10.0

# Rewriting a table (ALTER TYPE, TRUNCATE, ...) hides its rows from older snapshots. `relfilenode` is what our snapshot
# sees, the function what is there now.
_REWRITTEN = b"""
SELECT c.oid::regclass::text FROM pg_class c
WHERE (c.oid = ANY(%(oids)s) OR c.oid IN (SELECT t.relid FROM unnest(%(oids)s::oid[]) o, pg_partition_tree(o) t))
  AND c.relfilenode <> 0 AND c.relfilenode <> pg_relation_filenode(c.oid)
"""


class SnapshotRow(Struct, frozen=True):
    """One row, as JSON values in the order of the columns, and its place in the snapshot."""

    table: Table
    encoded: list[bytes]
    marker: SnapshotMarker


class SnapshotMoment(Struct, frozen=True):
    """When the snapshot was taken, in microseconds since 1970, and the first transaction that it does not show."""

    time_us: int
    tx_id: int


class Snapshot:
    """The captured tables in a transaction that sees them as an exported snapshot does. Use as a context manager.

    Memory is constant: rows are read from the socket as they are asked for.
    """

    def __init__(self, config: CdcConfig, exported: str, stop: Stop) -> None:
        self._config = config
        self._stop = stop
        self._connection = connect(config.dsn, name=f"travelos cdc snapshot {config.slot}")
        self._wire = Wire(self._connection)
        try:
            self.moment, self._tables = self._begin(exported)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def rows(self) -> Iterator[SnapshotRow]:
        """Yield every row, table by table.

        Raises:
            Stopped: a stop was asked for meanwhile.
            Fatal: a table cannot be read.
            Disconnected: the connection is lost.
        """
        return with_markers(self._unmarked())

    def _begin(self, exported: str) -> tuple[SnapshotMoment, list[TableInfo]]:
        with translated("importing the snapshot of the slot"):
            self._connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))
            row = self._connection.execute(
                b"SELECT extract(epoch FROM now()) * 1000000, pg_snapshot_xmax(pg_current_snapshot())::text::int8"
            ).fetchone()
        assert row is not None
        tables = read_tables(self._connection, self._config.tables)
        if len(tables) != len(self._config.tables):
            raise Misconfigured("source.tables: a table has been dropped since the last look; take it out")
        # Only against ALTER and TRUNCATE: whoever reads or writes is not held up.
        names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
        lock = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names)
        self._wire.execute(lock.as_bytes(), doing="locking the captured tables", stop=self._stop)
        changed = rewritten(self._connection, [table.oid for table in tables])
        if changed:
            raise Disconnected(f"source.tables: {', '.join(changed)} was rewritten while the snapshot began")
        return SnapshotMoment(int(row[0]), row[1]), tables

    def _unmarked(self) -> Iterator[tuple[Table, list[bytes]]]:
        wire = self._wire
        for number, info in enumerate(self._tables, start=1):
            started = said = time.monotonic()
            count = 0
            table = self._table(info)
            wire.execute(_copy(info), doing=f"reading {info}", stop=self._stop)
            while (lines := wire.read(messages=READ_ROWS, size=READ_BYTES, timeout=READ_SECONDS)) is not None:
                self._stop.check()
                count += len(lines)
                for line in lines:
                    yield table, table.encode(parse_row(line))
                if (now := time.monotonic()) - said > SAY_EVERY_SECONDS:
                    said = now
                    log.info("table_progress", table=str(info), rows=count, estimated=info.estimated_rows)
            log.info(
                "table_read",
                table=str(info),
                rows=count,
                seconds=round(time.monotonic() - started, 1),
                progress=f"{number}/{len(self._tables)}",
            )

    def _table(self, info: TableInfo) -> Table:
        names = [column.name for column in info.columns]
        return Table(
            info.schema,
            info.name,
            self._config.topics[str(info)].name,
            info.columns,
            key=[names.index(name) for name in key_columns(info.identity, info.indexes)],
            decimals=self._config.decimals,
        )


def rewritten(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Return the tables that were rewritten since the snapshot of the open transaction."""
    with translated("looking for rewritten tables"):
        return [row[0] for row in connection.execute(_REWRITTEN, {"oids": list(oids)}).fetchall()]


def with_markers(rows: Iterator[tuple[Table, list[bytes]]]) -> Iterator[SnapshotRow]:
    """Mark each row with its place in the snapshot, as Debezium does.

    That a row is the last one of its table, or of all, shows only at the next one: each is held back by one.
    """
    held = next(rows, None)
    is_first, begins_table = True, True
    while held is not None:
        following = next(rows, None)
        ends_table = following is None or following[0] is not held[0]
        marker: SnapshotMarker = "true"
        if following is None:
            marker = "last"
        elif is_first:
            marker = "first"
        elif ends_table:
            marker = "last_in_data_collection"
        elif begins_table:
            marker = "first_in_data_collection"
        yield SnapshotRow(*held, marker)
        held, is_first, begins_table = following, False, ends_table


def _copy(table: TableInfo) -> bytes:
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    only = sql.SQL("ONLY " if table.kind == "r" else "")
    query = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT").format(
        columns, only, sql.Identifier(table.schema, table.name)
    )
    return query.as_bytes()
