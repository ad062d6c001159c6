# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The graph sink on a real Neo4j."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import Any

import msgspec
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.conformance.subject import deliver
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Outcome, Rejected, Sink
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.neo4j import Neo4jOptions, Neo4jSink
from connectors.sinks.neo4j.statements import TOMBSTONE
from schemas.writes import GraphWrite, NodeRef
from streams.routing.examples import events
from streams.routing.table import route
from tests.integration.sinks.neo4j_graph import (
    ANNA,
    BEN,
    CLEO,
    PIZZA,
    SOURCE,
    SUSHI,
    Graph,
    common,
    no_node,
    node,
    relation,
)
from tests.integration.sinks.no_room import without_room
from tests.unit.verify.sweeping import found_and_repaired

pytestmark = pytest.mark.integration


@pytest.fixture
def sink(graph: Graph) -> Generator[Neo4jSink]:
    sink = Neo4jSink(graph.options())
    sink.open()
    yield sink
    sink.close()


class OnNeo4j(SinkConformance[GraphWrite]):
    graph: Graph

    @pytest.fixture
    def place(self, graph: Graph) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        self.graph = graph
        return "neo4j"

    def sink(self, place: str) -> Neo4jSink:
        return Neo4jSink(self.graph.options())

    def stranger(self, place: str) -> Neo4jSink:
        return Neo4jSink(msgspec.structs.replace(self.graph.options(), password="another"))


class TestNeo4jNodes(OnNeo4j):
    """Entities that are not named after their nodes."""

    def good(self, entity: str, version: int, source: str, content: int) -> GraphWrite:
        common = self.common(entity, version, source)
        return GraphWrite(**common, node=NodeRef("Place", entity), properties={"content": content, "name": "🍕"})

    def bad(self, entity: str, version: int, source: str) -> GraphWrite:
        return GraphWrite(**self.common(entity, version, source), properties={"content": 1})

    def content(self, place: str, entity: str) -> int | None:
        properties = self.graph.properties(NodeRef("Place", entity))
        return None if properties is None else properties["content"]


class TestNeo4jRelations(OnNeo4j):
    def good(self, entity: str, version: int, source: str, content: int) -> GraphWrite:
        ends: dict[str, Any] = {"start": NodeRef("User", "u1"), "end": NodeRef("Place", entity)}
        return GraphWrite(
            **self.common(entity, version, source), relation="VISITED", **ends, properties={"content": content}
        )

    def bad(self, entity: str, version: int, source: str) -> GraphWrite:
        return GraphWrite(**self.common(entity, version, source), relation="VISITED", start=NodeRef("User", "u1"))

    def content(self, place: str, entity: str) -> int | None:
        found = self.graph.query("MATCH ()-[r:VISITED]->(:Place {id: $id}) RETURN r.content AS content", id=entity)
        assert len(found) <= 1
        return found[0]["content"] if found else None


class OfPlaces(Neo4jSink):
    """Calls entities what nodes of their name are called."""

    def write(self, batch: Sequence[GraphWrite]) -> list[Outcome]:
        return super().write([named(write) for write in batch])

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        found = super().held([(f"place:{entity}", source) for entity, source in entities])
        return {(entity.removeprefix("place:"), source): held for (entity, source), held in found.items()}

    def before(self, writes: Sequence[GraphWrite]) -> list[GraphWrite | None]:
        found = super().before([named(write) for write in writes])
        return [one and msgspec.structs.replace(one, entity=one.entity.removeprefix("place:")) for one in found]

    def walk(self) -> Iterator[GraphWrite]:
        return (msgspec.structs.replace(one, entity=one.entity.removeprefix("place:")) for one in super().walk())


@contextmanager
def without_room_until_restarted(graph: Graph) -> Generator[None]:
    """A database that could not write its log takes nothing more until the server is started again."""
    try:
        with without_room(graph.server):
            yield
    finally:
        graph.restart()


