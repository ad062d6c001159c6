"""The default values that the columns of tables have today, as a database tells them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import psycopg
from psycopg import Connection

from connectors.cdc.connect import translated
from connectors.cdc.defaults import Default, is_constant

# The types for which Debezium writes defaults; those of arrays, domains and all others it leaves out. `format_type`
# with a modifier of -1 prints what `pg_get_expr` puts behind a literal.
_DEFAULTS = b"""
SELECT d.adrelid::int8, a.attname::text, a.atttypid::int8, a.atttypmod, pg_get_expr(d.adbin, d.adrelid),
       CASE WHEN t.typtype = 'e' OR t.typnamespace = 'pg_catalog'::regnamespace AND t.typname IN (
           'bit', 'varbit', 'bool', 'bpchar', 'varchar', 'text', 'numeric', 'float4', 'float8', 'int2', 'int4', 'int8',
           'json', 'jsonb', 'xml', 'uuid', 'date', 'time', 'timestamp', 'timestamptz', 'interval'
       ) THEN format_type(a.atttypid, -1) END,
       format_type(a.atttypid, a.atttypmod)
FROM pg_attrdef d
JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
JOIN pg_type t ON t.oid = a.atttypid
WHERE d.adrelid = ANY(%s) AND a.attgenerated = '' AND NOT a.attisdropped
"""


class _Row(NamedTuple):
    table: int
    column: str
    type_oid: int
    typmod: int
    expression: str | None
    kind: str | None
    full_type: str

    @property
    def constant(self) -> str | None:
        """The SQL that computes it, with the conversion to the column's precision; None when it is no constant."""
        if self.expression is None or self.kind is None or not is_constant(self.expression, self.kind):
            return None
        return f"CAST({self.expression} AS {self.full_type})"


def read_defaults(connection: Connection, tables: Iterable[int]) -> Mapping[int, Mapping[str, Default]]:
    """Return the defaults of tables by OID and name of the column; constants are computed by the server.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading the defaults of columns"):
        rows = [_Row(*row) for row in connection.execute(_DEFAULTS, (list(tables),)).fetchall()]
        constants = [row.constant for row in rows]
        texts = iter(_computed(connection, [one for one in constants if one is not None]))
    found: defaultdict[int, dict[str, Default]] = defaultdict(dict)
    for row, constant in zip(rows, constants, strict=True):
        text = None if constant is None else next(texts)
        if row.expression is not None:  # None: the table was dropped meanwhile
            found[row.table][row.column] = Default(row.type_oid, row.typmod, row.expression, text)
    return found


def _computed(connection: Connection, constants: Sequence[str]) -> list[bytes | None]:
    """Return what the server prints for each; None for what does not fit its type, which fails inserts only."""
    if not constants:
        return []
    try:
        with connection.transaction():  # within a transaction of ours a savepoint: it goes on after an error
            result = connection.execute(b"SELECT " + ", ".join(constants).encode(), prepare=False).pgresult
    except (psycopg.DataError, psycopg.ProgrammingError):
        return [None] if len(constants) == 1 else [_computed(connection, [one])[0] for one in constants]
    assert result is not None
    return [result.get_value(0, place) for place in range(len(constants))]
