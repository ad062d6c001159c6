"""A saga of three stores, and its writes."""

import pytest

from schemas.writes import Write, decode_write
from streams.sagas.definition import Definition, Patience, Step
from tests.unit.sagas.saga_run import Tell
from tests.unit.sagas.saga_stores import receipt_of

COMMON = b'"entity":"booking:7","version":500,"source":"events","event_id":"e7","occurred_at":"2026-11-21T00:00:00Z"'


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
    return receipt_of
