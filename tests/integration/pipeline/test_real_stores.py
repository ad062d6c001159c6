"""The whole pipeline with every store on its real server, chosen by the variables that `travelos local up` prints."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.neo4j import Neo4jServer
from schemas.events import Event, GpsUpdate, MessageSent, PhotoTaken, PreferenceStated, TripStarted
from schemas.writes import STORES
from streams.cli import local, sinks
from streams.settings import load

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

START = datetime.now(UTC) - timedelta(hours=2)
REAL = ["graph", "search", "timeseries", "objects", "cache"]


@pytest.fixture(scope="module")
def neo4j(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    server = Neo4jServer(tmp_path_factory.mktemp("neo4j"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture(scope="module")
def elasticsearch(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ElasticsearchServer]:
    server = ElasticsearchServer(tmp_path_factory.mktemp("elasticsearch"))
    start_server(server)
    yield server
    server.delete()


@pytest.fixture
def environ(
    pipeline: Any,
    neo4j: Neo4jServer,
    elasticsearch: ElasticsearchServer,
    influx_server: Any,
    redis_server: Any,
    s3_server: Any,
) -> dict[str, str]:
    """The variables of the pipeline and of all servers."""
    given = dict(pipeline.environment)
    for server in (neo4j, elasticsearch, influx_server, redis_server, s3_server):
        given |= local.variables(server.name, server)
    return {name: value for name, value in given.items() if name.startswith("TRAVELOS_")}


def picture(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), (number % 256, 100, 200)).save(file, "PNG")
    return file.getvalue()


def events(count: int) -> list[Event]:
    made: list[Event] = []
    for number in range(count):
        stamp: dict[str, Any] = {
            "event_id": f"e{number}",
            "user_id": f"u{number % 20}",
            "occurred_at": START + timedelta(seconds=number),
        }
        match number % 5:
            case 0:
                made.append(TripStarted(**stamp, trip_id=f"t{number}"))
            case 1:
                made.append(PreferenceStated(**stamp, category="cuisine", value=f"c{number % 7}", strength=0.5))
            case 2:
                made.append(MessageSent(**stamp, conversation_id="c", role="user", text=f"message {number}"))
            case 3:
                made.append(PhotoTaken(**stamp, photo_id=f"p{number}", content_type="image/png", data=picture(number)))
            case _:
                made.append(GpsUpdate(**stamp, lat=40.7, lon=-74 + number / 1e5))
    return made


def test_every_store_on_its_real_server_holds_what_went_in_also_after_the_worker_was_killed(
    pipeline: Any, environ: dict[str, str], tmp_path: Path
) -> None:
    options = load(environ=environ).options
    assert sorted(store for store in STORES if options.stores.of(store).kind != "embedded") == sorted(REAL)
    checked = CliRunner().invoke(sinks.app, ["check", "--json"], env=environ)
    assert checked.exit_code == 0, checked.output
    verdict = type(pipeline)(options, environ).through_a_kill(events(3_000))
    found = {one.store: (one.expected, one.found, one.problems[:3]) for one in verdict.report.stores if one.problems}
    assert (found, verdict.report.problems) == ({}, [])
    assert {report.store: report.found for report in verdict.report.stores}["graph"] > 0
