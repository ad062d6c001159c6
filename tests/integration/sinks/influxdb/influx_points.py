"""Writes of the time-series store."""

from datetime import UTC, datetime
from typing import Any

from schemas.writes import TimeSeriesWrite

TIME = 1_777_000_000_123_456_789
SOURCE = "gps-events"


def point(number: int, version: int = 1, **given: Any) -> TimeSeriesWrite:
    fields: dict[str, Any] = {
        "entity": f"gps:u1:{TIME + number}",
        "version": version,
        "source": SOURCE,
        "event_id": "e",
        "occurred_at": datetime(2026, 5, 1, tzinfo=UTC),
        "measurement": "gps",
        "tags": {"user_id": "u1"},
        "time_ns": TIME + number,
        "fields": {"lat": float(number)},
    }
    return TimeSeriesWrite(**{**fields, **given})
