"""Read tables while the stream goes on: chunk by chunk, each row at its place among the changes.

How a chunk comes to its place, and why that is right, is in docs/decisions/0010-snapshots-in-chunks.md. Nothing here
waits: each `step` does a little, and the loop of the stream goes on in between.
"""

import time
from collections import deque
from collections.abc import Callable

import structlog

from connectors.cdc.acknowledgement import Acknowledgements
from connectors.cdc.catalog import next_transaction, read_tables
from connectors.cdc.chunk_connection import STEP_ROWS, ChunkConnection
from connectors.cdc.chunks import captured_table, chunk_key, chunk_query, key_of, lock_query, row_key
from connectors.cdc.config import split_name
from connectors.cdc.connect import translated
from connectors.cdc.copy_text import parse_row
from connectors.cdc.envelope import Moment
from connectors.cdc.errors import ColumnMissing, Disconnected, Fatal
from connectors.cdc.incremental_chunk import Chunk, progress
from connectors.cdc.incremental_notices import IncrementalNotices, ScanStatus
from connectors.cdc.pgoutput import Tuple
from connectors.cdc.session import Session
from connectors.cdc.snapshot_progress import SnapshotProgress
from connectors.cdc.snapshot_sending import sender_of
from connectors.cdc.snapshot_state import SnapshotState, TableToRead
from connectors.cdc.window import Floor

log = structlog.get_logger(__name__)

CHUNK_BYTES = 16 << 20  # of a chunk that waits in memory for its place
TOUCHED_KEYS = 200_000  # the stream waits when a slow query lets it bring more than that
RETRY_SECONDS = 0.5
FLOOR_SECONDS = 2.0

# In a transaction of its own, so that its commit is in the stream, whatever the server's version, and at once.
_WATERMARK = b"SELECT pg_wal_lsn_diff(pg_logical_emit_message(true, 'travelos.watermark', ''), '0/0')::int8"


