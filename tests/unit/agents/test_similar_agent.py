"""Relations between similar places in the embedded graph, beside a comparison of each place with all others."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from connectors.sinks.contract import Applied, Superseded
from connectors.sinks.sqlite.graph import GraphReader, GraphSink
from schemas.clock import HybridClock
from schemas.reference import PlaceVector
from schemas.writes import GraphWrite, NodeRef
from streams.agents.similar import LONGEST_WAIT, SimilarityRoom
from streams.runtime.publisher import TryAgain

COUNT = 5
PARTITIONS = 4
ALL = range(PARTITIONS)


def partition_of(key: bytes) -> int:
    return key[-1] % PARTITIONS


def room(stage: Any, clock: HybridClock | None = None) -> SimilarityRoom:
    return SimilarityRoom(stage.ingest(), COUNT, partition_of, clock or HybridClock())


def vectors(count: int, seed: int = 1) -> list[bytes]:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype("<f4")
    return [row.tobytes() for row in rows / np.linalg.norm(rows, axis=1, keepdims=True)]


def said(name: str, values: bytes | None, lsn: int = 1) -> dict[str, PlaceVector | None]:
    return {name: None if values is None else PlaceVector(lsn=lsn, model="one", values=values)}


def said_of(places: Mapping[str, bytes]) -> dict[str, PlaceVector | None]:
    return {name: PlaceVector(lsn=1, model="one", values=values) for name, values in places.items()}


def numbered(rows: Sequence[bytes]) -> dict[str, PlaceVector | None]:
    return said_of({f"p{number}": values for number, values in enumerate(rows)})


async def settle(one: SimilarityRoom, partitions: Any = ALL) -> None:
    await one.publish(partitions)  # something arrived since the last time
    await one.publish(partitions)


def brute_force(places: dict[str, bytes]) -> dict[str, list[str]]:
    rows = {name: np.frombuffer(values, "<f4") for name, values in places.items()}
    return {
        name: sorted((other for other in rows if other != name), key=lambda other: (-float(row @ rows[other]), other))[
            :COUNT
        ]
        for name, row in rows.items()
    }


def away(_: object) -> Exception:
    return TryAgain("away")


class Graph:
    """The embedded graph, which takes what was published since the last time."""

    def __init__(self, path: Path, stage: Any) -> None:
        self._sink = GraphSink(path)
        self._path = path
        self._stage = stage
        self._taken = 0

    def take(self, *before: GraphWrite) -> None:
        writes = self._stage.writes("graph")
        self._sink.open()
        outcomes = self._sink.write([*before, *writes[self._taken :]])
        self._sink.close()
        self._taken = len(writes)
        assert all(isinstance(one, Applied | Superseded) for one in outcomes)

    def relations(self) -> dict[str, list[str]]:
        with GraphReader(self._path) as reader:
            rows = reader.query(
                "SELECT start_id, end_id FROM relations WHERE type = 'SIMILAR_TO' "
                "ORDER BY start_id, properties ->> '$.rank'"
            )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["start_id"], []).append(row["end_id"])
        return found


def node(name: str, lsn: int, op: Literal["upsert", "delete"] = "upsert") -> GraphWrite:
    return GraphWrite(
        entity=f"place:{name}",
        version=lsn,
        source="cdc",
        event_id="e",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        op=op,
        node=NodeRef("Place", name),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_the_graph_has_the_nearest_of_each_place_after_every_change(
    stage: Any, tmp_path: Path, seed: int
) -> None:
    rng, graph, one = random.Random(seed), Graph(tmp_path / "graph.db", stage), room(stage)
    places: dict[str, bytes] = {}
    fresh = iter(vectors(400, seed))
    for lsn in range(1, 15):
        changed = {f"p{rng.randrange(30)}" for _ in range(rng.randrange(1, 12))}
        for name in sorted(changed):
            places[name] = next(fresh)
            one.apply(said(name, places[name], lsn))
        deleted = rng.sample(sorted(places.keys() - changed), rng.randrange(0, 3)) if len(places) > 15 else []
        for name in deleted:
            del places[name]
            one.apply(said(name, None))
        await settle(one)
        graph.take(*[node(name, lsn) for name in changed], *[node(name, lsn, "delete") for name in deleted])
        assert graph.relations() == {name: near for name, near in brute_force(places).items() if near}


async def test_what_did_not_change_is_not_written_again(stage: Any) -> None:
    one = room(stage)
    known = vectors(50)
    one.apply(numbered(known))
    await settle(one)
    assert len(stage.writes("graph")) == 50 * COUNT
    await settle(one)
    one.apply(said("p7", known[7], lsn=1))
    await settle(one)
    assert len(stage.writes("graph")) == 50 * COUNT


async def test_each_of_several_workers_writes_the_relations_of_its_own_places(stage: Any, tmp_path: Path) -> None:
    clock = HybridClock()
    workers = {frozenset({0, 1}): room(stage, clock), frozenset({2, 3}): room(stage, clock)}
    places = {f"p{number}": values for number, values in enumerate(vectors(40))}
    for partitions, one in workers.items():
        one.apply(said_of(places))
        await settle(one, partitions)
    assert len(stage.writes("graph")) == 40 * COUNT
    graph = Graph(tmp_path / "graph.db", stage)
    graph.take()
    assert graph.relations() == brute_force(places)


async def test_a_worker_that_takes_over_writes_the_relations_again_and_newer(stage: Any) -> None:
    clock = HybridClock()
    first, second = room(stage, clock), room(stage, clock)
    known = numbered(vectors(20))
    for one in (first, second):
        one.apply(known)
    await settle(first, {0, 1, 2, 3})
    before = {write.entity: write.version for write in stage.writes("graph")}
    await settle(second, set())  # while partitions change hands
    assert len(stage.writes("graph")) == len(before) == 20 * COUNT
    await settle(second, {0})
    again = stage.writes("graph")[len(before) :]
    assert {partition_of(write.start.id.encode()) for write in again} == {0}
    assert all(write.version > before[write.entity] for write in again)
    await settle(first, {1, 2, 3})
    await settle(first, {0, 1, 2, 3})
    assert len(stage.writes("graph")) == len(before) + 2 * len(again)


async def test_what_kafka_does_not_take_is_published_the_next_time(stage: Any) -> None:
    one = room(stage)
    one.apply(numbered(vectors(10)))
    fine, stage.kafka.fails = stage.kafka.fails, away
    await settle(one)
    stage.kafka.fails = fine
    assert stage.writes("graph") == []
    await one.publish(ALL)
    assert len(stage.writes("graph")) == 10 * COUNT


async def test_vectors_are_waited_for_while_they_come_but_not_for_ever(stage: Any) -> None:
    one = room(stage)
    known = vectors(LONGEST_WAIT + 3)
    for number in range(LONGEST_WAIT):
        one.apply(said(f"p{number}", known[number]))
        await one.publish(ALL)
        assert stage.writes("graph") == []
    one.apply(said("last", known[-1]))
    await one.publish(ALL)
    assert stage.writes("graph") != []
