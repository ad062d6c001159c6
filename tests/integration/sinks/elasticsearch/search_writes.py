"""Writes of the search store."""

from datetime import UTC, datetime
from typing import Any

from schemas.writes import SearchWrite

SOURCE = "cdc.travel"


def write(entity: str, version: int = 1, name: str = "", **fields: Any) -> SearchWrite:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    given: dict[str, Any] = {"source": SOURCE, "kind": "restaurant", **fields}
    return SearchWrite(entity=entity, version=version, event_id="e", occurred_at=at, name=name, **given)
