"""Events about a place that is not known yet, on real Kafka and Postgres."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from connectors.kafka.reading import read_topics
from connectors.sinks.errors import SinkError
from schemas.events import PlaceVisited
from streams.demo.database import create_tables

pytestmark = pytest.mark.integration


def visit(number: int, place_id: str) -> PlaceVisited:
    return PlaceVisited(
        event_id=f"v{number}", user_id=f"u{number}", occurred_at=datetime.now(UTC), place_id=place_id, rating=4
    )


def visited(pipeline: Any) -> set[str]:
    """Return the ids of the places that somebody has visited, as the graph tells."""
    try:
        with pipeline.readers().graph() as reader:
            return {row["end_id"] for row in reader.query("SELECT end_id FROM relations WHERE type = 'VISITED'")}
    except SinkError:
        return set()  # not made yet


def put_aside(pipeline: Any) -> int:
    """Return how many events were put aside so far."""
    return len(read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.waiting_events.name]))


def insert(pipeline: Any, place_id: str) -> None:
    with psycopg.connect(pipeline.options.source.dsn.get_secret_value()) as connection:
        connection.execute("INSERT INTO places (id, name, kind) VALUES (%s, 'Mill', 'attraction')", (place_id,))


@pytest.fixture
def started(pipeline: Any) -> Any:
    create_tables(pipeline.options.source.dsn.get_secret_value())
    for role in ("cdc", "ingest", "deliver"):
        pipeline.start(role)
    return pipeline


@pytest.mark.parametrize("pipeline", [{"enrich.place_wait_seconds": 3_600}], indirect=True)
def test_an_event_goes_on_when_its_place_arrives_and_all_adds_up_while_another_waits(started: Any) -> None:
    started.publish([visit(1, "late"), visit(2, "never")])
    started.wait_for(lambda: put_aside(started) == 2, "both wait")
    insert(started, "late")
    started.wait_for(lambda: visited(started) == {"late"}, "the first goes on")
    started.settle()
    verdict = started.verdict()
    assert verdict.report.adds_up, verdict.report
    assert verdict.report.waiting == 1
    assert sum(store.waiting for store in verdict.report.stores) > 0


@pytest.mark.parametrize("pipeline", [{"enrich.place_wait_seconds": 1}], indirect=True)
def test_an_event_goes_on_without_its_place_when_that_never_comes(started: Any) -> None:
    started.publish([visit(1, "never")])
    started.wait_for(lambda: visited(started) == {"never"}, "it goes on without")
    started.settle()
    verdict = started.verdict()
    assert verdict.report.adds_up, verdict.report
    assert verdict.report.waiting == 0
