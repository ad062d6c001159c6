"""The publication: which tables the server streams, and which of their rows and columns."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from psycopg import Connection, sql

from connectors.cdc.catalog import TableInfo
from connectors.cdc.connect import translated

_PUBLICATION = b"""
SELECT p.puballtables, p.pubviaroot,
       array_remove(ARRAY[CASE WHEN p.pubinsert THEN 'c' END, CASE WHEN p.pubupdate THEN 'u' END,
                          CASE WHEN p.pubdelete THEN 'd' END, CASE WHEN p.pubtruncate THEN 't' END], NULL),
       pg_has_role(current_user, p.pubowner, 'USAGE'), pg_get_userbyid(p.pubowner),
       (SELECT coalesce(jsonb_agg(jsonb_build_array(t.schemaname, t.tablename, j ->> 'rowfilter', (
                   SELECT jsonb_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                   WHERE a.attrelid = format('%%I.%%I', t.schemaname, t.tablename)::regclass
                     AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                     AND NOT j -> 'attnames' ? a.attname::text))), '[]')
        FROM pg_publication_tables t CROSS JOIN LATERAL to_jsonb(t) j WHERE t.pubname = p.pubname)
FROM pg_publication p WHERE p.pubname = %s
"""


# Debezium's `publication.autocreate.mode`.
PublicationMode = Literal["filtered", "all_tables", "disabled"]

_OPERATIONS = {"c": "insert", "u": "update", "d": "delete", "t": "truncate"}


class Publication(Struct, frozen=True, kw_only=True):
    """A publication as it is now.

    Attributes:
        all_tables: made with FOR ALL TABLES.
        via_root: rows of a partition count as rows of the partitioned table.
        operations: what it publishes: c for inserts, u, d, and t for truncates.
        owned: whether we may change it.
        owner: the role that may.
        tables: what it publishes, as (schema, name).
        row_filters: what rows of some of them, as "<schema>.<table>", have to meet, as Postgres prints it (PostgreSQL
            15 and newer).
        left_out: which columns of some of them it does not publish (PostgreSQL 15 and newer).
    """

    all_tables: bool = False
    via_root: bool = True
    operations: frozenset[str] = frozenset("cudt")
    owned: bool = True
    owner: str = ""
    tables: frozenset[tuple[str, str]] = frozenset()
    row_filters: Mapping[str, str] = {}
    left_out: Mapping[str, tuple[str, ...]] = {}

    def missing(self, tables: Iterable[TableInfo]) -> list[TableInfo]:
        """Return those of the tables that it does not publish."""
        return [table for table in tables if (table.schema, table.name) not in self.tables]


def read_publication(connection: Connection, name: str) -> Publication | None:
    """Return a publication; None when there is none of that name.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading pg_publication"):
        row = connection.execute(_PUBLICATION, (name,)).fetchone()
    if row is None:
        return None
    all_tables, via_root, operations, owned, owner, tables = row
    return Publication(
        all_tables=all_tables,
        via_root=via_root,
        operations=frozenset(operations),
        owned=owned,
        owner=owner,
        tables=frozenset((schema, name) for schema, name, _, _ in tables),
        row_filters={f"{schema}.{name}": only for schema, name, only, _ in tables if only},
        left_out={f"{schema}.{name}": tuple(columns) for schema, name, _, columns in tables if columns},
    )


def ensure_publication(
    connection: Connection,
    name: str,
    publication: Publication | None,
    tables: Sequence[TableInfo],
    skipped: Collection[str] = (),
    *,
    mode: PublicationMode = "filtered",
) -> list[TableInfo]:
    """Create the publication for the tables, or add those that it lacks; return what was added to an existing one.

    With the mode "all_tables" a new one is for all tables, also those that are created later; with "disabled" nothing
    is done.

    A new one leaves out the operations that are skipped anyway (c, u, d). Tables that an existing one publishes and we
    do not capture are left in it: somebody else may need them.

    Raises:
        Fatal: a right is missing.
        Disconnected: the connection is lost.
    """
    if mode == "disabled":
        return []
    if publication is None:
        # A partitioned table is captured under its own name, whatever partition a row lies in.
        command = sql.SQL("CREATE PUBLICATION {} FOR {} WITH (publish_via_partition_root = true, publish = {})")
        publish = sql.Literal(", ".join(published_operations(skipped)))
        what = sql.SQL("ALL TABLES") if mode == "all_tables" else sql.SQL("TABLE {}").format(table_list(tables))
        with translated(f"creating source.publication {name}"):
            connection.execute(command.format(sql.Identifier(name), what, publish))
        return []
    added = publication.missing(tables)
    if added:
        command = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}")
        with translated(f"adding tables to source.publication {name}"):
            connection.execute(command.format(sql.Identifier(name), table_list(added)))
    return added


def published_operations(skipped: Collection[str]) -> list[str]:
    """Return what a publication has to publish, as Postgres names it.

    Truncates always: whoever reads a table beside the stream has to know of them, also when they make no event.
    """
    return [name for operation, name in _OPERATIONS.items() if operation not in skipped or operation == "t"]


def table_list(tables: Iterable[TableInfo]) -> sql.Composed:
    """Return the tables for a publication, without those that inherit from them, with their columns and row filters."""
    return sql.SQL(", ").join(map(_listed, tables))


def replacement(name: str, table: TableInfo) -> str:
    """Return the statements that give a table of a publication its row filter and its columns.

    They are one transaction: what changes between two would be lost.
    """
    publication, only = sql.Identifier(name), sql.Identifier(table.schema, table.name)
    command = "BEGIN; ALTER PUBLICATION {} DROP TABLE {}; ALTER PUBLICATION {} ADD TABLE {}; COMMIT"
    return sql.SQL(command).format(publication, only, publication, _listed(table)).as_string()


def _listed(table: TableInfo) -> sql.Composed:
    listed = sql.SQL("ONLY " if table.kind == "r" else "") + sql.Identifier(table.schema, table.name)
    if table.column_list:
        listed += sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.column_list)))
    if table.row_filter:
        # The parenthesis that closes stands alone: what the configuration holds may end in a comment.
        listed += sql.SQL(" WHERE ({}\n)").format(sql.SQL(table.row_filter))  # pyright: ignore[reportArgumentType]
    return listed
