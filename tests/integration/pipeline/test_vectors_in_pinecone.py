"""The pipeline with its vectors in the stand-in for Pinecone, which is eventually consistent and fails now and then."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.pinecone import Fault, PineconeStandIn
from schemas.events import Event, MessageSent, PreferenceStated
from streams.cli import sinks
from streams.settings import load

pytestmark = [pytest.mark.integration, pytest.mark.slow]

START = datetime.now(UTC) - timedelta(hours=2)


@pytest.fixture
def service() -> Iterator[PineconeStandIn]:
    service = PineconeStandIn(lags=(0.0, 0.05))
    service.start()
    yield service
    service.stop()


def events(count: int) -> list[Event]:
    """Return messages, and preferences that are stated again and again."""
    made: list[Event] = []
    for number in range(count):
        stamp: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": f"u{number % 20}",
            "occurred_at": START + timedelta(seconds=number),
        }
        if number % 2:
            made.append(PreferenceStated(**stamp, category="cuisine", value=f"c{number % 7}", strength=0.5))
        else:
            made.append(MessageSent(**stamp, conversation_id="c", role="user", text=f"message {number}"))
    return made


def test_vectors_are_in_pinecone_once_after_faults_and_a_killed_worker(pipeline: Any, service: PineconeStandIn) -> None:
    environ = {
        **pipeline.environment,
        "TRAVELOS_STORES_VECTOR_KIND": "pinecone",
        "TRAVELOS_STORES_VECTOR_URL": service.url,
        "TRAVELOS_STORES_VECTOR_API_KEY": service.api_key,
        "TRAVELOS_DELIVER_BREAKER_SECONDS": "1",
    }
    checked = CliRunner().invoke(sinks.app, ["check", "--json"], env=environ)
    assert checked.exit_code == 0, checked.output
    assert service.api_key not in checked.output
    running = type(pipeline)(load(environ=environ).options, environ)
    rng = random.Random(1)

    def fail() -> None:
        for status in (429, 503, 500, 0):
            path = rng.choice(("vectors/upsert", "vectors/fetch"))
            service.fail(Fault(path=path, status=status, times=6, applied=bool(status % 2)))

    verdict = running.through_a_kill(events(2_000), meanwhile=fail)
    found = {one.store: (one.expected, one.found, one.problems[:3]) for one in verdict.report.stores if one.problems}
    assert (found, verdict.report.problems) == ({}, [])
    assert {report.store: report.found for report in verdict.report.stores}["vector"] > 1_000
