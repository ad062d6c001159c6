"""The publication: which tables the server streams."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from psycopg import Connection, sql

from connectors.cdc.catalog import TableInfo
from connectors.cdc.connect import translated

_PUBLICATION = b"""
SELECT p.puballtables, p.pubviaroot, p.pubinsert AND p.pubupdate AND p.pubdelete,
       pg_has_role(current_user, p.pubowner, 'USAGE'), pg_get_userbyid(p.pubowner),
       ARRAY(SELECT t.schemaname::text FROM pg_publication_tables t WHERE t.pubname = p.pubname
             ORDER BY t.schemaname, t.tablename),
       ARRAY(SELECT t.tablename::text FROM pg_publication_tables t WHERE t.pubname = p.pubname
             ORDER BY t.schemaname, t.tablename)
FROM pg_publication p WHERE p.pubname = %s
"""


class Publication(Struct, frozen=True, kw_only=True):
    """A publication as it is now.

    Attributes:
        all_tables: made with FOR ALL TABLES.
        via_root: rows of a partition count as rows of the partitioned table.
        complete: it publishes inserts, updates and deletes.
        owned: whether we may change it.
        owner: the role that may.
        tables: what it publishes, as (schema, name).
    """

    all_tables: bool = False
    via_root: bool = True
    complete: bool = True
    owned: bool = True
    owner: str = ""
    tables: frozenset[tuple[str, str]] = frozenset()

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
    all_tables, via_root, complete, owned, owner, schemas, names = row
    return Publication(
        all_tables=all_tables,
        via_root=via_root,
        complete=complete,
        owned=owned,
        owner=owner,
        tables=frozenset(zip(schemas, names, strict=True)),
    )


def ensure_publication(
    connection: Connection, name: str, publication: Publication | None, tables: Sequence[TableInfo]
) -> list[TableInfo]:
    """Create the publication for the tables, or add those that it lacks; return what was added to an existing one.

    Tables that it publishes and we do not capture are left in it: somebody else may need them.

    Raises:
        Fatal: a right is missing.
        Disconnected: the connection is lost.
    """
    if publication is None:
        # A partitioned table is captured under its own name, whatever partition a row lies in.
        command = sql.SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)")
        with translated(f"creating source.publication {name}"):
            connection.execute(command.format(sql.Identifier(name), table_list(tables)))
        return []
    added = publication.missing(tables)
    if added:
        command = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}")
        with translated(f"adding tables to source.publication {name}"):
            connection.execute(command.format(sql.Identifier(name), table_list(added)))
    return added


def table_list(tables: Iterable[TableInfo]) -> sql.Composed:
    """Return the tables for a publication, without those that inherit from them."""
    return sql.SQL(", ").join(
        sql.SQL("{}{}").format(sql.SQL("ONLY " if table.kind == "r" else ""), sql.Identifier(table.schema, table.name))
        for table in tables
    )
