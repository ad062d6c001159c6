"""What Postgres's catalogue says about tables."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct, structs
from psycopg import Connection

from connectors.cdc.connect import translated
from connectors.cdc.default_catalog import read_defaults
from connectors.cdc.defaults import Default
from connectors.cdc.filters import Filters
from connectors.cdc.pg_types import PgType
from connectors.cdc.tables import NO_FILTERS, Column, Indexes, key_columns
from connectors.cdc.type_catalog import read_types

# Columns in the order of the stream; generated ones are not in it. A key's columns in the order of its index.
_TABLES = b"""
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relreplident::text,
       pg_has_role(current_user, c.relowner, 'USAGE'),
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       row_security_active(c.oid), pg_get_userbyid(c.relowner)::text, greatest(c.reltuples, 0)::int8,
       columns.names, columns.types, columns.typmods, columns.not_null, keys.primary_key, keys.identity_index
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(a.attname::text ORDER BY a.attnum), '{}') AS names,
           coalesce(array_agg(a.atttypid::int8 ORDER BY a.attnum), '{}') AS types,
           coalesce(array_agg(a.atttypmod ORDER BY a.attnum), '{}') AS typmods,
           coalesce(array_agg(a.attname::text) FILTER (WHERE a.attnotnull), '{}') AS not_null
    FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
) columns
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(a.attname::text ORDER BY k.place) FILTER (WHERE i.indisprimary), '{}') AS primary_key,
           coalesce(array_agg(a.attname::text ORDER BY k.place) FILTER (WHERE i.indisreplident), '{}') AS identity_index
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND k.place <= i.indnkeyatts
) keys
WHERE c.oid = %(oid)s OR (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
"""

_TYPES_OF_COLUMNS = 12  # the place of columns.types in a row

_NAMES = b"""
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
ORDER BY 1, 2
"""


class TableInfo(Struct, frozen=True, kw_only=True):
    """A table as it is now.

    Attributes:
        oid: of the table.
        schema: its schema.
        name: its name.
        kind: `pg_class.relkind`: r an ordinary table, p a partitioned one, others are no tables.
        persistence: `pg_class.relpersistence`: p permanent, u unlogged, t temporary.
        identity: `pg_class.relreplident`: d, f, i or n.
        owned: whether we may change it.
        readable: whether we may select from it.
        row_security: whether policies hide rows of it from us.
        owner: the role that may change it.
        estimated_rows: as of the last ANALYZE; 0 when there was none.
        columns: those that are replicated, in order.
        indexes: the columns of its keys.
        key_is_concealed: whether values of its key may not be seen as they are.
        row_filter: SQL that its captured rows meet; empty for all rows.
        column_list: the columns that a publication has to list; empty for all, also those that are added later.
    """

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    identity: str
    owned: bool
    readable: bool
    row_security: bool
    owner: str
    estimated_rows: int
    columns: tuple[Column, ...]
    indexes: Indexes
    key_is_concealed: bool = False
    row_filter: str = ""
    column_list: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class ServerInfo(NamedTuple):
    """The server and our rights on it. It cuts off a reader that is silent for `sender_timeout_ms`; 0 for never.

    Of a standby `feedback` tells whether the primary keeps the rows that it needs, and `upstream_slot` names the slot
    that keeps them, and WAL, while it is disconnected.
    """

    version: int
    system_id: str
    database: str
    role: str
    wal_level: str
    in_recovery: bool
    may_replicate: bool
    may_create: bool
    encoding: str
    slots_used: int
    slots_allowed: int
    sender_timeout_ms: int
    current_lsn: int
    senders_used: int = 0
    senders_allowed: int = 1
    is_superuser: bool = True
    feedback: bool = True
    upstream_slot: str = ""


def read_tables(
    connection: Connection, names: Sequence[tuple[str, str]], filters: Filters = NO_FILTERS
) -> list[TableInfo]:
    """Return those of the tables (schema, name) that exist, in the order of the names.

    With the filters they know which of their rows are captured, and whether their keys may be seen.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    wanted = {"oid": None, "schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
    with translated("reading the catalogue"):
        rows = connection.execute(_TABLES, wanted).fetchall()
    types = read_types(connection, (oid for row in rows for oid in row[_TYPES_OF_COLUMNS]))
    defaults = read_defaults(connection, [row[0] for row in rows])
    found = [_with_filters(_table(row, types, defaults.get(row[0], {})), filters) for row in rows]
    order = {name: place for place, name in enumerate(names)}
    return sorted(found, key=lambda table: order[table.schema, table.name])


def has_keys(table: TableInfo, filters: Filters) -> bool:
    """Whether the records of a table have keys: its own ones, or those that the configuration chooses."""
    return bool(filters.key_of(str(table)) or key_columns(table.identity, table.indexes))


def _with_filters(info: TableInfo, filters: Filters) -> TableInfo:
    key = key_columns(info.identity, info.indexes)
    concealed = any(filters.conceals(str(info), column) for column in key)
    return structs.replace(info, key_is_concealed=concealed, row_filter=filters.rows_of(str(info)))


def read_names(connection: Connection) -> list[tuple[str, str]]:
    """Return (schema, name) of every table that has WAL, partitions left out: they are read as their table.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading the catalogue"):
        return [(schema, name) for schema, name in connection.execute(_NAMES).fetchall()]


def read_indexes(connection: Connection, oid: int) -> Indexes:
    """Return the keys of the table; empty ones when it is gone.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading the catalogue"):
        row = connection.execute(_TABLES, {"oid": oid, "schemas": [], "names": []}).fetchone()
    return Indexes() if row is None else _table(row, {}, read_defaults(connection, [oid]).get(oid, {})).indexes


def next_transaction(connection: Connection) -> int:
    """Return the id of a transaction that begins now: whatever has written before has a lower one.

    `pg_snapshot_xmax` would not do: it follows the last transaction that has ended.

    Raises:
        Fatal, Disconnected: the server does not give one.
    """
    with translated("looking for open transactions"):
        row = connection.execute(b"SELECT pg_current_xact_id()::text::int8").fetchone()
    assert row is not None
    return row[0]


def read_server(connection: Connection) -> ServerInfo:
    """Return what the server is and lets us do.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading the server's settings"):
        row = connection.execute(_SERVER).fetchone()
    assert row is not None
    return ServerInfo(*row)


def _table(row: tuple[Any, ...], kinds: Mapping[int, PgType], defaults: Mapping[str, Default]) -> TableInfo:
    *head, names, types, typmods, not_null, primary_key, identity_index = row
    oid, schema, name, kind, persistence, identity, owned, readable, row_security, owner, estimated_rows = head
    return TableInfo(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        persistence=persistence,
        identity=identity,
        owned=owned,
        readable=readable,
        row_security=row_security,
        owner=owner,
        estimated_rows=estimated_rows,
        columns=tuple(
            Column(
                column,
                oid,
                typmod,
                kinds.get(oid),
                not_null=column in not_null,
                never_null=identity == "f" and column in not_null,
                default=defaults.get(column),
            )
            for column, oid, typmod in zip(names, types, typmods, strict=True)
        ),
        indexes=Indexes(
            columns=tuple(names),
            primary_key=tuple(primary_key),
            identity_index=tuple(identity_index),
            not_null=tuple(not_null),
            defaults=defaults,
        ),
    )


# On Amazon RDS nobody has REPLICATION; membership of rds_replication stands for it.
_SERVER = b"""
SELECT current_setting('server_version_num')::int, s.system_identifier::text, current_database()::text,
       current_user::text, current_setting('wal_level'), pg_is_in_recovery(),
       r.rolsuper OR r.rolreplication OR EXISTS (
           SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(m.oid, 'MEMBER')),
       has_database_privilege(current_database(), 'CREATE'),
       current_setting('server_encoding'),
       (SELECT count(*)::int FROM pg_replication_slots), current_setting('max_replication_slots')::int,
       (SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout'),
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       '0/0')::int8,
       (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'walsender'),
       current_setting('max_wal_senders')::int, r.rolsuper,
       current_setting('hot_standby_feedback')::bool, coalesce(current_setting('primary_slot_name', true), '')
FROM pg_roles r, pg_control_system() s
WHERE r.rolname = current_user
"""
