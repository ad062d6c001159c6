# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Relations between similar places in a real Neo4j, beside a comparison of each place with all others."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import neo4j
import numpy as np
import pytest

from connectors.sinks.conformance.subject import deliver
from connectors.sinks.contract import Applied, Superseded
from connectors.sinks.neo4j import Neo4jOptions, Neo4jSink
from deploy.local.neo4j import Neo4jServer
from schemas.reference import PlaceVector
from schemas.writes import GraphWrite, NodeRef
from streams.enrichment.similar import Similar, SimilarPlaces
from streams.routing.entities import Cause
from streams.routing.similar import similar

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 5
AT = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def server(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    server = start_server(Neo4jServer(tmp_path_factory.mktemp("neo4j")))
    yield server
    server.delete()


def place(name: str, version: int, op: Literal["upsert", "delete"] = "upsert") -> GraphWrite:
    given: dict[str, Any] = {"version": version, "source": "cdc", "event_id": "e", "occurred_at": AT, "op": op}
    return GraphWrite(entity=f"place:{name}", node=NodeRef("Place", name), **given)


def brute_force(places: dict[str, PlaceVector]) -> dict[str, list[str]]:
    rows = {name: np.frombuffer(one.values, "<f4") for name, one in places.items()}
    return {
        name: sorted((other for other in rows if other != name), key=lambda other: (-float(row @ rows[other]), other))[
            :COUNT
        ]
        for name, row in rows.items()
    }


def related(driver: neo4j.Driver) -> dict[str, list[str]]:
    statement = "MATCH (a:Place)-[r:SIMILAR_TO]->(b:Place) RETURN a.id AS start, b.id AS end ORDER BY a.id, r.rank"
    with driver.session(database="neo4j") as session:
        rows = session.run(statement).data()
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["start"], []).append(row["end"])
    return found


def test_relations_in_neo4j_move_with_the_nearest_and_go_with_the_place(server: Neo4jServer) -> None:
    rng, directions = random.Random(3), np.random.default_rng(3)
    sink = Neo4jSink(Neo4jOptions(url=server.address, password=server.password))
    index, places, published = SimilarPlaces(COUNT), dict[str, PlaceVector](), dict[str, list[Similar]]()
    sink.open()
    try:
        with neo4j.GraphDatabase.driver(server.address, auth=("neo4j", server.password)) as driver:
            for version in range(1, 9):
                changed = {f"p{rng.randrange(25)}" for _ in range(10)}
                gone = set(rng.sample(sorted(places.keys() - changed), 2)) if len(places) > 12 else set[str]()
                for name in changed:
                    row = directions.normal(size=8).astype("<f4")
                    places[name] = PlaceVector(lsn=version, model="m", values=(row / np.linalg.norm(row)).tobytes())
                found = index.settle({name: places[name] for name in changed} | dict.fromkeys(gone))
                cause = Cause(version=version, source="similar-places", event_id="e", occurred_at=AT)
                writes = [place(name, version) for name in sorted(changed)]
                for name in gone:
                    del places[name]
                    writes += [*similar(cause, name, [], published.pop(name), COUNT), place(name, version, "delete")]
                for name, near in found.items():
                    writes += similar(cause, name, near, published.get(name), COUNT)
                published |= found
                assert all(isinstance(one, Applied | Superseded) for one in deliver(sink, writes))
                assert related(driver) == brute_force(places)
    finally:
        sink.close()
