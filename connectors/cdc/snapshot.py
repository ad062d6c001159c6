"""Read the captured tables as they were at one moment, in chunks of their keys, over several connections."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from msgspec import Struct
from psycopg import Connection, sql

from connectors.cdc.acknowledgement import Transaction
from connectors.cdc.catalog import TableInfo, read_tables
from connectors.cdc.chunks import boundary_query, captured_table, chunk_key, chunk_query, lock_query
from connectors.cdc.config import CdcConfig, split_name
from connectors.cdc.connect import connect, translated
from connectors.cdc.copy_text import parse_row
from connectors.cdc.envelope import SnapshotMarker
from connectors.cdc.errors import Disconnected
from connectors.cdc.snapshot_state import Key, SnapshotState, TableToRead
from connectors.cdc.stop import Stop
from connectors.cdc.tables import Table
from connectors.cdc.wire import Wire, wait_for_any

READ_ROWS = 1_000
READ_BYTES = 1 << 20
READ_SECONDS = 0.2

# Rewriting a table (ALTER TYPE, TRUNCATE, ...) hides its rows from older snapshots. `relfilenode` is what our snapshot
# sees, the function what is there now.
_REWRITTEN = b"""
SELECT c.oid::regclass::text FROM pg_class c
WHERE (c.oid = ANY(%(oids)s) OR c.oid IN (SELECT t.relid FROM unnest(%(oids)s::oid[]) o, pg_partition_tree(o) t))
  AND c.relfilenode <> 0 AND c.relfilenode <> pg_relation_filenode(c.oid)