def named(write: GraphWrite) -> GraphWrite:
    return msgspec.structs.replace(write, entity=f"place:{write.entity}")


class TestNeo4jNodesOfTheirOwnName(TestNeo4jNodes):
    """Nearly all nodes are those of entities that are named after them; the large statement deletes only these."""

    def full(self, place: str, sink: Sink[GraphWrite]) -> AbstractContextManager[object]:
        return without_room_until_restarted(self.graph)

    def sink(self, place: str) -> Neo4jSink:
        return OfPlaces(self.graph.options())


def test_a_relation_in_neo4j_makes_the_nodes_it_needs_and_their_own_writes_fill_them(
    sink: Neo4jSink, graph: Graph
) -> None:
    assert sink.write([relation("VISITED", ANNA, PIZZA, 5, rating=4, date="2026-05-01")]) == [APPLIED]
    assert graph.properties(PIZZA) == {}
    assert sink.write([node(PIZZA, 1, name="Joe's")]) == [APPLIED]
    assert graph.properties(PIZZA) == {"name": "Joe's"}
    assert sink.write([relation("VISITED", BEN, PIZZA, 6)]) == [APPLIED]
    assert graph.relations(PIZZA) == {("VISITED", "anna"), ("VISITED", "ben")}


def test_an_upsert_in_neo4j_replaces_all_properties(sink: Neo4jSink, graph: Graph) -> None:
    sink.write([node(PIZZA, 1, name="Joe's", score=0.5), relation("LIKES", ANNA, PIZZA, 1, strength=0.5, text="x")])
    sink.write([node(PIZZA, 2, area="Soho"), relation("LIKES", ANNA, PIZZA, 2, strength=0.7)])
    assert graph.properties(PIZZA) == {"area": "Soho"}
    assert graph.query("MATCH ()-[r:LIKES]->() RETURN r.strength AS s, r.text AS t") == [{"s": 0.7, "t": None}]
    graph.query("MATCH (n:Place) SET n.by_hand = true")
    assert sink.write([node(PIZZA, 3, area="Soho")]) == [APPLIED]
    assert graph.properties(PIZZA) == {"area": "Soho"}


def test_an_upsert_with_another_end_moves_a_relation_in_neo4j(sink: Neo4jSink, graph: Graph) -> None:
    sink.write([relation("IN_CITY", ANNA, PIZZA, 1, "city:anna"), relation("IN_CITY", ANNA, SUSHI, 2, "city:anna")])
    assert graph.relations(ANNA) == {("IN_CITY", "sushi")}
    assert sink.write([relation("IN_CITY", ANNA, PIZZA, 3, "city:anna")]) == [APPLIED]
    assert graph.relations(ANNA) == {("IN_CITY", "pizza")}
    assert sink.write([relation("IN_CITY", ANNA, SUSHI, 2, "city:anna")]) == [SUPERSEDED]
    assert graph.relations(ANNA) == {("IN_CITY", "pizza")}
    assert sink.held([("city:anna", SOURCE)]) == {("city:anna", SOURCE): Held(version=3)}


@pytest.mark.parametrize("named", [True, False])
def test_deleting_a_node_of_neo4j_removes_its_relations_in_both_directions(
    sink: Neo4jSink, graph: Graph, named: bool
) -> None:
    sink.write([node(ANNA, 1), relation("FRIEND", ANNA, BEN, 2), relation("FRIEND", CLEO, ANNA, 3)])
    sink.write([relation("FRIEND", BEN, CLEO, 4)])
    assert sink.write([no_node(ANNA, 5, named=named)]) == [APPLIED]
    assert graph.properties(ANNA) is None
    assert graph.relations(BEN) == {("FRIEND", "cleo")}
    gone = ("FRIEND:anna:ben", SOURCE)
    assert sink.held([gone, ("user:anna", SOURCE)]) == {
        gone: Held(version=2, deleted=True, copies=0),
        ("user:anna", SOURCE): Held(version=5, deleted=True, copies=0),
    }
    assert sink.write([relation("FRIEND", ANNA, BEN, 6), relation("FRIEND", CLEO, ANNA, 7)]) == [SUPERSEDED] * 2
    assert graph.properties(ANNA) is None
    assert sink.held([gone]) == {gone: Held(version=6, deleted=True, copies=0)}


