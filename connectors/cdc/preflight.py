"""Look at everything the source needs before it creates anything.

Decisions are functions of what was found; `look` finds it.
"""

from collections.abc import Iterator, Sequence

from msgspec import structs
from psycopg import Connection

from connectors.cdc.catalog import TableInfo, read_names, read_server, read_tables
from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect
from connectors.cdc.errors import CdcError, Misconfigured
from connectors.cdc.filters import Filters
from connectors.cdc.found import Finding, Found
from connectors.cdc.publication import read_publication
from connectors.cdc.publication_findings import column_list, publication_findings
from connectors.cdc.row_filters import FILTERS_SINCE, read_row_filters
from connectors.cdc.slot import read_slot
from connectors.cdc.slot_watch import REMEDY
from connectors.cdc.tables import key_columns

OLDEST_SERVER = 130_000
FAILOVER_SINCE = 170_000
LONGEST_TOPIC = 249


def check(config: CdcConfig) -> list[Finding]:
    """Return everything that is not as it should be, errors first. Creates nothing; an empty list when all is well."""
    try:
        connection = connect(config.dsn, name=f"travelos cdc check {config.slot}")
    except CdcError as error:
        option, _, problem = str(error).partition(": ")
        return [Finding("error", option, problem or str(error), "nothing else could be looked at")]
    with connection:
        config = config.with_tables(read_names(connection)) if config.patterns else config
        return sorted(findings(config, look(connection, config)), key=lambda finding: finding.level)


def look(connection: Connection, config: CdcConfig) -> Found:
    """Return what there is on the server.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    server = read_server(connection)
    if server.in_recovery:
        return Found(server, [], None, None)
    tables = read_tables(connection, config.tables, config.filters)
    publication = read_publication(connection, config.publication)
    filters = ()
    if server.version >= FILTERS_SINCE:
        tables = [structs.replace(table, column_list=column_list(config, table)) for table in tables]
        operations = set("cud").difference(config.unpublished) if publication is None else publication.operations
        inserts_only = operations.isdisjoint("ud")
        filters = read_row_filters(connection, tables, publication, inserts_only=inserts_only)
    return Found(server, tables, publication, read_slot(connection, config.slot), filters)


def require(found: Sequence[Finding]) -> None:
    """Raise Misconfigured with all errors, one line each; return when there are only warnings."""
    errors = [str(finding) for finding in found if finding.level == "error"]
    if errors:
        raise Misconfigured("\n".join(errors))


def findings(config: CdcConfig, found: Found) -> list[Finding]:
    """Return everything that is not as it should be."""
    if found.server.in_recovery:
        return [Finding("error", "source.dsn", "this server is a standby", "name the primary")]
    return [
        *_server(config, found),
        *_tables(config, found.tables),
        *publication_findings(config, found),
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
    if not config.topics:
        yield Finding("error", "source.tables", "names no table", 'set source.tables = ["public.mine"]')


def _tables(config: CdcConfig, tables: Sequence[TableInfo]) -> Iterator[Finding]:
    known = {(table.schema, table.name) for table in tables}
    for schema, name in config.tables:
        if (schema, name) not in known:
            yield Finding(
                "error",
                "source.tables",
                f"there is no table {schema}.{name}",
                "take it out, or create it (names are case-sensitive and without quotes)",
            )
    topics: dict[str, str] = {}
    for table, topic in config.topics.items():
        if topic.name in topics:
            yield Finding(
                "error", "source.tables", f"{table} and {topics[topic.name]} share topic {topic.name}", "leave one out"
            )
        topics[topic.name] = table
        if len(topic.name) > LONGEST_TOPIC:
            yield Finding(
                "error",
                "source.tables",
                f"the name of topic {topic.name} has {len(topic.name)} characters, Kafka takes {LONGEST_TOPIC}",
                "choose a shorter kafka.topic_prefix or source.topic_prefix",
            )
    if "t" not in config.filters.skipped_operations:
        compacted = [topic.name for topic in config.topics.values() if "compact" in topic.cleanup]
        if compacted:
            yield Finding(
                "error",
                "source.skipped_operations",
                f"a truncate has no key, and topic {compacted[0]} is compacted: the brokers would refuse it",
                'add "t", or set cleanup.policy=delete',
            )
    for table in tables:
        yield from _table(table, config.filters)


def _table(table: TableInfo, filters: Filters) -> Iterator[Finding]:
    name = f'"{table.schema}"."{table.name}"'
    if table.kind not in ("r", "p"):
        yield Finding("error", "source.tables", f"{table} is no table", "views and foreign tables have no WAL")
        return
    if table.persistence != "p":
        yield Finding(
            "error",
            "source.tables",
            f"{table} is unlogged or temporary, so it has no WAL",
            f"ALTER TABLE {name} SET LOGGED",
        )
    if not table.readable:
        yield Finding("error", "source.tables", f"{table} may not be read", _grant(table))
    if table.row_security:
        yield Finding(
            "error",
            "source.tables",
            f"row security hides rows of {table} from the snapshot but not from the stream",
            "ALTER ROLE ... BYPASSRLS",
        )
    yield from _key(table, name, filters.key_of(str(table)))


def _key(table: TableInfo, name: str, chosen: Sequence[str] | None) -> Iterator[Finding]:
    key = key_columns(table.identity, table.indexes)
    add_key = f"ALTER TABLE {name} ADD PRIMARY KEY (...)"
    if chosen is not None:
        yield from _chosen_key(table, name, chosen)
    elif not key:
        yield Finding(
            "warning",
            "source.tables",
            f"{table} has no primary key: its records have no key, so its topic is kept whole instead of compacted",
            f"{add_key}, or choose columns with source.key_columns",
        )
    elif not set(key) <= set(table.indexes.columns):
        yield Finding(
            "error", "source.tables", f"the key of {table} holds a generated column, which is not replicated", add_key
        )
    if table.identity == "n" or (table.identity == "d" and not table.indexes.primary_key):
        yield Finding(
            "warning",
            "source.tables",
            f"{table} has no replica identity: once published, Postgres refuses every UPDATE and DELETE on it",
            f"ALTER TABLE {name} REPLICA IDENTITY FULL",
        )


def _chosen_key(table: TableInfo, name: str, chosen: Sequence[str]) -> Iterator[Finding]:
    missing = [column for column in chosen if column not in table.indexes.columns]
    if missing:
        yield Finding(
            "error",
            "source.key_columns",
            f"{table} has no column {', '.join(missing)}",
            "name columns of the table that are not generated",
        )
    elif table.identity in ("d", "i") and not set(chosen) <= set(key_columns(table.identity, table.indexes)):
        yield Finding(
            "error",
            "source.key_columns",
            f"deletes in {table} carry only its own key",
            f"ALTER TABLE {name} REPLICA IDENTITY FULL",
        )


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


def _grant(table: TableInfo) -> str:
    return f'GRANT USAGE ON SCHEMA "{table.schema}" TO ...; GRANT SELECT ON "{table.schema}"."{table.name}" TO ...'
