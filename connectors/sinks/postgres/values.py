"""Whether a write fits its table, said before the database is asked, so that the reason names the column."""

import math
from collections.abc import Callable
from datetime import date, datetime

import msgspec

from connectors.sinks.postgres.merge import Value
from connectors.sinks.postgres.tables import TABLES, ColumnType
from schemas.writes import RelationalWrite

_INT4 = 2**31
_INT8 = 2**63


class Unfit(ValueError):  # noqa: N818 - says what the write is
    """A write that its table cannot hold; the message names the column."""


def checked(write: RelationalWrite) -> RelationalWrite:
    """Return the write with its times and dates in one form.

    Raises:
        Unfit: the table or a column is unknown, or a value is not of the column's type.
    """
    columns = TABLES.get(write.table)
    if columns is None:
        raise Unfit(f"`table` is `{write.table}`, not one of {', '.join(TABLES)}")
    for name, value in (("entity", write.entity), ("source", write.source), ("key", write.key)):
        if not (value and value.isascii() and "\0" not in value):
            _identifier(name, value)
    if not 0 <= write.version < _INT8:
        raise Unfit(f"`version` does not fit into 64 bits: {write.version}")
    converted: dict[str, Value] = {}
    for name, value in write.columns.items():
        kind = columns.get(name)
        if kind is None:
            raise Unfit(f"`{write.table}` has no column `{name}`; it has {', '.join(columns)}")
        # Nearly all texts have nothing to look at more closely, which is told at once.
        if value is None or (kind == "text" and isinstance(value, str) and value.isascii() and "\0" not in value):
            continue
        try:
            found = _CONVERTERS[kind](value)
        except ValueError as error:
            raise Unfit(f"column `{name}` of `{write.table}` takes {kind}: {error}") from error
        if found is not value:
            converted[name] = found
    return msgspec.structs.replace(write, columns=write.columns | converted) if converted else write


def _identifier(name: str, value: str) -> None:
    if not value:
        raise Unfit(f"`{name}` is empty")
    try:
        _text(value)
    except ValueError as error:
        raise Unfit(f"`{name}`: {error}") from error


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"got {value!r}")
    if "\0" in value:
        raise ValueError("it has a NUL character, which PostgreSQL's text cannot hold")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"it is not valid Unicode at position {error.start}") from error
    return value


def _texts(value: Value) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"got {value!r}")
    return [_text(item) for item in value]


def _integer(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT4 <= value < _INT4:
        raise ValueError(f"got {value!r}")
    return value


def _number(value: Value) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"got {value!r}")
    return value


def _date(value: Value) -> str:
    return date.fromisoformat(_text(value)).isoformat()


def _timestamp(value: Value) -> Value:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(f"it has no offset from UTC: {value!r}")
    text = moment.isoformat()
    return value if text == value else text


_CONVERTERS: dict[ColumnType, Callable[[Value], Value]] = {
    "text": _text,
    "text[]": lambda value: list(_texts(value)),
    "integer": _integer,
    "numeric": _number,
    "double precision": _number,
    "date": _date,
    "timestamp with time zone": _timestamp,
}
