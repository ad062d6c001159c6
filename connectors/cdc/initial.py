"""The snapshot of a session: create the slot, read the tables as they were at that moment, say that it is done."""

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial

import structlog

from connectors.cdc.connect import translated
from connectors.cdc.envelope import Moment, SnapshotMarker
from connectors.cdc.errors import CdcError, ColumnMissing, Disconnected, Stopped
from connectors.cdc.known_values import read_shape
from connectors.cdc.lsn import format_lsn
from connectors.cdc.publication import ensure_publication
from connectors.cdc.publisher import SERVE_SECONDS
from connectors.cdc.replication import CreatedSlot
from connectors.cdc.session import Session
from connectors.cdc.slot import drop_slot, read_slot
from connectors.cdc.snapshot import Snapshot
from connectors.cdc.snapshot_progress import SnapshotProgress
from connectors.cdc.snapshot_sending import RowSender, sender_of
from connectors.cdc.snapshot_state import SnapshotState
from connectors.cdc.standby import NUDGE
from connectors.cdc.start import ReadOnly, TakeSnapshot
from connectors.cdc.tables import Table

log = structlog.get_logger(__name__)

ABORT_SECONDS = 1.0  # for a notification to be taken before we end
_CURRENT_LSN = (
    b"SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
    b" ELSE pg_current_wal_insert_lsn() END, '0/0')::int8"
)


def take_snapshot(session: Session, start: TakeSnapshot) -> int:
    """Send every row of the captured tables and return the LSN where the stream goes on from there.

    Every change that is not in the snapshot is in the stream. What Kafka has is written to the offsets, chunk by chunk,
    so that another attempt goes on from there.

    Raises:
        Stopped: a stop was asked for. The slot stays, so that the next start can go on.
        Fatal: a right or a table is missing, or Kafka refuses a row.
        Disconnected: a connection is lost.
    """
    log.info("snapshot_started", reason=start.reason, tables=[entry.table for entry in start.state.tables])
    with announced(session, start.state):
        return _take_snapshot(session, start)


def _take_snapshot(session: Session, start: TakeSnapshot) -> int:
    config = session.config
    # Before the slot: then a slot without an offset is never ours, and one with an unfinished offset always is.
    session.offsets.keep(start.state)
    session.offsets.write(0, None)
    _flush(session)
    if start.slot == "replace":
        drop_slot(session.control, config.slot)
    # Before the slot, because the server looks the publication up as of each change.
    found = session.found
    if not found.server.in_recovery:  # there it is the primary's, and complete, or we would not be here
        ensure_publication(
            session.control,
            config.publication,
            found.publication,
            found.to_publish,
            config.unpublished,
            mode=config.publication_mode,
        )
    for table in session.found.tables:
        if (topic := config.topics.get(str(table))) is not None:
            session.known.begin(topic.name, read_shape(session.control, table.oid, config.publication))
    try:
        log.info("slot_requested", slot=config.slot, waits_for="the end of all transactions that are writing now")
        if found.server.in_recovery:
            log.warning("slot_waits_for_the_primary", slot=config.slot, remedy=f"when it is idle: {NUDGE}")
        created = session.replication.create_slot(config.slot, session.stop, failover=config.failover)
        session.offsets.write(created.consistent_point, None)
        if not start.state.done:
            _send_tables(session, created.snapshot, start.state, _lsn_of_rows(session, created))
    except Stopped:
        if read_slot(session.control, config.slot) is not None:
            log.warning(
                "snapshot_interrupted",
                consequence=f"slot {config.slot} keeps WAL until the next start; if there will be none, drop it",
                remedy=f"SELECT pg_drop_replication_slot('{config.slot}')",
            )
        raise
    except ColumnMissing as error:
        # Renamed or dropped after the snapshot began and before the table was locked: the next attempt looks again.
        raise Disconnected(str(error)) from None
    _flush(session)
    log.info("streaming_begins", lsn=format_lsn(created.consistent_point))
    return created.consistent_point


def read_tables_only(session: Session, start: ReadOnly) -> None:
    """Send every row that is left to be read, as of now, and leave nothing on the server.

    Raises:
        Stopped, Fatal, Disconnected: see `take_snapshot`.
    """
    log.info("snapshot_started", reason="initial_only", tables=[entry.table for entry in start.state.tables])
    session.offsets.keep(start.state)
    with announced(session, start.state):
        with translated("reading the position of the WAL"):
            row = session.control.execute(_CURRENT_LSN).fetchone()
        assert row is not None
        _send_tables(session, None, start.state, row[0])
        _flush(session)