"""


class SnapshotMoment(Struct, frozen=True):
    """When the snapshot was taken, in microseconds since 1970, and the first transaction that it does not show."""

    time_us: int
    tx_id: int


class Chunk:
    """Rows of one table that are read together: those with a key after `after`, up to `upto`; None for no limit.

    `transaction` counts which of its `rows` Kafka has.
    """

    def __init__(self, entry: TableToRead, after: Key | None, upto: Key | None) -> None:
        self.entry = entry
        self.after = after
        self.upto = upto
        self.rows = 0
        self.transaction = Transaction(is_marker=True)


class Batch(NamedTuple):
    """Some rows of one chunk, as COPY prints them."""

    table: Table
    chunk: Chunk
    lines: list[bytes]


class Run(NamedTuple):
    """Rows of one chunk that have the same place in the snapshot."""

    table: Table
    chunk: Chunk
    lines: list[bytes]
    marker: SnapshotMarker


class Snapshot:
    """What is to be read, in transactions that all see it as one snapshot does. Use as a context manager.

    Memory is constant: rows are read from the sockets as they are asked for.

    Args:
        config: of the source.
        exported: the snapshot of a slot; None for one of its own.
        state: the tables, and up to where they have been read already.
        stop: looked at while waiting.

    Attributes:
        moment: when it was taken.
        tables: those of the state, in its order.
        chunks: those that were begun, in order; whoever has dealt with one takes it out.
    """

    def __init__(self, config: CdcConfig, exported: str | None, state: SnapshotState, stop: Stop) -> None:
        self._config = config
        self._stop = stop
        self._entries = state.tables
        self._stack = ExitStack()
        self._connection = self._connect()
        self._planner = Wire(self._connection)
        try:
            self._exported, self.moment, self.tables = self._begin(exported)
        except BaseException:
            self._stack.close()
            raise
        self._readers = [self._planner]
        self.chunks: deque[Chunk] = deque()

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def runs(self) -> Iterator[Run]:
        """Yield every row, table by table.

        Raises:
            Stopped: a stop was asked for meanwhile.
            Fatal: a table cannot be read.
            Disconnected: the connection is lost.
        """
        tables = zip(self._entries, self.tables, strict=True)
        return with_markers(batch for entry, info in tables for batch in self._rows(entry, info))

    def _connect(self) -> Connection:
        connection = connect(self._config.dsn, name=f"travelos cdc snapshot {self._config.slot}")
        return self._stack.enter_context(closing(connection))

    def _begin(self, exported: str | None) -> tuple[str, SnapshotMoment, list[TableInfo]]:
        if exported is not None:
            self._import(self._connection, exported)
        with translated("taking a snapshot"):
            if exported is None:
                self._connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            row = self._connection.execute(
                b"SELECT (extract(epoch FROM now()) * 1000000)::int8, pg_snapshot_xmax(s)::text::int8,"
                b" pg_export_snapshot() FROM pg_current_snapshot() s"
            ).fetchone()
        assert row is not None
        names = [split_name(entry.table) for entry in self._entries]
        tables = read_tables(self._connection, names, self._config.filters)
        if len(tables) != len(set(names)):
            raise Disconnected("source.tables: a table has been dropped since the last look")
        for table in tables:
            self._planner.execute(lock_query(table), doing=f"locking {table}", stop=self._stop)
        changed = rewritten(self._connection, [table.oid for table in tables])
        if changed:
            raise Disconnected(f"source.tables: {', '.join(changed)} was rewritten while the snapshot began")
        found = {str(table): table for table in tables}
        return row[2], SnapshotMoment(row[0], row[1]), [found[entry.table] for entry in self._entries]

    def _import(self, connection: Connection, exported: str) -> None:
        with translated("importing the snapshot of the slot"):
            connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported)))

    def _rows(self, entry: TableToRead, info: TableInfo) -> Iterator[Batch]:
        """Yield the rows of a table: one connection looks for the chunks, the others read them."""
        table, waiting = captured_table(self._config, info), self._plan(entry, info)
        free = self._open_readers(info)
        busy: list[tuple[Wire, Chunk]] = []
        while True:
            while free and (chunk := next(waiting, None)) is not None:
                reader = free.pop()
                query = chunk_query(info, after=chunk.after, upto=chunk.upto, condition=entry.condition)
                reader.execute(query, doing=f"reading {info}", stop=self._stop)
                busy.append((reader, chunk))
                self.chunks.append(chunk)
            if not busy:
                return
            if len(busy) > 1:
                wait_for_any([reader for reader, _ in busy], READ_SECONDS)
            for reader, chunk in tuple(busy):
                timeout = READ_SECONDS if len(busy) == 1 else 0
                lines = reader.read(messages=READ_ROWS, size=READ_BYTES, timeout=timeout)
                self._stop.check()
                if lines is None:
                    chunk.transaction.committed(0)
                    busy.remove((reader, chunk))
                    free.append(reader)
                elif lines:
                    chunk.rows += len(lines)
                    chunk.transaction.awaits(len(lines))
                    yield Batch(table, chunk, lines)

    def _open_readers(self, info: TableInfo) -> list[Wire]:
        """Return connections to read with: one that plans nothing else, or as many as there may be."""
        wanted = self._config.snapshot_connections if chunk_key(info) else 1
        while len(self._readers) <= wanted:
            connection = self._connect()
            self._import(connection, self._exported)
            self._readers.append(Wire(connection))
        return self._readers[1 : 1 + wanted]

    def _plan(self, entry: TableToRead, info: TableInfo) -> Iterator[Chunk]:
        """Yield the chunks of a table, each as late as possible. Without a key there is one."""
        after = entry.after
        while chunk_key(info):
            query = boundary_query(info, after=after, rows=self._config.chunk_rows)
            self._planner.execute(query, doing=f"reading {info}", stop=self._stop)
            boundary: list[bytes] = []
            while (lines := self._planner.read(messages=1, size=1, timeout=READ_SECONDS)) is not None:
                self._stop.check()
                boundary += lines
            if not boundary:
                break
            upto: Key = tuple(parse_row(boundary[0]))  # pyright: ignore[reportAssignmentType] - a key is never null
            yield Chunk(entry, after, upto)
            after = upto
        yield Chunk(entry, after, None)


def rewritten(connection: Connection, oids: Sequence[int]) -> list[str]:
    """Return the tables that were rewritten since the snapshot of the open transaction."""
    with translated("looking for rewritten tables"):
        return [row[0] for row in connection.execute(_REWRITTEN, {"oids": list(oids)}).fetchall()]


def with_markers(batches: Iterable[Batch]) -> Iterator[Run]:
    """Mark each row with its place in the snapshot, as Debezium does.

    That a row is the last one of its table, or of all, shows only at the next one: each is held back by one.
    """
    held: Batch | None = None
    marker: SnapshotMarker = "first"
    for batch in batches:
        if held is not None and held.table is not batch.table:
            yield Run(*held, "first" if marker == "first" else "last_in_data_collection")
            held, marker = None, "first_in_data_collection"
        *lines, last = batch.lines
        if held is not None and marker == "true" and held.chunk is batch.chunk:
            lines = held.lines + lines  # fewer and longer runs cost less
        elif held is not None:
            yield Run(*held, marker)
            marker = "true"
        if lines and marker != "true":
            yield Run(batch.table, batch.chunk, lines[:1], marker)
            marker, lines = "true", lines[1:]
        if lines:
            yield Run(batch.table, batch.chunk, lines, "true")
        held = Batch(batch.table, batch.chunk, [last])
    if held is not None:
        yield Run(*held, "last")
