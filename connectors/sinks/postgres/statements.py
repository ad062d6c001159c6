"""The statements of the relational store. Each takes a batch as one parameter, a JSON list or an array."""

from collections.abc import Sequence
from functools import cache

from psycopg import sql
from psycopg.sql import Composed

from connectors.sinks.postgres.tables import SCHEMA, TABLES

_VERSIONS = sql.Identifier(SCHEMA, "versions")

# Parameters: entities, sources.
LINES = sql.SQL("""
SELECT v.entity, v.source, v.table_name, v.key, v.version, v.deleted, v.removed, v.columns, v.revision
FROM unnest(%s::text[], %s::text[]) AS wanted (entity, source) JOIN {} AS v USING (entity, source)
""").format(_VERSIONS)

# Compare and set: a line that somebody else has changed since it was read is not touched, which the row count tells.
SAVE_LINES = sql.SQL("""
INSERT INTO {} AS v (entity, source, table_name, key, version, deleted, removed, columns, revision)
SELECT r.entity, r.source, r."table", r.key, r.version, r.deleted, r.removed, r.columns, r.revision + 1
FROM json_to_recordset(%s::json) AS r (
    entity text, source text, "table" text, key text, version bigint, deleted boolean, removed bigint, columns jsonb,
    revision bigint
)
ON CONFLICT (entity, source) DO UPDATE SET
    version = EXCLUDED.version, deleted = EXCLUDED.deleted, removed = EXCLUDED.removed, columns = EXCLUDED.columns,
    revision = EXCLUDED.revision
WHERE v.revision = EXCLUDED.revision - 1
""").format(_VERSIONS)

# Parameters: entities, sources. The rows themselves are counted.
HELD = sql.SQL("""
SELECT v.entity, v.source, v.version, v.deleted, CASE v.table_name {} END
FROM unnest(%s::text[], %s::text[]) AS wanted (entity, source) JOIN {} AS v USING (entity, source)
""").format(
    sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN (SELECT count(*) FROM {} AS t WHERE t.key = v.key)").format(
            sql.Literal(table), sql.Identifier(SCHEMA, table)
        )
        for table in TABLES
    ),
    _VERSIONS,
)


@cache
def delete(table: str) -> Composed:
    """Return the statement that removes the rows of an array of keys."""
    return sql.SQL("DELETE FROM {} WHERE key = ANY(%s::text[])").format(sql.Identifier(SCHEMA, table))


@cache
def rows(table: str) -> Composed:
    """Return the statement that reads the rows of an array of keys, each as its key and a JSON object."""
    return sql.SQL("SELECT t.key, to_jsonb(t) - 'key' FROM {} AS t WHERE t.key = ANY(%s::text[])").format(
        sql.Identifier(SCHEMA, table)
    )


@cache
def upsert(table: str, columns: Sequence[str]) -> Composed:
    """Return the statement that sets these columns of rows, and makes the rows that are not there."""
    names = [sql.Identifier(column) for column in columns]
    typed = [
        sql.SQL("{} {}").format(name, sql.SQL(TABLES[table][column]))
        for name, column in zip(names, columns, strict=True)
    ]
    taken = [sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names]
    return sql.SQL(
        "INSERT INTO {} ({}) SELECT {} FROM json_to_recordset(%s::json) AS r ({}) ON CONFLICT (key) {}"
    ).format(
        sql.Identifier(SCHEMA, table),
        sql.SQL(", ").join([sql.Identifier("key"), *names]),
        sql.SQL(", ").join([sql.Identifier("key"), *names]),
        sql.SQL(", ").join([sql.SQL("key text"), *typed]),
        sql.SQL("DO UPDATE SET {}").format(sql.SQL(", ").join(taken)) if taken else sql.SQL("DO NOTHING"),
    )
