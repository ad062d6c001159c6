"""Relations between similar places, from a row of Postgres to the graph, beside a comparison of all stored vectors."""

import urllib.request
from typing import Any

import numpy as np
import psycopg
import pytest

from connectors.sinks.errors import SinkError
from connectors.sinks.reader import QueryRefused
from deploy.local.ports import free_port
from streams.demo.database import create_tables
from streams.embed_metrics import VECTORS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COUNT = 5
KINDS = ("museum", "park", "bridge", "church", "market", "mill", "library", "theatre")
NAMES = ("Old", "Royal", "Green", "Silver", "Northern", "Botanic")


def related(pipeline: Any) -> dict[str, list[str]]:
    """Return what the graph says of each place, nearest first."""
    with pipeline.readers().graph() as reader:
        rows = reader.query(
            "SELECT start_id, end_id FROM relations WHERE type = 'SIMILAR_TO' "
            "ORDER BY start_id, properties ->> '$.rank'"
        )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["start_id"], []).append(row["end_id"])
    return found


def brute_force(pipeline: Any) -> dict[str, list[str]]:
    """Return the nearest of each place among all that the vector store holds."""
    with pipeline.readers().vector() as reader:
        rows = reader.query(
            "SELECT d.metadata ->> '$.place_id' AS id, v.embedding AS vector FROM documents AS d "
            "JOIN vectors_places AS v ON v.rowid = d.id WHERE d.entity LIKE 'place:%'"
        )
    vectors = {row["id"]: np.frombuffer(row["vector"], "<f4") for row in rows}
    return {
        name: sorted((one for one in vectors if one != name), key=lambda one: (-float(row @ vectors[one]), one))[:COUNT]
        for name, row in vectors.items()
    }


def agree(pipeline: Any, count: int, name: str = "") -> bool:
    """Return whether so many places are stored, one of that name among them, and all are related to their nearest."""
    try:
        with pipeline.readers().vector() as reader:
            found = reader.query("SELECT count(*) AS n FROM documents WHERE text LIKE ?", (f"{name}%",))
        expected = brute_force(pipeline)
        return found[0]["n"] > 0 and len(expected) == count and related(pipeline) == expected
    except (SinkError, QueryRefused):
        return False  # not made yet


def texts_from(port: int, where: str) -> float:
    """Return how many vectors of texts a worker has got from somewhere."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    (line,) = [
        line for line in page.splitlines() if line.startswith(f'{VECTORS.full_name}{{content="text",from="{where}"')
    ]
    return float(line.split()[-1])


def execute(pipeline: Any, statement: str, *parameters: Any) -> None:
    with psycopg.connect(pipeline.options.source.dsn.get_secret_value()) as connection:
        connection.execute(statement, parameters)  # pyright: ignore[reportArgumentType, reportCallIssue] - a str


def test_each_place_is_related_to_its_nearest_through_changes_deletes_and_new_workers(
    pipeline: Any, request: pytest.FixtureRequest
) -> None:
    create_tables(pipeline.options.source.dsn.get_secret_value())
    names = [f"{name} {kind}" for name in NAMES for kind in KINDS]
    for number, name in enumerate(names):
        execute(
            pipeline, "INSERT INTO places (id, name, kind) VALUES (%s, %s, %s)", f"p{number:02}", name, name.split()[1]
        )
    for role in ("cdc", "deliver"):
        pipeline.start(role)
    worker = pipeline.start("ingest")
    pipeline.wait_for(lambda: agree(pipeline, len(names)), "the first ones are related")
    execute(pipeline, "UPDATE places SET name = 'Golden harbour', kind = 'harbour' WHERE id = 'p00'")
    pipeline.wait_for(lambda: agree(pipeline, len(names), "Golden harbour"), "a change is followed")
    execute(pipeline, "DELETE FROM places WHERE id IN ('p01', 'p02', 'p17')")
    pipeline.wait_for(lambda: agree(pipeline, len(names) - 3), "deletes are followed")
    port = free_port()
    second = type(pipeline)(pipeline.options, {**pipeline.environment, "TRAVELOS_WORKER_PORT": str(port)})
    request.addfinalizer(second.stop)
    second.start("ingest", "second")
    worker.stop()
    execute(pipeline, "INSERT INTO places (id, name, kind) VALUES ('p01', 'Golden quay', 'harbour')")
    pipeline.wait_for(
        lambda: agree(pipeline, len(names) - 2, "Golden quay"), "a place that comes back is related by another worker"
    )
    execute(pipeline, "UPDATE places SET phone = '1' WHERE id IN ('p00', 'p03')")
    pipeline.wait_for(lambda: texts_from(port, "kept") == 2, "rows whose texts did not change have their vectors")
    assert texts_from(port, "model") == 1  # that of the place that came back
