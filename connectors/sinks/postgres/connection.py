"""Reach the server and see that our tables are there."""

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.sinks.errors import Fatal
from connectors.sinks.postgres.errors import OPTION, connect_error
from connectors.sinks.postgres.tables import INDEXES, SCHEMA, TABLES, VERSIONS, ColumnType

Connection = psycopg.Connection[tuple[object, ...]]

_LOCK = 0x74726176656C6F73  # "travelos": one process at a time creates or changes tables

_DEFAULTS: dict[str, str | int] = {
    "application_name": "travelos",
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    "keepalives_count": 3,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "tcp_user_timeout": 30_000,
}


def connect(dsn: str) -> Connection:
    """Return a connection that notices within half a minute that the server is gone.

    Raises:
        Unavailable: the server does not answer.
        Fatal: the address or the login is wrong; names the option, never the password.
    """
    try:
        given = conninfo_to_dict(dsn)
        if "@" in str(given.get("host", "")):
            raise Fatal(f"`{OPTION}`: a password with an @ in it must be written with %40")
        return psycopg.connect(make_conninfo(dsn, **{k: v for k, v in _DEFAULTS.items() if k not in given}))
    except psycopg.Error as error:
        raise connect_error(error) from None  # the cause may repeat the password


def create_tables(connection: Connection) -> None:
    """Create what is missing of the schema, and nothing when all is there: that needs no right to create.

    Raises:
        Fatal: a column has another type than ours.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        if connection.execute("SELECT to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
        there = _columns(connection)
        if "versions" not in there:
            connection.execute(sql.SQL(VERSIONS).format(schema=sql.Identifier(SCHEMA)))
        for table, columns in TABLES.items():
            if table not in there:
                _create(connection, table, columns)
                continue
            for name, kind in columns.items():
                found = there[table].get(name)
                if found is None:
                    _add(connection, table, name, kind)
                elif found != kind:
                    raise Fatal(
                        f"column {SCHEMA}.{table}.{name} is {found} and must be {kind}; let `{OPTION}` name another "
                        "database, or drop the table and replay the store's topic"
                    )


def _columns(connection: Connection) -> dict[str, dict[str, str]]:
    rows = connection.execute(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = to_regnamespace(%s) AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
        """,
        (SCHEMA,),
    )
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        found.setdefault(str(table), {})[str(column)] = str(kind)
    return found


def _create(connection: Connection, table: str, columns: Mapping[str, ColumnType]) -> None:
    name = sql.Identifier(SCHEMA, table)
    defined = [sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind)) for column, kind in columns.items()]
    connection.execute(sql.SQL("CREATE TABLE {} (key text PRIMARY KEY, {})").format(name, sql.SQL(", ").join(defined)))
    for indexed in INDEXES[table]:
        connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(name, sql.SQL(indexed)))


def _add(connection: Connection, table: str, column: str, kind: ColumnType) -> None:
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
            sql.Identifier(SCHEMA, table), sql.Identifier(column), sql.SQL(kind)
        )
    )
