"""Sensitive columns of rows, by declaration: whose they are, and rows with them sealed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import structs

from connectors.keys.sealing import Keys, sealed_value
from schemas.changes import Row, is_unavailable
from streams.routing.changes import PLACES, TRAVELLERS, RowChange
from streams.routing.listings import profile

OWNER = "user_id"  # the column that says whose a row is, unless the declaration names another


class SensitiveColumns:
    """Which columns are sealed.

    Args:
        declared: expressions of whole names "schema.table.column", without regard to case, each with "=COLUMN" when
            another column than `user_id` says whose the row is. Rows of travellers are of the traveller. Columns of
            places are never sealed: places are nobody's.
    """

    def __init__(self, declared: Sequence[str]) -> None:
        parts = (one.rpartition("=") if "=" in one else (one, "", OWNER) for one in declared)
        self._declared = [(re.compile(expression, re.IGNORECASE), owner) for expression, _, owner in parts]
        self._owner_of = lru_cache(maxsize=10_000)(self._look)

    def users(self, changes: Iterable[RowChange]) -> list[str]:
        """Return the users whose keys are needed for rows."""
        return list(dict.fromkeys(owner for one in changes for row in _rows(one) for _, owner in self._found(one, row)))

    def sealed(self, change: RowChange, keys: Keys) -> RowChange:
        """Return a change with the sensitive columns of its rows sealed; values that are no text, as JSON.

        A row that names nobody is sealed with a key of its own, of the user "schema.table:id".
        """
        before, after = (None if row is None else self._row(change, row, keys) for row in _both(change))
        if (before, after) == _both(change):
            return change
        known = change.profile and profile(change.table, after or {}, change.cause["version"])
        return structs.replace(change, change=structs.replace(change.change, before=before, after=after), profile=known)

    def _row(self, change: RowChange, row: Row, keys: Keys) -> Row:
        event_id = change.cause["event_id"]
        found = {
            column: sealed_value(keys[owner], column, _text(row[column]), event_id)
            for column, owner in self._found(change, row)
        }
        return row | found

    def _found(self, change: RowChange, row: Row) -> Iterator[tuple[str, str]]:
        if change.table in PLACES:
            return
        for column, value in row.items():
            owner = self._owner_of(change.table, column)
            if owner is None or value is None or is_unavailable(value):
                continue
            yield column, change.row_id if change.table in TRAVELLERS else _user(change, row.get(owner))

    def _look(self, table: str, column: str) -> str | None:
        name = f"{table}.{column}"
        return next((owner for expression, owner in self._declared if expression.fullmatch(name)), None)


def _both(change: RowChange) -> tuple[Row | None, Row | None]:
    return change.change.before, change.change.after


def _rows(change: RowChange) -> Iterator[Row]:
    yield from (row for row in _both(change) if row is not None)


def _user(change: RowChange, value: Any) -> str:
    return f"{change.table}:{change.row_id}" if value is None else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
