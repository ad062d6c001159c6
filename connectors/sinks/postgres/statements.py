"""The statements of the relational store. Each takes a batch, as an array or by COPY."""

from collections.abc import Sequence
from functools import cache

from psycopg import sql
from psycopg.sql import Composable, Composed

from connectors.sinks.postgres.tables import SCHEMA, TABLES
from schemas.persons import USER_ID

_VERSIONS = sql.Identifier(SCHEMA, "versions")

_LINE = "entity, source, table_name, key, version, deleted, removed, columns, revision"

# For the rest of a transaction. Without it the planner, which knows little of a table that grows fast, read all of
# the lines for every batch as soon as it had some thousands of entities.
BY_INDEX = sql.SQL("SET LOCAL enable_seqscan = off")

# Parameter: entities.
LINES = sql.SQL("SELECT {} FROM {} WHERE entity = ANY(%s::text[])").format(sql.SQL(_LINE), _VERSIONS)

# Of lines that are not there yet. One that somebody else has made meanwhile violates the primary key.
COPY_LINES = sql.SQL("COPY {} ({}) FROM STDIN").format(_VERSIONS, sql.SQL(_LINE))

# What is staged, of whatever table: texts, which the statement that takes them over casts, as COPY would. One table and
# not one for each: emptying a temporary table costs 0.3 ms at every commit, used or not. Parts of a transaction are
# told apart by `part`: emptying it in between would write to the catalogue.
_WIDEST = max(len(_LINE.split(",")), 1 + max(map(len, TABLES.values())))  # a row is its key and its columns
_STAGED = [f"v{number}" for number in range(1, 1 + _WIDEST)]
STAGING = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS staged (part integer, {}) ON COMMIT DELETE ROWS").format(
    sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(name)) for name in _STAGED)
)

_STAGED_PART = sql.SQL("pg_temp.staged WHERE part = %s")


def _given(values: int) -> Composed:
    """Return what stands for so many columns that are parameters, each as an array of texts."""
    arrays = sql.SQL(", ").join([sql.SQL("%s::text[]")] * values)
    return sql.SQL("unnest({}) AS given ({})").format(arrays, sql.SQL(", ").join(map(sql.Identifier, _STAGED[:values])))


_LINES_OF = sql.SQL(
    "INSERT INTO {} AS v ({}) SELECT v1, v2, v3, v4, v5::bigint, v6::boolean, v7::bigint, v8, v9::bigint FROM {}"
)
_GIVEN_LINES = _LINES_OF.format(_VERSIONS, sql.SQL(_LINE), _given(len(_LINE.split(","))))
# Parameters: the columns of lines that are not there yet, as `COPY_LINES`.
INSERT_LINES = _GIVEN_LINES.as_bytes()

# Compare and set: a line that somebody else has changed since it was read is not touched, which the row count tells.
_COMPARED = sql.SQL("""
ON CONFLICT (entity, source) DO UPDATE SET
    version = EXCLUDED.version, deleted = EXCLUDED.deleted, removed = EXCLUDED.removed, columns = EXCLUDED.columns,
    revision = EXCLUDED.revision
WHERE v.revision = EXCLUDED.revision - 1
""")
SAVE_LINES = _LINES_OF.format(_VERSIONS, sql.SQL(_LINE), _STAGED_PART) + _COMPARED
# The same, with the columns as parameters.
SAVE_GIVEN_LINES = (_GIVEN_LINES + _COMPARED).as_bytes()

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


# Parameter: user. Each row with the lines that have written it.
OF_USER = sql.SQL(" UNION ALL ").join(
    sql.SQL("""
    SELECT {0}, t.key, v.entity, v.source, v.version FROM {1} AS t JOIN {2} AS v ON v.table_name = {0} AND v.key = t.key
    WHERE t.user_id = %(user)s
    """).format(sql.Literal(table), sql.Identifier(SCHEMA, table), _VERSIONS)
    for table, columns in TABLES.items()
    if USER_ID in columns
)

# A plain VACUUM leaves the bytes of deleted rows in their pages.
VACUUM = tuple(sql.SQL("VACUUM (FULL) {}").format(sql.Identifier(SCHEMA, table)) for table in TABLES)


_ROWS = sql.SQL(" UNION ALL ").join(
    sql.SQL("SELECT {}::text AS table_name, t.key FROM {} AS t").format(
        sql.Literal(table), sql.Identifier(SCHEMA, table)
    )
    for table in TABLES
)

# Parameters: the last entity of the page before, and how many. Rows that have a version line, by their entity.
WALK = sql.SQL("""
SELECT DISTINCT ON (v.entity) v.entity, v.source, v.version, v.table_name, v.key
FROM {} AS v WHERE v.entity > %s
AND EXISTS (SELECT 1 FROM ({}) AS r WHERE (r.table_name, r.key) = (v.table_name, v.key))
ORDER BY v.entity LIMIT %s
""").format(_VERSIONS, _ROWS)

# Rows that nobody has written through us.
STRAY = sql.SQL("""
SELECT r.table_name, r.key FROM ({}) AS r
WHERE NOT EXISTS (SELECT 1 FROM {} AS v WHERE (v.table_name, v.key) = (r.table_name, r.key))
""").format(_ROWS, _VERSIONS)


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
def stage(values: int) -> Composed:
    """Return the COPY of rows of so many values, each after its part."""
    names = [sql.Identifier(name) for name in ("part", *_STAGED[:values])]
    return sql.SQL("COPY pg_temp.staged ({}) FROM STDIN").format(sql.SQL(", ").join(names))


@cache
def insert(table: str, columns: Sequence[str]) -> Composed:
    """Return the COPY of rows that are not there yet, each its key and then the columns."""
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(SCHEMA, table), sql.SQL(", ").join(map(sql.Identifier, ("key", *columns)))
    )


@cache
def upsert(table: str, columns: Sequence[str]) -> Composed:
    """Return the statement that sets these columns of the rows of a part, and makes the rows that are not there.

    What is staged is the key and then the columns.
    """
    return _upsert(table, columns, _STAGED_PART)


@cache
def upsert_given(table: str, columns: Sequence[str]) -> bytes:
    """Return the same statement of rows that are parameters: the keys, then each column."""
    return _upsert(table, columns, _given(1 + len(columns))).as_bytes()


def _upsert(table: str, columns: Sequence[str], source: Composable) -> Composed:
    names = [sql.Identifier(column) for column in columns]
    cast = [
        sql.SQL("{}::{}").format(sql.Identifier(staged), sql.SQL(TABLES[table][column]))
        for staged, column in zip(_STAGED[1:], columns, strict=False)
    ]
    taken = [sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names]
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT (key) {}").format(
        sql.Identifier(SCHEMA, table),
        sql.SQL(", ").join([sql.Identifier("key"), *names]),
        sql.SQL(", ").join([sql.Identifier(_STAGED[0]), *cast]),
        source,
        sql.SQL("DO UPDATE SET {}").format(sql.SQL(", ").join(taken)) if taken else sql.SQL("DO NOTHING"),
    )
