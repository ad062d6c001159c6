"""Go on from an offset: with what is still to be read, and with the tables that are captured from now on."""

import structlog

from connectors.cdc.catalog import next_transaction
from connectors.cdc.publication import ensure_publication
from connectors.cdc.session import Session
from connectors.cdc.start import Resume

log = structlog.get_logger(__name__)


def resume(session: Session, start: Resume) -> None:
    """Have the offsets go on from there, and the new tables published and read.

    The stream may lack changes of a transaction that was open when a table was added to the publication, so a new table
    is read only when all such transactions have ended.

    Raises:
        Fatal: a right is missing.
        Disconnected: the connection is lost.
    """
    config, slot = session.config, session.found.slot
    if config.failover and slot is not None and not slot.failover:
        session.replication.keep_on_standbys(config.slot, session.stop)
        log.info("slot_is_kept_on_standbys", slot=config.slot)
    found = session.found
    mode = config.publication_mode
    added = []
    if not found.server.in_recovery:
        added = ensure_publication(session.control, config.publication, found.publication, found.to_publish, mode=mode)
    state = start.state
    if start.new and session.config.snapshot != "no_data":
        state = state.without(start.new).with_tables(start.new, from_xid=next_transaction(session.control))
        log.info("tables_to_be_read", tables=start.new)
    if added:
        log.info("tables_added", tables=[str(table) for table in added], publication=session.config.publication)
    session.offsets.resume(start.lsn)
    session.offsets.keep(state)
    if not state.done:
        log.info(
            "snapshot_goes_on_beside_the_stream",
            tables=[entry.table for entry in state.tables],
            rows_read=sum(entry.rows for entry in state.tables),
        )
