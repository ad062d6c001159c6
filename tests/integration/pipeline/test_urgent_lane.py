"""An urgent event overtakes whatever lies before it."""

import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sinks.errors import Unavailable
from schemas.events import GpsUpdate, UrgentRequest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

PUBLISHED = 200_000
BACKLOG = 100_000
CALLS = 5


def test_an_urgent_event_is_served_in_under_a_second_before_a_backlog_of_100_000(pipeline: Any) -> None:
    start = datetime.now(UTC) - timedelta(hours=20)
    with pipeline.producer() as producer:
        for number in range(PUBLISHED):
            at = start + timedelta(milliseconds=500 * number)
            producer.publish(
                GpsUpdate(
                    event_id=f"g{number}", user_id=f"u{number % 500}", occurred_at=at, lat=40.7, lon=-74 + number / 1e6
                )
            )
    pipeline.start("deliver")
    pipeline.start("ingest")
    pipeline.wait_for(lambda: _delivered(pipeline), "both roles are busy with the backlog")

    waited: list[float] = []
    with pipeline.producer() as producer, pipeline.readers().cache() as cache:
        for call in range(CALLS):
            user = f"lost-{call}"
            sent = time.monotonic()
            producer.publish(
                UrgentRequest(
                    event_id=f"urgent-{call}", user_id=user, occurred_at=datetime.now(UTC), category="lost", text="help"
                )
            )
            producer.flush()
            while cache.get(f"urgent:{user}") is None:
                assert time.monotonic() - sent < 60, "the call was never served"
                time.sleep(0.005)
            waited.append(time.monotonic() - sent)
    backlog = pipeline.lag("ingest")
    print(f"served after {[round(one, 3) for one in waited]} s, {backlog:,} events still waiting")
    assert backlog > BACKLOG, "the backlog was gone too early for this to mean anything"
    assert statistics.median(waited) < 1.0
    pipeline.settle()
    verdict = pipeline.verdict()
    assert verdict.report.adds_up, verdict.report


def _delivered(pipeline: Any) -> bool:
    """Whether the first of the backlog have arrived in the store that calls go to as well."""
    try:
        with pipeline.readers().cache() as cache:
            return bool(cache.starting_with("", limit=1))
    except Unavailable:
        return False
