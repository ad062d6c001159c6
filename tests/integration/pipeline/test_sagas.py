"""Facts of several stores on real Kafka and embedded stores: in all of them, or in none."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sinks.errors import Unavailable
from schemas.events import BookingMade
from tests.integration.pipeline.told import log_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NOW = datetime.now(UTC)
WITH_SAGAS = pytest.mark.parametrize("pipeline", [{"sagas.enabled": True}], indirect=True)


def booking(number: int, **changed: Any) -> BookingMade:
    given: dict[str, Any] = {
        "event_id": f"made-{number}",
        "user_id": f"u{number % 7}",
        "occurred_at": NOW,
        "booking_id": f"b{number}",
        "place_id": "r1",
        "starts_at": NOW,
        "guests": 2,
    }
    return BookingMade(**given | changed)


def statuses(pipeline: Any) -> dict[str, str]:
    return {entry.subject: entry.status for entry in log_of(pipeline).values()}


def booked(pipeline: Any) -> set[str]:
    """Return the bookings that the graph holds."""
    try:
        with pipeline.readers().graph() as reader:
            return {row["entity"] for row in reader.query("SELECT entity FROM relations WHERE type = 'BOOKED'")}
    except Unavailable:
        return set()


@WITH_SAGAS
def test_a_booking_is_in_all_of_its_stores_when_its_saga_is_completed(pipeline: Any) -> None:
    for role in ("ingest", "sagas", "deliver"):
        pipeline.start(role, role)
    pipeline.publish([booking(number, place_id="r1") for number in range(20)])
    pipeline.wait_for(lambda: len(statuses(pipeline)) == 20, "all have begun")
    pipeline.wait_for(lambda: set(statuses(pipeline).values()) == {"completed"}, "all are completed")
    assert len(booked(pipeline)) == 20
