"""A table as whoever reads its topic knows it: by key, the change with the highest LSN. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.cdc import UNAVAILABLE

Row = dict[str, Any]


class RebuiltTable:
    """Built from records in the order of their partition.

    Attributes:
        rows: what there is now, by key.
        records: how many were taken, tombstones left out.
        repeated: how many of them had come before.
        contradictions: keys and LSNs of changes that came twice and were not the same.
    """

    def __init__(self) -> None:
        self.records = self.repeated = 0
        self.contradictions: list[str] = []
        self._rows: dict[bytes, Row | None] = {}
        self._applied: dict[bytes, int] = {}
        self._seen: dict[tuple[bytes, int], Mapping[str, Any]] = {}

    @property
    def rows(self) -> dict[bytes, Row]:
        """What there is now, by key."""
        return {key: row for key, row in self._rows.items() if row is not None}

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take one record, as a sink would: what is older than what is known is left out."""
        if value is None:
            return
        self.records += 1
        event = msgspec.json.decode(value)
        lsn: int = event["source"]["lsn"]
        before = self._seen.setdefault((key, lsn), event)
        if before is not event:
            self.repeated += 1
            if not _agree(before, event):
                self.contradictions.append(f"{key.decode()} at LSN {lsn}")
        if lsn > self._applied.get(key, -1):
            self._applied[key] = lsn
            self._rows[key] = _filled(event["after"], self._rows.get(key))


def _filled(row: Row | None, known: Row | None) -> Row | None:
    """Return a row with what is known already where an update left a large value alone."""
    if row is None or not any(map(_is_unavailable, row.values())):
        return row
    return {name: (known or {}).get(name) if _is_unavailable(value) else value for name, value in row.items()}


def _is_unavailable(value: Any) -> bool:
    return value in (UNAVAILABLE, [UNAVAILABLE])  # the second is that of an array


def _agree(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two events of one change say the same; a large value may be filled in one of them only."""
    mine: Row | None = first["after"]
    other: Row | None = second["after"]
    if first["op"] != second["op"] or mine is None or other is None:
        return first["op"] == second["op"] and mine is other
    return mine.keys() == other.keys() and all(
        value == other[name] or _is_unavailable(value) or _is_unavailable(other[name]) for name, value in mine.items()
    )
