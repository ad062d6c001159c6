"""A saga of three stores, and its writes."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from schemas.receipts import Receipt, Result
from schemas.writes import Write, decode_write, store_of
from streams.sagas.definition import Definition, Patience, Step

COMMON = b'"entity":"booking:7","version":500,"source":"events","event_id":"e7","occurred_at":"2026-11-21T00:00:00Z"'

Tell = Callable[..., Receipt]


@pytest.fixture
def booking() -> Definition:
    """Return two steps side by side, one after both of which there is no way back, and one that then has to be done."""
    quick = Patience(first_ms=1_000, longest_ms=4_000, attempts=3)
    return Definition(
        name="booking_made",
        steps=(
            Step(name="graph", store="graph", patience=quick),
            Step(name="search", store="search", patience=quick),
            Step(name="booking", store="relational", kind="pivot", patience=quick),
            Step(name="cache", store="cache", kind="retriable", patience=quick),
        ),
        deadline_ms=60_000,
        undo=quick,
    )


@pytest.fixture
def writes() -> dict[str, Write]:
    """Return the writes of one booking, by step."""
    return {
        "graph": decode_write(b'{"store":"graph",%b,"node":{"label":"Booking","id":"7"}}' % COMMON),
        "search": decode_write(b'{"store":"search",%b,"name":"A table for two"}' % COMMON),
        "booking": decode_write(b'{"store":"relational",%b,"table":"bookings","key":"7"}' % COMMON),
        "cache": decode_write(b'{"store":"cache",%b,"key":"booking:7","value":"made"}' % COMMON),
    }


@pytest.fixture
def receipt() -> Tell:
    """Return what makes the receipt of a write."""

    def tell(write: Write, result: Result = "applied", undo: Write | None = None, reason: str | None = None) -> Receipt:
        return Receipt(
            store=store_of(write),
            entity=write.entity,
            version=write.version,
            source=write.source,
            event_id=write.event_id,
            result=result,
            at=datetime(2026, 11, 21, tzinfo=UTC),
            undo=undo,
            reason=reason,
        )

    return tell