@contextmanager
def announced(session: Session, state: SnapshotState) -> Generator[None]:
    """Tell that a snapshot starts and, when it does not come to its end, that it was aborted; SKIPPED when it is empty.

    Debezium starts an aborted one again; ours goes on beside the stream.
    """
    notify, tables = session.notifications.send, _names(state)
    if state.done:
        notify("Initial Snapshot", "SKIPPED")
        yield
        return
    notify("Initial Snapshot", "STARTED", data_collections=tables)
    try:
        yield
    except (Stopped, CdcError):
        notify("Initial Snapshot", "ABORTED", data_collections=tables)
        with suppress(CdcError):  # what ended the snapshot is told, not that Kafka has gone with it
            session.publisher.flush(ABORT_SECONDS)
        raise


def _names(state: SnapshotState) -> str:
    return ",".join(entry.table for entry in state.tables)


def _send_tables(session: Session, exported: str | None, state: SnapshotState, lsn: int) -> None:
    counters, publisher = session.counters, session.publisher
    counters.phase = "snapshot"
    counters.snapshot_rows = counters.snapshot_estimated_rows = 0
    progress = SnapshotProgress(counters)
    senders: dict[tuple[Table, SnapshotMarker], RowSender] = {}
    written_at = time.monotonic()
    with Snapshot(session.config, exported, state, session.stop) as snapshot:
        progress.expect(snapshot.tables, already=sum(entry.rows for entry in state.tables))
        for run in snapshot.runs():
            sender = senders.get((run.table, run.marker))
            if sender is None:
                if all(table is not run.table for table, _ in senders):
                    now = str(run.table)
                    session.notifications.send(
                        "Initial Snapshot",
                        "IN_PROGRESS",
                        data_collections=_names(state),
                        current_collection_in_progress=now,
                    )
                moment = Moment(
                    time_us=snapshot.moment.time_us,
                    tx_id=snapshot.moment.tx_id,
                    last_commit=None,
                    snapshot=run.marker,
                )
                sender = senders[run.table, run.marker] = sender_of(session, run.table, moment, lsn)
            acknowledged = partial(run.chunk.transaction.acknowledged, len(run.lines))
            sender.send_lines(run.lines, publisher.receipt(acknowledged))
            session.known.learn_lines(run.table, run.lines)
            progress.read(str(run.table), len(run.lines))
            publisher.serve(0)
            while not publisher.room:
                session.stop.check()
                publisher.serve(SERVE_SECONDS)
            if time.monotonic() - written_at >= session.config.offset_seconds:
                written_at = time.monotonic()
                _note(session, snapshot)
                session.offsets.write(0, None)
        _flush(session)
        _note(session, snapshot)
    # Also what has no rows at all is read now.
    session.offsets.keep(SnapshotState(runs=state.runs))
    session.offsets.write(0, None)
    progress.end()
    counters.snapshots += 1
    session.notifications.send("Initial Snapshot", "COMPLETED", total_rows_scanned=str(counters.snapshot_rows))
    log.info("snapshot_completed", rows=counters.snapshot_rows)


def _note(session: Session, snapshot: Snapshot) -> None:
    """Take the chunks that Kafka has completely, up to the first one that it has not, into what has been read."""
    offsets, chunks = session.offsets, snapshot.chunks
    while chunks and chunks[0].transaction.finished:
        chunk = chunks.popleft()
        run = chunk.entry.run
        before = offsets.snapshot
        if chunk.upto is not None:
            offsets.keep(before.progressed(run, chunk.upto, chunk.rows))
            continue
        offsets.keep(before.finished(run))
        rows = chunk.rows + next((entry.rows for entry in before.tables if entry.run == run), 0)
        session.notifications.send(
            "Initial Snapshot",
            "TABLE_SCAN_COMPLETED",
            data_collections=_names(before),
            scanned_collection=chunk.entry.table,
            total_rows_scanned=str(rows),
            status="SUCCEEDED",
        )
        log.info("table_read", table=chunk.entry.table, tables_left=len(offsets.snapshot.tables))


def _lsn_of_rows(session: Session, created: CreatedSlot) -> int:
    """Return the LSN that the rows of the snapshot carry: below that of every change that is not in it.

    The slot's consistent point would be wrong. A transaction that began before that point and committed after it is
    streamed, and its records lie before it: a row would seem newer than its own future, and that change would be lost.
    No record before the slot's first `restart_lsn` is ever read.
    """
    slot = read_slot(session.control, created.name)
    if slot is None or slot.lost:
        raise Disconnected(f"slot {created.name} has vanished during the snapshot")
    assert slot.restart_lsn is not None  # else it would be lost
    return slot.restart_lsn


def _flush(session: Session) -> None:
    """Wait, for as long as it takes, until Kafka has everything."""
    while not session.publisher.flush(60.0, session.stop):
        pass
