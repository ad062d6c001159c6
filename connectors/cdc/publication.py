"""The publication: which tables the server streams."""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from psycopg import Connection, sql

from connectors.cdc.catalog import TableInfo
from connectors.cdc.connect import translated

_PUBLICATION = b"""
SELECT p.puballtables, p.pubviaroot,
       array_remove(ARRAY[CASE WHEN p.pubinsert THEN 'c' END, CASE WHEN p.pubupdate THEN 'u' END,
                          CASE WHEN p.pubdelete THEN 'd' END, CASE WHEN p.pubtruncate THEN 't' END], NULL),
       pg_has_role(current_user, p.pubowner, 'USAGE'), pg_get_userbyid(p.pubowner),
       ARRAY(SELECT t.schemaname::text FROM pg_publication_tables t WHERE t.pubname = p.pubname
             ORDER BY t.schemaname, t.tablename),
       ARRAY(SELECT t.tablename::text FROM pg_publication_tables t WHERE t.pubname = p.pubname
             ORDER BY t.schemaname, t.tablename),
       ARRAY(SELECT format('%%s.%%s', t.schemaname, t.tablename) FROM pg_publication_tables t
             CROSS JOIN LATERAL to_jsonb(t) j
             WHERE t.pubname = p.pubname AND (j ->> 'rowfilter' IS NOT NULL OR jsonb_array_length(j -> 'attnames') < (
                 SELECT count(*) FROM pg_attribute a
                 WHERE a.attrelid = format('%%I.%%I', t.schemaname, t.tablename)::regclass
                   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')))
FROM pg_publication p WHERE p.pubname = %s
"""


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
        limited: those of them, as "<schema>.<table>", of which it leaves out rows or columns (PostgreSQL 15 and later).
    """

    all_tables: bool = False
    via_root: bool = True
    operations: frozenset[str] = frozenset("cudt")
    owned: bool = True
    owner: str = ""
    tables: frozenset[tuple[str, str]] = frozenset()
    limited: tuple[str, ...] = ()

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
    all_tables, via_root, operations, owned, owner, schemas, names, limited = row
    return Publication(
        all_tables=all_tables,
        via_root=via_root,
        operations=frozenset(operations),
        owned=owned,
        owner=owner,
        tables=frozenset(zip(schemas, names, strict=True)),
        limited=tuple(limited),
    )


def ensure_publication(
    connection: Connection,
    name: str,
    publication: Publication | None,
    tables: Sequence[TableInfo],
    skipped: Collection[str] = (),
) -> list[TableInfo]:
    """Create the publication for the tables, or add those that it lacks; return what was added to an existing one.

    A new one leaves out the operations that are skipped anyway (c, u, d). Tables that an existing one publishes and we
    do not capture are left in it: somebody else may need them.

    Raises:
        Fatal: a right is missing.
        Disconnected: the connection is lost.
    """
    if publication is None:
        # A partitioned table is captured under its own name, whatever partition a row lies in.
        command = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true, publish = {})")
        publish = sql.Literal(", ".join(published_operations(skipped)))
        with translated(f"creating source.publication {name}"):
            connection.execute(command.format(sql.Identifier(name), table_list(tables), publish))
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
    """Return the tables for a publication, without those that inherit from them."""
    return sql.SQL(", ").join(
        sql.SQL("{}{}").format(sql.SQL("ONLY " if table.kind == "r" else ""), sql.Identifier(table.schema, table.name))
        for table in tables
    )
