"""Which default values of columns are constants. Pure; `default_catalog` asks a database for them.

What Debezium's connector takes for a constant is a constant here, for the same types. Only what is one literal of the
column's own kind, or one that became a text, counts: everything else is decided when a row is inserted
('2026-01-01'::timestamp in a timestamptz too: it depends on the time zone of whoever inserts).
"""

import re

from msgspec import Struct

_STRINGS = frozenset({"text", "character varying", "bpchar", "character"})
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_BOOLEAN = "boolean"
# As `ruleutils.c` of PostgreSQL prints constants: a quote is doubled.
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?|\(-?\d+(?:\.\d+)?\))(?:::(?P<kind>[a-z ]+))?", re.ASCII)
_BUILT_IN = re.compile(r"[a-z][a-z0-9 ]*(?:\[\])?")  # what is not in `pg_catalog` is printed with its schema
_LITERAL = re.compile(r"B?'(?:[^']|'')*'::(?P<kind>.+)", re.DOTALL)


class Default(Struct, frozen=True):
    """The default value of a column.

    Attributes:
        type_oid: of the column that has it.
        typmod: the modifier of that type.
        expression: as SQL.
        text: its value as COPY prints it; None when it is no constant.
    """

    type_oid: int
    typmod: int
    expression: str
    text: bytes | None = None


def is_constant(expression: str, kind: str) -> bool:
    """Whether the default of a column is the same for every row, and computing it calls no function of a user.

    Args:
        expression: as `pg_get_expr` prints it while `search_path` is `pg_catalog`.
        kind: the column's type as `format_type` prints it, without a modifier.
    """
    if kind == _BOOLEAN:
        return expression in ("true", "false")
    number = _NUMBER.fullmatch(expression)
    if number is not None:
        return _converted(number["kind"] or "numeric", kind)
    literal = _LITERAL.fullmatch(expression)
    if literal is None:
        return False
    return literal["kind"] == kind or _converted(literal["kind"], kind)


def _converted(declared: str, kind: str) -> bool:
    """Whether a constant of one kind may be converted to another: from and to what is built in."""
    if kind in _STRINGS:
        return _BUILT_IN.fullmatch(declared) is not None
    return declared in _NUMBERS and kind in _NUMBERS
