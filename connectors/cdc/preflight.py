"""Look at everything the source needs before it creates anything.

Decisions are functions of what was found; `look` finds it.
"""

from collections.abc import Iterator, Sequence

from msgspec import structs
from psycopg import Connection

from connectors.cdc.catalog import read_server, read_tables
from connectors.cdc.config import CdcConfig, split_name
from connectors.cdc.errors import Misconfigured
from connectors.cdc.found import Finding, Found
from connectors.cdc.publication import read_publication
from connectors.cdc.publication_findings import column_list, publication_findings
from connectors.cdc.row_filters import FILTERS_SINCE, read_row_filters
from connectors.cdc.slot import read_slot
from connectors.cdc.slot_watch import REMEDY
from connectors.cdc.standby import STANDBYS_SINCE, standby_findings
from connectors.cdc.table_findings import table_findings

OLDEST_SERVER = 130_000
FAILOVER_SINCE = 170_000
MESSAGES_SINCE = 140_000


def look(connection: Connection, config: CdcConfig) -> Found:
    """Return what there is on the server.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    server = read_server(connection)
    if server.in_recovery and server.version < STANDBYS_SINCE:
        return Found(server, [], None, None)
    tables = read_tables(connection, config.tables, config.filters)
    publication = read_publication(connection, config.publication)
    filters = ()
    if server.version >= FILTERS_SINCE:
        tables = [structs.replace(table, column_list=column_list(config, table)) for table in tables]
        operations = set("cud").difference(config.unpublished) if publication is None else publication.operations
        inserts_only = operations.isdisjoint("ud")
        filters = read_row_filters(connection, tables, publication, inserts_only=inserts_only)
    signals = read_tables(connection, [split_name(config.signal_table)]) if config.signal_table else []
    slot = read_slot(connection, config.slot)
    return Found(server, tables, publication, slot, filters, signals[0] if signals else None)


def require(found: Sequence[Finding]) -> None:
    """Raise Misconfigured with all errors, one line each; return when there are only warnings."""
    errors = [str(finding) for finding in found if finding.level == "error"]
    if errors:
        raise Misconfigured("\n".join(errors))


def findings(config: CdcConfig, found: Found) -> list[Finding]:
    """Return everything that is not as it should be."""
    standby = list(standby_findings(config, found)) if found.server.in_recovery else []
    if standby and found.server.version < STANDBYS_SINCE:
        return standby
    lacking = any(finding.option == "source.publication" for finding in standby)  # told with what the primary can do
    return [
        *standby,
        *_server(config, found),
        *table_findings(config, found),
        *([] if lacking else publication_findings(config, found)),
        *_slot(config, found),
    ]


def _server(config: CdcConfig, found: Found) -> Iterator[Finding]:
    server = found.server
    if server.version < OLDEST_SERVER:
        yield Finding("error", "source.dsn", "PostgreSQL is older than 13", "upgrade it")
    if server.wal_level != "logical":
        yield Finding(
            "error",
            "source.dsn",
            f"wal_level is {server.wal_level}",
            "ALTER SYSTEM SET wal_level = logical; then restart the server",
        )
    if not server.may_replicate:
        yield Finding(
            "error", "source.dsn", f"role {server.role} has no REPLICATION", f'ALTER ROLE "{server.role}" REPLICATION'
        )
    if found.slot is None and server.slots_used >= server.slots_allowed:
        yield Finding(
            "error",
            "source.slot",
            f"all {server.slots_allowed} replication slots of the server are in use",
            f"drop one, or ALTER SYSTEM SET max_replication_slots = {server.slots_allowed + 1} and restart",
        )
    if config.failover and server.version < FAILOVER_SINCE:
        yield Finding(
            "error",
            "source.failover",
            "slots are kept on standbys from PostgreSQL 17 on",
            "set source.failover = false",
        )
    if server.encoding == "SQL_ASCII":
        yield Finding(
            "warning",
            "source.dsn",
            "the database's encoding is SQL_ASCII, so texts may be no text",
            "bytes that are not UTF-8 arrive as U+FFFD",
        )
    if server.senders_used >= server.senders_allowed:  # ours may be among them, and about to end
        yield Finding(
            "warning",
            "source.dsn",
            f"all {server.senders_allowed} WAL senders of the server are in use",
            f"ALTER SYSTEM SET max_wal_senders = {server.senders_allowed + 1} and restart",
        )
    if config.messages is not None and server.version < MESSAGES_SINCE:
        yield Finding(
            "warning",
            "source.messages",
            "logical messages are streamed from PostgreSQL 14 on, so none will arrive",
            "upgrade the server, or set source.messages = false",
        )
    if not config.topics:
        yield Finding("error", "source.tables", "names no table", 'set source.tables = ["public.mine"]')


def _slot(config: CdcConfig, found: Found) -> Iterator[Finding]:
    slot = found.slot
    if slot is None:
        return
    if slot.plugin != "pgoutput" or slot.database != found.server.database:
        yield Finding(
            "error",
            "source.slot",
            f"{config.slot} is a slot of plugin {slot.plugin} for database {slot.database}",
            "choose another name",
        )
    elif slot.soon_lost:
        left = "its WAL may be removed at the next checkpoint"
        if slot.wal_status != "unreserved":
            left = f"only {(slot.safe_wal_size or 0) >> 20} MB more WAL may be written before"
        yield Finding("warning", "source.slot", f"{config.slot} is about to be lost: {left}", REMEDY)
