"""Bring the schema to what this release writes: migrations in their order, then what `tables` declares."""

from collections.abc import Mapping
from typing import LiteralString, NamedTuple

from psycopg import sql

from connectors.sinks.errors import Fatal
from connectors.sinks.postgres.connection import Connection
from connectors.sinks.postgres.errors import OPTION
from connectors.sinks.postgres.tables import INDEXES, SCHEMA, TABLES, ColumnType

LOCK = 0x74726176656C6F73  # "travelos": one process at a time creates or changes tables
_SCHEMA = sql.Identifier(SCHEMA)


class Migration(NamedTuple):
    """A step that is taken once in the life of a database. `statement` may be several, and names the schema `{}`."""

    name: str
    statement: LiteralString


# What is here has been applied somewhere, so it is never changed; what comes new goes to the end. New tables, columns
# and indexes need no step: they are declared in `tables`.
MIGRATIONS = (
    Migration(
        # As of before there were migrations, so that a database of that time needs none.
        "versions of columns",
        """
        CREATE TABLE IF NOT EXISTS {schema}.versions (
            entity text NOT NULL,
            source text NOT NULL,
            table_name text NOT NULL,
            key text NOT NULL,
            version bigint NOT NULL,
            deleted boolean NOT NULL,
            removed bigint NOT NULL,
            columns jsonb NOT NULL,
            revision bigint NOT NULL,
            PRIMARY KEY (entity, source)
        )
        """,
    ),
    Migration(
        # The server only keeps them: as text they cost it a third less, and 30 % of the table.
        "versions of columns as text",
        "ALTER TABLE {schema}.versions ALTER COLUMN columns TYPE text USING columns::text",
    ),
    Migration(
        # Changes no line: it keeps releases out that cannot read those which are written from now on.
        "versions of columns that were set together as a number",
        """
        COMMENT ON COLUMN {schema}.versions.columns IS
        'a number: bits of the columns that `version` has set, the lowest bit for the column behind key; or an object'
        """,
    ),
)


def prepare(connection: Connection) -> None:
    """Apply the migrations that are missing and create what is, in one transaction, one process at a time.

    Where all is there nothing is changed and nobody waited for, and no right to create is needed. A killed process
    leaves nothing half done.

    Raises:
        Fatal: the database is of a newer release, or a column has another type than ours; names the option.
    """
    with connection.transaction():
        if _is_prepared(connection):
            return
    limit, connection.request_seconds = connection.request_seconds, None  # a large table may take its time
    try:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            if connection.execute("SELECT to_regnamespace(%s)", (SCHEMA,)).fetchone() == (None,):
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(_SCHEMA))
            _migrate(connection)
            _declare(connection)
    finally:
        connection.request_seconds = limit


def _is_prepared(connection: Connection) -> bool:
    applied = _applied(connection)
    return applied is not None and len(applied) == len(MIGRATIONS) and not _missing(_columns(connection))


def _applied(connection: Connection) -> set[int] | None:
    """Return the numbers of the migrations that were applied; None: there is no table of them yet."""
    if connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.migrations",)).fetchone() == (None,):
        return None
    rows = connection.execute(sql.SQL("SELECT number FROM {}.migrations").format(_SCHEMA))
    applied = {int(str(number)) for (number,) in rows}
    if applied and max(applied) > len(MIGRATIONS):
        raise Fatal(
            f"the schema {SCHEMA} has migration {max(applied)} of a newer release, and this one knows "
            f"{len(MIGRATIONS)}; run that release, or let `{OPTION}` name another database"
        )
    return applied


def _migrate(connection: Connection) -> None:
    applied = _applied(connection)
    if applied is None:
        connection.execute(
            sql.SQL(
                "CREATE TABLE {}.migrations (number integer PRIMARY KEY, name text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            ).format(_SCHEMA)
        )
    for number, migration in enumerate(MIGRATIONS, start=1):
        if number not in (applied or ()):
            connection.execute(sql.SQL(migration.statement).format(schema=_SCHEMA))
            connection.execute(
                sql.SQL("INSERT INTO {}.migrations (number, name) VALUES (%s, %s)").format(_SCHEMA),
                (number, migration.name),
            )


def _declare(connection: Connection) -> None:
    there = _columns(connection)
    for table, missing in _missing(there).items():
        if table not in there:
            _create(connection, table, missing)
            continue
        for name, kind in missing.items():
            _add(connection, table, name, kind)


def _missing(there: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, ColumnType]]:
    """Return the columns that tables lack; all of them where there is no table."""
    missing: dict[str, dict[str, ColumnType]] = {}
    for table, columns in TABLES.items():
        for name, kind in columns.items():
            found = there.get(table, {}).get(name)
            if found is None:
                missing.setdefault(table, {})[name] = kind
            elif found != kind:
                raise Fatal(
                    f"column {SCHEMA}.{table}.{name} is {found} and must be {kind}; let `{OPTION}` name another "
                    "database, or drop the table and replay the store's topic"
                )
    return missing


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