def test_what_undoes_a_new_node_of_neo4j_leaves_the_relations_of_others(sink: Neo4jSink, graph: Graph) -> None:
    """Anna had been to a place that nobody had written, and Ben came while it was: neither visit is the saga's."""
    sink.write([relation("VISITED", ANNA, PIZZA, 1)])
    new = [node(PIZZA, 5, name="Joe's"), node(SUSHI, 5)]
    undos = [undo for undo in sink.before(new) if undo is not None]
    assert sink.write([*new, relation("VISITED", BEN, PIZZA, 6)]) == [APPLIED] * 3
    assert sink.write([msgspec.structs.replace(undo, version=6) for undo in undos]) == [APPLIED] * 2
    assert (graph.properties(PIZZA), graph.properties(SUSHI)) == ({}, None)
    assert graph.relations(PIZZA) == {("VISITED", "anna"), ("VISITED", "ben")}
    gone = Held(version=6, deleted=True, copies=0)
    named = [("place:pizza", SOURCE), ("place:sushi", SOURCE)]
    assert sink.held(named) == dict.fromkeys(named, gone)
    assert sink.write(new) == [SUPERSEDED] * 2
    assert sink.write([relation("VISITED", CLEO, SUSHI, 7)]) == [APPLIED]
    assert sink.write([node(PIZZA, 8, name="Joe's"), no_node(SUSHI, 8)]) == [APPLIED] * 2
    assert len(graph.relations(PIZZA)) == 2
    assert graph.properties(SUSHI) is None


def test_a_relation_of_neo4j_that_moves_to_a_deleted_node_is_gone(sink: Neo4jSink, graph: Graph) -> None:
    sink.write([relation("IN_CITY", ANNA, PIZZA, 1, "city:anna"), no_node(SUSHI, 1)])
    assert sink.write([relation("IN_CITY", ANNA, SUSHI, 2, "city:anna")]) == [SUPERSEDED]
    assert graph.relations(ANNA) == set()
    assert graph.properties(SUSHI) is None
    assert sink.held([("city:anna", SOURCE)])["city:anna", SOURCE] == Held(version=2, deleted=True, copies=0)


def test_a_replay_does_not_bring_back_the_relations_of_a_node_of_neo4j_that_came_back(
    sink: Neo4jSink, graph: Graph
) -> None:
    history = [node(ANNA, 1), relation("FRIEND", ANNA, BEN, 2), no_node(ANNA, 3), node(ANNA, 4, name="Anna")]
    assert sink.write(history) == [APPLIED] * 4
    assert sink.write(history) == [SUPERSEDED] * 4
    assert graph.properties(ANNA) == {"name": "Anna"}
    assert graph.relations(ANNA) == set()
    assert sink.write([relation("FRIEND", ANNA, BEN, 5)]) == [APPLIED]


def test_a_node_of_neo4j_belongs_to_one_entity(sink: Neo4jSink) -> None:
    sink.write([node(PIZZA, 1)])
    [outcome] = sink.write([GraphWrite(**common("somebody-else", 1), node=PIZZA)])
    assert isinstance(outcome, Rejected)
    assert "`node`" in outcome.reason


