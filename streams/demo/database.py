"""The source database `travel`: its tables, and loading rows into them."""

from collections.abc import Sequence

import psycopg
from msgspec.structs import astuple, fields
from psycopg import sql

from schemas.changes import PlaceRow, RestaurantRow, UserRow
from streams.demo.tables import load_places, load_restaurants

DATABASE = "travel"

Row = RestaurantRow | PlaceRow | UserRow
ROW_TYPES: dict[str, type[Row]] = {"restaurants": RestaurantRow, "places": PlaceRow, "users": UserRow}

# With REPLICA IDENTITY FULL an update and a delete carry the whole old row, which the undo of a change needs.
DDL = """
CREATE TABLE IF NOT EXISTS restaurants (
    id text PRIMARY KEY,
    name text NOT NULL,
    cuisine text,
    borough text,
    street text,
    building text,
    zipcode text,
    lat double precision,
    lon double precision,
    grades jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS places (
    id text PRIMARY KEY,
    name text NOT NULL,
    kind text NOT NULL,
    area text,
    address text,
    postcode text,
    phone text,
    price_range text,
    cuisine text,
    description text,
    lat double precision,
    lon double precision,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS users (
    id text PRIMARY KEY,
    name text NOT NULL,
    home_city text,
    language text,
    diet text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE restaurants REPLICA IDENTITY FULL;
ALTER TABLE places REPLICA IDENTITY FULL;
ALTER TABLE users REPLICA IDENTITY FULL;
"""


def create_tables(dsn: str) -> None:
    """Create the tables that are missing.

    Raises:
        psycopg.Error: the server does not answer or refuses.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute(DDL)


def fill_new_tables(dsn: str) -> dict[str, int]:
    """Create the tables that are missing, and load what the package ships into those that it has just created.

    Tables that are there stay as they are. Return how many rows each new table got.

    Raises:
        psycopg.Error: the server does not answer or refuses.
    """
    with psycopg.connect(dsn) as connection:
        new = [table for table in ROW_TYPES if _is_missing(connection, table)]
    create_tables(dsn)
    shipped: dict[str, Sequence[Row]] = {"restaurants": load_restaurants().rows, "places": load_places().rows}
    return {table: load_rows(dsn, table, shipped[table]) if table in shipped else 0 for table in new}


def load_rows(dsn: str, table: str, rows: Sequence[Row]) -> int:
    """Insert the rows of one table, and update those that differ; return how many rows were written.

    One transaction. Loading the same rows again writes nothing, so it makes no change events either. Rows of other ids
    stay.

    Args:
        dsn: of the database that holds the tables.
        table: "restaurants", "places" or "users".
        rows: of the type that belongs to the table; no id twice.

    Raises:
        psycopg.Error: the server does not answer or refuses.
    """
    names = columns(table)
    staging = sql.Identifier(f"{table}_staging")
    # IS DISTINCT FROM compares whole rows, NULLs included; jsonb compares by content and not by spelling.
    upsert = sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging} ON CONFLICT (id) DO UPDATE"
        " SET ({columns}, updated_at) = ROW({excluded}, now())"
        " WHERE ROW({current}) IS DISTINCT FROM ROW({excluded})"
    ).format(
        table=sql.Identifier(table),
        columns=_joined(names),
        staging=staging,
        excluded=_joined(names, "excluded"),
        current=_joined(names, table),
    )
    create = sql.SQL("CREATE TEMP TABLE {staging} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DROP")
    copy_in = sql.SQL("COPY {staging} ({columns}) FROM STDIN")
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(create.format(staging=staging, table=sql.Identifier(table)))
        with cursor.copy(copy_in.format(staging=staging, columns=_joined(names))) as copy:
            for row in rows:
                copy.write_row(astuple(row))
        return cursor.execute(upsert).rowcount


def _is_missing(connection: psycopg.Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NULL", (table,)).fetchone()
    return row is not None and bool(row[0])


def columns(table: str) -> list[str]:
    """Return the columns that a row type of this project fills, in its order."""
    return [field.encode_name for field in fields(ROW_TYPES[table])]


def _joined(names: Sequence[str], table: str | None = None) -> sql.Composed:
    prefix = (table,) if table else ()
    return sql.SQL(", ").join(sql.Identifier(*prefix, name) for name in names)
