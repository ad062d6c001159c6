"""The snapshot of a session: create the slot, read the tables as they were at that moment, say that it is done."""

import time

import structlog

from connectors.cdc.envelope import Moment, SnapshotMarker, read, source_template
from connectors.cdc.errors import Disconnected, Stopped
from connectors.cdc.lsn import format_lsn
from connectors.cdc.publication import ensure_publication
from connectors.cdc.publisher import SERVE_SECONDS
from connectors.cdc.replication import CreatedSlot
from connectors.cdc.session import Session
from connectors.cdc.slot import SlotState, drop_slot, read_slot
from connectors.cdc.snapshot import Snapshot
from connectors.cdc.start import TakeSnapshot
from connectors.cdc.tables import Table

log = structlog.get_logger(__name__)

SERVE_EVERY = 1_000  # rows


def take_snapshot(session: Session, start: TakeSnapshot) -> int:
    """Send every row of the captured tables and return the LSN where the stream goes on from there.

    Every change that is not in the snapshot is in the stream. After an interrupted snapshot the stream also repeats
    changes that are in the new one; their LSN is lower than that of its rows.

    Raises:
        Stopped: a stop was asked for. The slot stays: the next snapshot needs it.
        Fatal: a right or a table is missing, or Kafka refuses a row.
        Disconnected: a connection is lost; the next attempt starts over.
    """
    config = session.config
    session.counters.phase = "snapshot"
    session.counters.snapshot_rows = 0
    log.info("snapshot_started", reason=start.reason, tables=list(config.topics))
    # Before the slot: then a slot without an offset is never ours, and one with an unfinished offset always is.
    session.offsets.write(0, None, snapshot_completed=False)
    _flush(session)
    if start.slot == "replace":
        drop_slot(session.control, config.slot)
    # Before the slot, because the server looks the publication up as of each change.
    ensure_publication(session.control, config.publication, session.found.publication, session.found.tables)
    try:
        created = _slot_to_read_by(session, start)
        _send_tables(session, created)
        _flush(session)
    except Stopped:
        if read_slot(session.control, config.slot) is not None:
            log.warning(
                "snapshot_interrupted",
                consequence=f"slot {config.slot} keeps WAL until the next start; if there will be none, drop it",
                remedy=f"SELECT pg_drop_replication_slot('{config.slot}')",
            )
        raise
    streaming_from = created.consistent_point
    if created.name != config.slot:
        session.replication.drop_slot(created.name, session.stop)
        streaming_from = _slot_of(session, config.slot).confirmed_lsn or 0
    session.offsets.write(streaming_from, None)
    _flush(session)
    session.counters.snapshots += 1
    log.info("snapshot_completed", rows=session.counters.snapshot_rows, streaming_from=format_lsn(streaming_from))
    return streaming_from


def _slot_to_read_by(session: Session, start: TakeSnapshot) -> CreatedSlot:
    """Return a new slot: the one to stream from, or beside a kept one another that only lends its snapshot."""
    slot = session.config.slot
    log.info("slot_requested", slot=slot, waits_for="the end of all transactions that are writing now")
    if start.slot != "keep":
        return session.replication.create_slot(slot, session.stop)
    return session.replication.create_slot(f"{slot[:54]}_snapshot", session.stop, temporary=True)


def _send_tables(session: Session, created: CreatedSlot) -> None:
    publisher, counters = session.publisher, session.counters
    lsn = _lsn_of_rows(session, created)
    report = publisher.report(lambda: None)
    sources: dict[tuple[Table, SnapshotMarker], bytes] = {}
    with Snapshot(session.config, created.snapshot, session.stop) as snapshot:
        for row in snapshot.rows():
            table = row.table
            source = sources.get((table, row.marker))
            if source is None:
                moment = Moment(
                    time_us=snapshot.moment.time_us,
                    tx_id=snapshot.moment.tx_id,
                    last_commit=None,
                    snapshot=row.marker,
                )
                source = source_template(session.database, table, moment) % (lsn, lsn)
                sources[table, row.marker] = source
            publisher.send(table.topic, read(table, row.encoded, source, time.time_ns()), report)
            counters.snapshot_rows += 1
            if counters.snapshot_rows % SERVE_EVERY == 0:
                publisher.serve(0)
                while not publisher.room:
                    session.stop.check()
                    publisher.serve(SERVE_SECONDS)


def _lsn_of_rows(session: Session, created: CreatedSlot) -> int:
    """Return the LSN that the rows of the snapshot carry: below that of every change that is not in it.

    The slot's consistent point would be wrong. A transaction that began before that point and committed after it is
    streamed, and its records lie before it: a row would seem newer than its own future, and that change would be lost.
    No record before the slot's first `restart_lsn` is ever read.
    """
    restart_lsn = _slot_of(session, created.name).restart_lsn
    assert restart_lsn is not None  # else the slot would be lost
    return restart_lsn


def _slot_of(session: Session, name: str) -> SlotState:
    slot = read_slot(session.control, name)
    if slot is None or slot.lost:
        raise Disconnected(f"slot {name} has vanished during the snapshot")
    return slot


def _flush(session: Session) -> None:
    """Wait, for as long as it takes, until Kafka has everything."""
    while not session.publisher.flush(60.0, session.stop):
        pass