def test_a_node_of_neo4j_that_went_under_one_name_may_come_back_under_another(sink: Neo4jSink, graph: Graph) -> None:
    foreign = GraphWrite(**common("somebody", 1), node=PIZZA)
    assert sink.write([foreign, relation("VISITED", ANNA, PIZZA, 1)]) == [APPLIED] * 2
    assert sink.write([msgspec.structs.replace(foreign, version=2, op="delete")]) == [APPLIED]
    assert sink.write([relation("VISITED", BEN, PIZZA, 3)]) == [SUPERSEDED]
    assert sink.write([node(PIZZA, 1, name="new owner")]) == [APPLIED]
    assert sink.write([relation("VISITED", BEN, PIZZA, 4), relation("VISITED", ANNA, PIZZA, 5)]) == [APPLIED] * 2
    assert graph.relations(PIZZA) == {("VISITED", "ben"), ("VISITED", "anna")}
    assert sink.held([("somebody", SOURCE), ("place:pizza", SOURCE)]) == {
        ("somebody", SOURCE): Held(version=2, deleted=True, copies=0),
        ("place:pizza", SOURCE): Held(version=1),
    }


def test_labels_types_and_properties_that_nobody_prepared_are_prepared_when_they_come(
    sink: Neo4jSink, graph: Graph
) -> None:
    odd = NodeRef("Neue Küche 🍕", "k'1")
    assert sink.write([node(odd, 1, **{"größe in m²": 12}), relation("RIECHT NACH", odd, PIZZA, 1)]) == [APPLIED] * 2
    assert graph.properties(odd) == {"größe in m²": 12}
    entity = "neue küche 🍕:k'1"
    assert sink.held([(entity, SOURCE)]) == {(entity, SOURCE): Held(version=1)}
    rows = graph.query("SHOW CONSTRAINTS YIELD labelsOrTypes RETURN collect(labelsOrTypes[0]) AS labels")
    assert odd.label in rows[0]["labels"]


def test_more_names_of_properties_than_a_statement_takes_are_stored_all_the_same(sink: Neo4jSink, graph: Graph) -> None:
    many = [NodeRef("Place", f"p{number}") for number in range(100)]
    for version in (1, 2):
        writes = [node(ref, version, **{f"field {number}": version}) for number, ref in enumerate(many)]
        assert sink.write(writes) == [APPLIED] * 100
    assert graph.properties(many[99]) == {"field 99": 2}