class IncrementalSnapshot:
    """The tables of `session.offsets.snapshot`, one after the other.

    Args:
        session: its control connection writes the watermarks.
        acknowledgements: of the stream.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        session: Session,
        acknowledgements: Acknowledgements,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._acknowledgements = acknowledgements
        self._window = session.window
        self._clock = clock
        self._ahead = session.offsets.snapshot  # what is still to be sent; the offsets say what is not in Kafka
        self._phase = self._begin
        self._moved = False
        self._connection = ChunkConnection(session.config)
        self._entry: TableToRead | None = None
        self._chunk: Chunk | None = None
        self._sent: deque[Chunk] = deque()
        self._not_before = 0.0
        self._watermark = self._begun_after = 0
        self._run: int = 0
        self._chunk_rows = 0  # how many fit into a chunk, as far as the last one tells
        self._progress = SnapshotProgress(session.counters)
        self._notices = IncrementalNotices(session.notifications)
        slot = session.found.slot
        self._floor = Floor((slot.restart_lsn if slot is not None else None) or 0)
        self._floor_wanted_until = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is more to do at once."""
        return self._moved

    @property
    def waiting(self) -> bool:
        """Whether something is awaited from Postgres or Kafka."""
        return bool(self._sent) or self._phase != self._begin

    @property
    def holds_stream(self) -> bool:
        """Whether the stream has to wait, as it does while rows are read that have no key to tell them apart by."""
        return self._phase == self._copy or self._window.touched > TOUCHED_KEYS

    def change(self, step: Callable[[SnapshotState], SnapshotState], signal: str = "") -> None:
        """Change what is to be read, as a signal asks; a chunk of a table that is no longer wanted is dropped."""
        offsets = self._session.offsets
        before = offsets.snapshot
        self._ahead = step(self._ahead)
        offsets.keep(step(before))
        self._notices.changed(before, offsets.snapshot, signal)

    def step(self) -> None:
        """Do a little.

        Raises:
            Fatal: a table cannot be read.
            Disconnected: a connection is lost.
        """
        self._settle()
        entry = self._entry
        if entry is not None and not self._ahead.has(entry.run):
            self._abandon()
        self._moved = False
        self._phase()

    def close(self) -> None:
        """End the connection. Harmless when there is none."""
        self._connection.close()

    def _begin(self) -> None:
        """Lock the next table, so that it has the same columns until its chunk is read."""
        if self._ahead.done or self._ahead.paused or self._clock() < self._not_before:
            if self._ahead.done and not self._sent:
                self.close()
            return
        if not self._watermark:
            # An attempt before this one may have sent the rows of the chunk, with the LSN that the slot stands for.
            self._write_watermark()
            self._floor_wanted_until = self._clock() + FLOOR_SECONDS
        entry = self._ahead.tables[0]
        connection, wire = self._connection.open()
        found = read_tables(connection, [split_name(entry.table)], self._session.config.filters)
        if not found or entry.table not in self._session.config.topics:
            log.warning("snapshot_of_a_table_ended", table=entry.table, reason="it is gone, or not captured any more")
            self._give_up(entry, "UNKNOWN_SCHEMA")
            return
        if entry.run != self._run:
            self._run, self._chunk_rows = entry.run, self._session.config.chunk_rows
            self._progress.expect(found, already=entry.rows)
            self._notices.begins(self._session.offsets.snapshot, entry)
            log.info("table_snapshot_started", table=entry.table, condition=entry.condition, signal=entry.signal)
        self._entry = entry
        with translated(f"reading {entry.table}"):
            connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        wire.start(lock_query(found[0]))
        self._phase = self._locked

    def _locked(self) -> None:
        """Take the snapshot of the chunk, and ask for its rows."""
        entry, (connection, wire) = self._reading(), self._connection.open()
        if not wire.started(doing=f"locking {entry.table}"):
            return
        # The columns are read once the table is locked: between the first look and now they may have changed.
        session = self._session
        visibility, time_us = self._connection.visibility(f"reading {entry.table}")
        found = read_tables(connection, [split_name(entry.table)], session.config.filters)
        if not found:
            self._again()
            return
        info = found[0]
        self._window.open(entry.table, row_key(info))
        if visibility.xmin < entry.from_xid or not self._window.read(visibility):
            log.info("snapshot_waits_for_transactions", table=entry.table, oldest=visibility.xmin)
            self._again(RETRY_SECONDS)
            return
        self._floor.seen(visibility, self._watermark, self._begun_after)
        if not self._floor.raised and self._clock() < self._floor_wanted_until:
            self._again(RETRY_SECONDS / 10)
            return
        table = captured_table(session.config, info)
        moment = Moment(time_us=time_us, tx_id=visibility.xmax, last_commit=None, snapshot="incremental")
        self._chunk = Chunk(entry.run, info, sender_of(session, table, moment, self._floor.lsn))
        if chunk_key(info):
            self._start_copy(limit=self._chunk_rows)
            self._phase = self._read
        else:
            self._write_watermark()
            self._phase = self._arrived

    def _read(self) -> None:
        """Take rows from the server into the window."""
        entry, chunk, (connection, _) = self._reading(), self._reading_chunk(), self._connection.open()
        try:
            lines = self._lines()
        except Fatal as error:
            self._refused(entry, error)
            return
        if lines is not None:
            for line in lines:
                values = parse_row(line)
                chunk.rows += 1
                chunk.bytes += len(line)
                chunk.after = key_of(values, chunk.places)
                self._window.add(chunk.after, values)
            if chunk.bytes < CHUNK_BYTES:
                return
            self._chunk_rows = chunk.rows
            self.close()  # the rest is for the next chunks
        else:
            chunk.is_last = chunk.rows < self._chunk_rows
            with translated(f"reading {entry.table}"):
                connection.execute(b"COMMIT")
        self._window.complete()
        self._write_watermark()
        self._phase = self._arrived

    def _arrived(self) -> None:
        """Wait until everything that the chunk sees has been sent."""
        chunk = self._reading_chunk()
        if self._window.spoiled:
            self._again()
        elif self._acknowledgements.position >= self._watermark:
            if chunk.places:
                self._phase = self._send
            else:
                self._start_copy(limit=None)
                self._phase = self._copy
            self._phase()

    def _send(self) -> None:
        """Send rows of the window; what the stream brings meanwhile still makes some of them go."""
        chunk = self._reading_chunk()
        if self._window.spoiled:
            self._again()
            return
        if not self._session.publisher.room:
            return
        self._moved = True
        rows = self._window.take(STEP_ROWS)
        self._publish(chunk, rows)
        if not rows:
            self._sent_all(chunk)

    def _copy(self) -> None:
        """Send rows of a table without key as they come, while the stream waits."""
        chunk, (connection, _) = self._reading_chunk(), self._connection.open()
        if not self._session.publisher.room:
            return
        lines = self._lines()
        if lines is None:
            with translated(f"reading {chunk.info}"):
                connection.execute(b"COMMIT")
            chunk.is_last = True
            self._sent_all(chunk)
            return
        rows = [parse_row(line) for line in lines]
        chunk.rows += len(rows)
        self._publish(chunk, [row for row in rows if not self._window.is_gone(row, chunk.row_places)])

    def _publish(self, chunk: Chunk, rows: list[Tuple]) -> None:
        chunk.transaction.awaits()
        chunk.sender.send_values(rows, self._session.publisher.receipt(chunk.transaction.acknowledged))
        self._progress.read(str(chunk.info), len(rows))

    def _sent_all(self, chunk: Chunk) -> None:
        chunk.transaction.committed(self._acknowledgements.position)
        self._sent.append(chunk)
        self._ahead = progress(self._ahead, chunk)
        self._rest()

    def _settle(self) -> None:
        """Note what Kafka has: the chunks, and every change before them."""
        offsets = self._session.offsets
        while self._sent:
            chunk = self._sent[0]
            transaction = chunk.transaction
            if not transaction.finished or self._acknowledgements.confirmed < transaction.end_lsn:
                return
            self._sent.popleft()
            before = offsets.snapshot
            entry = next((one for one in before.tables if one.run == chunk.run), None)
            if entry is None:
                continue  # it was stopped meanwhile
            offsets.keep(progress(before, chunk))
            if not chunk.is_last:
                self._notices.progressed(before, entry, chunk.after)
                continue
            rows = entry.rows + chunk.rows
            log.info("table_snapshot_completed", table=entry.table, tables_left=len(offsets.snapshot.tables))
            self._ended(before, entry, rows, "SUCCEEDED" if rows else "EMPTY")

    def _ended(self, before: SnapshotState, entry: TableToRead, rows: int, status: ScanStatus) -> None:
        self._notices.scanned(before, entry, rows, status)
        if self._session.offsets.snapshot.done:
            self._session.counters.snapshots += 1
            self._progress.end()
            self._notices.completed(entry)
            log.info("incremental_snapshot_completed")

    def _give_up(self, entry: TableToRead, status: ScanStatus) -> None:
        """Take a table that cannot be read out of what is to be read."""
        offsets = self._session.offsets
        before = offsets.snapshot
        self._ahead = self._ahead.finished(entry.run)
        offsets.keep(before.finished(entry.run))
        self._ended(before, entry, entry.rows, status)

    def _start_copy(self, limit: int | None) -> None:
        entry, info = self._reading(), self._reading_chunk().info
        self._connection.start(chunk_query(info, after=entry.after, condition=entry.condition, limit=limit))

    def _lines(self) -> list[bytes] | None:
        """Return the rows that are here, None when all have been returned."""
        lines = self._connection.lines(f"reading {self._reading().table}")
        self._moved |= self._connection.is_copying
        return lines

    def _write_watermark(self) -> None:
        with translated("writing a watermark"):
            row = self._session.control.execute(_WATERMARK).fetchone()
        assert row is not None
        self._watermark, self._begun_after = row[0], next_transaction(self._session.control)

    def _refused(self, entry: TableToRead, error: Fatal) -> None:
        """Give up a table whose condition the server cannot read."""
        if not entry.condition and isinstance(error, ColumnMissing):
            raise Disconnected(str(error))  # renamed or dropped since it was looked at: the next attempt looks again
        if not entry.condition:
            raise error  # a right was taken from us, or the fault is ours
        log.warning("snapshot_of_a_table_ended", table=entry.table, signal=entry.signal, reason=str(error))
        self._give_up(entry, "SQL_EXCEPTION")
        self._abandon()

    def _again(self, seconds: float = 0.0) -> None:
        """Read the chunk again."""
        self._not_before = self._clock() + seconds
        self._abandon()

    def _abandon(self) -> None:
        self.close()
        self._rest()

    def _rest(self) -> None:
        self._window.close()
        self._chunk = self._entry = None
        self._phase = self._begin

    def _reading(self) -> TableToRead:
        assert self._entry is not None
        return self._entry

    def _reading_chunk(self) -> Chunk:
        assert self._chunk is not None
        return self._chunk
