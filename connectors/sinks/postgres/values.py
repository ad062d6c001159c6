"""Whether a write fits its table, said before the database is asked, so that the reason names the column."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import cast

import msgspec

from connectors.sinks.postgres.merge import Value
from connectors.sinks.postgres.tables import TABLES, ColumnType
from schemas.writes import RelationalWrite

_INT4 = 2**31
_INT8 = 2**63
_TIMESTAMPS = re.compile(
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?[+-][0-9]{2}:[0-9]{2}\n)*"
)
_moment = datetime.fromisoformat


class Unfit(ValueError):  # noqa: N818 - says what the write is
    """A write that its table cannot hold; the message names the column."""


def all_checked(writes: Sequence[RelationalWrite]) -> list[RelationalWrite | Unfit]:
    """Return each write as `checked` does, or what is wrong with it.

    Writes of the same table and columns are looked at together, column by column; only where something in a column has
    to be changed or said, one by one.
    """
    found: list[RelationalWrite | Unfit] = list(writes)
    shapes: defaultdict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
    for index, write in enumerate(writes):
        shapes[write.table, tuple(write.columns)].append(index)
    for (table, names), places in shapes.items():
        if _all_fit(table, names, [writes[place] for place in places]):
            continue
        for place in places:
            try:
                found[place] = checked(writes[place])
            except Unfit as error:
                found[place] = error
    return found


def storable(texts: Collection[str]) -> Collection[str]:
    """Return those texts that a column can hold."""
    return texts if _are_texts(texts) else [text for text in texts if _are_texts([text])]


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


def _all_fit(table: str, names: Sequence[str], writes: Sequence[RelationalWrite]) -> bool:
    """Whether all writes fit as they are. May say no of some that do; these are looked at by themselves."""
    kinds = TABLES.get(table)
    if kinds is None or not kinds.keys() >= set(names):
        return False
    versions = [write.version for write in writes]
    if min(versions) < 0 or max(versions) >= _INT8:
        return False
    for name in ("entity", "source", "key"):
        texts = list(map(attrgetter(name), writes))
        if not (all(texts) and _are_texts(texts)):
            return False
    columns = zip(*[write.columns.values() for write in writes], strict=True)
    return all(_column_fits(kinds[name], column) for name, column in zip(names, columns, strict=True))


def _column_fits(kind: ColumnType, column: Sequence[Value]) -> bool:
    values = [value for value in column if value is not None] if None in column else column
    if kind == "text":
        return set(map(type, values)) <= {str} and _are_texts(cast("Sequence[str]", values))
    convert = _CONVERTERS[kind]
    try:
        if kind == "timestamp with time zone":
            # In the form that PostgreSQL reads as well; `fromisoformat` sees to the numbers.
            texts = cast("Sequence[str]", values)
            return _TIMESTAMPS.fullmatch("\n".join([*texts, ""])) is not None and all(map(_moment, texts))
        return [convert(value) for value in values] == list(values)
    except (TypeError, ValueError):  # not even a text
        return False


def _are_texts(texts: Iterable[str]) -> bool:
    joined = "".join(texts)
    if "\0" in joined:
        return False
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return True


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