def test_writers_of_the_same_nodes_in_any_order_lose_nothing(graph: Graph) -> None:
    """Relations of all with all, from both ends at once: what deadlocks is tried again."""
    users = [NodeRef("User", f"u{number}") for number in range(30)]
    failures: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            sink = Neo4jSink(graph.options())
            sink.open()
            for shift in range(1, 15):
                pairs = [(users[n], users[(n * offset + shift) % 30]) for n in range(30)]
                deliver(sink, [relation("FRIEND", a, b, shift, f"f{offset}:{a.id}:{b.id}") for a, b in pairs])
                deliver(sink, [node(ref, shift * 10 + offset, by=offset) for ref in reversed(users)])
            sink.close()
        except BaseException as error:  # noqa: BLE001 - a thread cannot fail a test by itself
            failures.append(error)

    threads = [Thread(target=work, args=(offset,)) for offset in (1, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    rows = graph.query("MATCH (n:User) RETURN count(*) AS n, min(n._version) AS low, collect(DISTINCT n.by) AS who")
    assert rows == [{"n": 30, "low": 151, "who": [11]}]
    [counted] = graph.query("MATCH ()-[r:FRIEND]->() RETURN count(r) AS n, count(DISTINCT r._entity) AS entities")
    assert counted["n"] == counted["entities"]


def test_constraints_are_checked_at_the_start(graph: Graph, sink: Neo4jSink) -> None:
    sink.close()
    rows = graph.query("SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE labelsOrTypes = ['Place']")
    graph.query(f"DROP CONSTRAINT `{rows[0]['name']}`")
    graph.query("CREATE INDEX in_the_way FOR (n:Place) ON (n.id)")
    try:
        with pytest.raises(Fatal, match="Place"):
            sink.open()
    finally:
        graph.query("DROP INDEX in_the_way")
    sink.open()
    assert sink.write([node(PIZZA, 1)]) == [APPLIED]


def test_a_wrong_password_of_neo4j_is_fatal_and_names_the_option_and_no_secret(graph: Graph) -> None:
    sink = Neo4jSink(Neo4jOptions(url=graph.server.address, password="wr0ng-secret"))
    with pytest.raises(Fatal) as caught:
        sink.open()
    assert "stores.graph.password" in str(caught.value)
    assert "wr0ng-secret" not in str(caught.value)
    sink.close()


def test_a_database_that_neo4j_does_not_have_is_fatal(graph: Graph) -> None:
    with pytest.raises(Fatal, match=r"stores\.graph\.database"):
        Neo4jSink(graph.options(database="nowhere")).open()


def test_a_lost_neo4j_is_unavailable_and_the_sink_goes_on_when_it_is_back(sink: Neo4jSink, graph: Graph) -> None:
    assert sink.write([node(PIZZA, 1, name="kept")]) == [APPLIED]
    graph.server.kill()
    try:
        for _ in range(2):
            with pytest.raises(Unavailable):
                sink.write([node(SUSHI, 1)])
        sink.close()
        with pytest.raises(Unavailable):
            sink.open()
    finally:
        graph.restart()
    sink.open()
    assert sink.write([node(PIZZA, 1), node(SUSHI, 1)]) == [SUPERSEDED, APPLIED]
    assert len(sink.held([("place:pizza", SOURCE), ("place:sushi", SOURCE)])) == 2


def test_tombstones_are_apart_from_the_graph(sink: Neo4jSink, graph: Graph) -> None:
    sink.write([node(PIZZA, 1), no_node(PIZZA, 2)])
    assert graph.query("MATCH (n) RETURN labels(n) AS labels") == [{"labels": [TOMBSTONE]}]
    sink.write([node(PIZZA, 3)])
    assert graph.query("MATCH (n) RETURN labels(n) AS labels") == [{"labels": ["Place"]}]


def test_what_is_a_persons_is_found_with_what_relations_made_and_nothing_once_it_is_deleted(sink: Neo4jSink) -> None:
    writes = [write for one in events().values() for write in route(one) if isinstance(write, GraphWrite)]
    sink.write([write for write in writes if write.op == "upsert"])
    sink.write([node(BEN, 1, name="Ben")])
    found = sink.of_user("ann")
    expected = {write.entity for write in writes if write.op == "upsert"} | {"user:ann", "photo:f-2"}
    assert {one.entity for one in found} == expected
    assert [one.entity for one in sink.of_user("ben")] == ["user:ben"]
    deletes = [msgspec.structs.replace(one, version=2**62, source=one.source or "events") for one in found]
    assert sink.write(deletes) == [APPLIED] * len(deletes)
    assert sink.of_user("ann") == []
    held = sink.held([(one.entity, one.source) for one in deletes])
    assert [(one.deleted, one.copies) for one in held.values()] == [(True, 0)] * len(deletes)
    assert [one.entity for one in sink.of_user("ben")] == ["user:ben"]


def test_what_another_client_did_to_neo4j_is_found_and_repaired(sink: Neo4jSink, graph: Graph) -> None:
    joins = relation("FRIEND", ANNA, BEN, 6, since=2020)
    back = "CREATE (:User {id: 'cleo', _entity: 'user:cleo', _version: 5, _source: $source})"
    found_and_repaired(
        "graph",
        sink,
        [node(ANNA, 5), node(PIZZA, 5, name="Joe's"), node(SUSHI, 5), node(CLEO, 5), no_node(CLEO, 6), joins],
        {
            joins.entity: ("missing", lambda: graph.query("MATCH (:User)-[r:FRIEND]->(:User) DELETE r")),
            "place:pizza": ("different", lambda: graph.query("MATCH (n:Place {id: 'pizza'}) SET n.name = 'Jo'")),
            "place:sushi": ("missing", lambda: graph.query("MATCH (n:Place {id: 'sushi'}) DETACH DELETE n")),
            "user:cleo": ("stale", lambda: graph.query(back, source=SOURCE)),
        },
    )
