"""What there is to say about the tables, before anything is created. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from connectors.cdc.catalog import TableInfo
from connectors.cdc.chunks import captured_table
from connectors.cdc.config import CdcConfig
from connectors.cdc.errors import Misconfigured
from connectors.cdc.found import Finding, Found
from connectors.cdc.tables import key_columns
from schemas.topics import Topic

LONGEST_TOPIC = 249
SIGNAL_COLUMNS = "(id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))"


def table_findings(config: CdcConfig, found: Found) -> Iterator[Finding]:
    """Yield what is not as it should be with the captured tables, the outbox and the signal table."""
    tables = found.tables
    known = {(table.schema, table.name) for table in tables}
    for schema, name in config.tables:
        if (schema, name) not in known:
            yield Finding(
                "error",
                "source.tables",
                f"there is no table {schema}.{name}",
                "take it out, or create it (names are case-sensitive and without quotes)",
            )
    yield from shared_topics(config.topics)
    for topic in config.topics.values():
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
        yield from _table(table, config)
    yield from _outbox(config, tables)
    if config.signal_table and found.signal_table is None:
        yield Finding(
            "error",
            "source.signal_table",
            f"there is no table {config.signal_table}",
            f"CREATE TABLE {config.signal_table} {SIGNAL_COLUMNS}",
        )


def shared_topics(topics: Mapping[str, Topic]) -> Iterator[Finding]:
    """Yield the tables whose names make the same topic, characters that no topic may have being replaced."""
    tables: dict[str, str] = {}
    for table, topic in topics.items():
        if topic.name in tables:
            yield Finding(
                "error", "source.tables", f"{table} and {tables[topic.name]} share topic {topic.name}", "leave one out"
            )
        tables[topic.name] = table


def _table(table: TableInfo, config: CdcConfig) -> Iterator[Finding]:
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
    problems = list(_key(table, name, config.filters.key_of(str(table))))
    yield from problems
    if not any(problem.level == "error" for problem in problems):
        yield from _columns(table, config)


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


def _columns(table: TableInfo, config: CdcConfig) -> Iterator[Finding]:
    try:
        captured_table(config, table)
    except Misconfigured as error:  # a column that cannot be hidden
        option, _, text = str(error).partition(": ")
        problem, _, remedy = text.rpartition("; ")
        yield Finding("error", option, problem, remedy)


def _outbox(config: CdcConfig, tables: Sequence[TableInfo]) -> Iterator[Finding]:
    outbox = config.outbox
    if outbox is None:
        return
    if outbox.table not in config.topics:
        yield Finding(
            "error", "source.outbox_table", f"{outbox.table} is not captured", "add it to source.tables as well"
        )
    wanted = {"id": outbox.id, "key": outbox.key, "payload": outbox.payload, "route_by": outbox.route_by}
    if outbox.timestamp:
        wanted["timestamp"] = outbox.timestamp
    columns = [*wanted.items(), *(("fields", field.column) for field in outbox.fields)]
    for table in tables:
        for option, column in columns if str(table) == outbox.table else ():
            if column not in table.indexes.columns:
                yield Finding(
                    "error", f"source.outbox_{option}", f"{table} has no column {column}", "name one of its columns"
                )


def _grant(table: TableInfo) -> str:
    return f'GRANT USAGE ON SCHEMA "{table.schema}" TO ...; GRANT SELECT ON "{table.schema}"."{table.name}" TO ...'
