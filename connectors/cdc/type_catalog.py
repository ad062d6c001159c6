"""The types that a database has of its own: domains, enums, composite types, those of extensions, arrays of them."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from connectors.cdc.connect import translated
from connectors.cdc.pg_types import BUILT_IN, UNKNOWN, PgType

# With the elements of arrays and the bases of domains. Also a point has a `typelem`, and an int2vector one and braces
# of its own: only what array_in reads is an array.
_TYPES = b"""
WITH RECURSIVE wanted(oid) AS (
    SELECT unnest(%s::oid[])
    UNION
    SELECT inner_type.oid FROM wanted JOIN pg_type t ON t.oid = wanted.oid
    CROSS JOIN LATERAL (VALUES (t.typelem), (t.typbasetype)) inner_type(oid)
    WHERE inner_type.oid <> 0
)
SELECT t.oid::int8, t.typname::text, t.typtype::text,
       CASE WHEN t.typinput = 'array_in'::regproc THEN t.typelem::int8 ELSE 0 END, t.typdelim::text,
       t.typbasetype::int8, t.typtypmod,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
FROM pg_type t JOIN wanted USING (oid)
"""


def read_types(connection: Connection, oids: Iterable[int]) -> dict[int, PgType]:
    """Return these types by OID; what has been dropped since is UNKNOWN. Asks only for what is not built in.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    wanted = set(oids)
    unusual = sorted(wanted - BUILT_IN.keys())
    found = {oid: BUILT_IN[oid] for oid in wanted & BUILT_IN.keys()}
    if not unusual:
        return found
    with translated("reading the catalogue of types"):
        rows = {row[0]: row for row in connection.execute(_TYPES, (unusual,)).fetchall()}
    return found | {oid: _type(oid, rows) for oid in unusual}


def _type(oid: int, rows: dict[int, tuple[Any, ...]]) -> PgType:
    if oid in BUILT_IN:
        return BUILT_IN[oid]
    if oid not in rows:
        return UNKNOWN
    _, name, kind, element, delimiter, base, base_typmod, labels = rows[oid]
    return PgType(
        name,
        element=_type(element, rows) if element else None,
        delimiter=delimiter.encode(),
        base=_type(base, rows) if base else None,
        base_typmod=base_typmod,
        labels=tuple(labels),
        builtin_form=kind == "b",
    )
