"""What a batch of many kinds leaves in a real Neo4j, and how often it asks."""

from collections.abc import Generator
from typing import Any

import msgspec
import neo4j
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sinks.contract import APPLIED, SUPERSEDED, Outcome, Rejected, Retry
from connectors.sinks.neo4j import Neo4jSink
from connectors.sinks.neo4j.asked import ROWS_AT_ONCE
from connectors.sinks.neo4j.columns import MOST
from connectors.sinks.neo4j.statements import GUARD_NAMES, PLANNED_ONCE
from schemas.writes import GraphWrite, NodeRef
from tests.integration.sinks.neo4j_graph import ANNA, BEN, CLEO, PIZZA, SOURCE, SUSHI, Graph, no_node, node, relation

pytestmark = pytest.mark.integration

# Everything the graph may not hold: an entity that is there twice or beside its tombstone, a relation at a node that is
# gone.
WRONG = {
    "twice": "MATCH ()-[r]->() WITH r._entity AS what, count(*) AS n WHERE n > 1 RETURN what",
    "there and gone": "MATCH (t:TravelosTombstone) MATCH ()-[r {_entity: t.entity}]->() RETURN t.entity AS what",
    "node there and gone": "MATCH (t:TravelosTombstone) MATCH (n {id: split(t.entity, ':')[1]}) "
    "WHERE n._version IS NOT NULL AND toLower(labels(n)[0]) = split(t.entity, ':')[0] RETURN t.entity AS what",
    "at a node that is gone": "MATCH (t:TravelosTombstone) WHERE t.node IS NOT NULL "
    "MATCH (n {id: split(t.node, ':')[1]})--() WHERE labels(n)[0] = split(t.node, ':')[0] RETURN t.node AS what",
}
# Without nodes that only relations have named which are gone.
ALL = """
MATCH (n) WHERE n._version IS NOT NULL OR n.lines IS NOT NULL OR (n)--()
OPTIONAL MATCH (n)-[r]->(m) RETURN n, properties(r) AS r, m ORDER BY n.id, n.entity, m.id
"""


@pytest.fixture
def sink(graph: Graph) -> Generator[Neo4jSink]:
    sink = Neo4jSink(graph.options())
    sink.open()
    yield sink
    sink.close()


def odd_node(ref: NodeRef, version: int, number: int) -> GraphWrite:
    """Return a write of a property that is one more than a statement takes."""
    return node(ref, version, **{f"odd field {number}": version})


def no_relation(kind: str, start: NodeRef, end: NodeRef, version: int) -> GraphWrite:
    return msgspec.structs.replace(relation(kind, start, end, version), op="delete", properties={})


def not_written(ref: NodeRef, version: int) -> GraphWrite:
    return msgspec.structs.replace(no_node(ref, version), keep_relations=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of batches that the driver is asked to run from now on, in a transaction or by themselves."""
    texts: list[str] = []

    def note(kind: type[Any]) -> None:
        run = kind.run

        def noted(self: Any, query: Any, parameters: Any = None, **others: Any) -> neo4j.Result:
            text = str(getattr(query, "text", query))
            if text.startswith(PLANNED_ONCE):
                texts.append(text)
            return run(self, query, parameters, **others)

        monkeypatch.setattr(kind, "run", noted)

    note(neo4j.Transaction)
    note(neo4j.Session)
    return texts


def test_a_batch_of_nodes_relations_and_deletes_asks_neo4j_once(
    sink: Neo4jSink, graph: Graph, asked: list[str]
) -> None:
    sink.write([node(CLEO, 1), relation("LIKES", ANNA, PIZZA, 1), relation("LIKES", ANNA, SUSHI, 1)])
    sink.write([no_node(BEN, 1)])  # from now on there are tombstones
    asked.clear()
    batch = [
        node(ANNA, 2, name="Anna"),
        relation("LIKES", ANNA, PIZZA, 2, strength=0.5),
        relation("LIKES", CLEO, PIZZA, 2),
        no_relation("LIKES", ANNA, SUSHI, 2),
        no_node(CLEO, 2),
    ]
    assert sink.write(batch) == [APPLIED] * len(batch)
    assert len(asked) == 1
    assert sink.write(batch) == [SUPERSEDED] * len(batch)
    assert graph.properties(ANNA) == {"name": "Anna"}
    assert graph.relations(ANNA) == {("LIKES", "pizza")}
    assert graph.properties(CLEO) is None


def test_what_was_deleted_comes_back_in_one_statement_and_its_tombstone_is_gone(
    sink: Neo4jSink, graph: Graph, asked: list[str]
) -> None:
    there = [node(CLEO, 1, name="Cleo"), node(PIZZA, 1), node(BEN, 1), relation("LIKES", BEN, PIZZA, 1)]
    sink.write(there)
    sink.write([no_node(CLEO, 5), no_relation("LIKES", BEN, PIZZA, 5)])
    assert len(graph.query("MATCH (t:TravelosTombstone) RETURN t")) == 2
    asked.clear()
    assert sink.write([node(CLEO, 6, name="again"), relation("LIKES", BEN, PIZZA, 6, strength=1)]) == [APPLIED] * 2
    assert len(asked) == 1
    assert graph.properties(CLEO) == {"name": "again"}
    assert graph.relations(BEN) == {("LIKES", "pizza")}
    assert graph.query("MATCH (t:TravelosTombstone) RETURN t") == []
    assert sink.write([*there, no_node(CLEO, 5)]) == [SUPERSEDED] * 5


def test_what_was_deleted_at_a_newer_version_or_by_others_too_stays_so(sink: Neo4jSink, graph: Graph) -> None:
    likes = relation("LIKES", ANNA, PIZZA, 1)
    sink.write([node(ANNA, 1), node(PIZZA, 1), likes, node(CLEO, 1)])
    sink.write([no_node(CLEO, 5), no_relation("LIKES", ANNA, PIZZA, 5)])
    late = [node(CLEO, 4, name="late"), relation("LIKES", ANNA, PIZZA, 4)]
    assert sink.write(late) == [SUPERSEDED] * 2
    assert graph.properties(CLEO) is None
    assert graph.relations(ANNA) == set()
    assert sink.write([msgspec.structs.replace(no_node(CLEO, 2), source="other")]) == [APPLIED]
    assert sink.write([node(CLEO, 6)]) == [APPLIED]
    held = sink.held([("user:cleo", SOURCE), ("user:cleo", "other")])
    assert [held["user:cleo", source].version for source in (SOURCE, "other")] == [6, 2]


def test_what_is_done_at_once_stays_done_when_what_it_left_is_refused(sink: Neo4jSink, graph: Graph) -> None:
    sink.write([node(ANNA, 1), node(BEN, 1)])
    of_another = msgspec.structs.replace(node(BEN, 1, name="x" * 40_000), source="other")  # of an index, too long
    outcomes = sink.write([node(ANNA, 2, name="Anna"), of_another, node(CLEO, 1, name="Cleo")])
    assert isinstance(outcomes.pop(1), Rejected)
    assert outcomes == [APPLIED] * 2
    assert graph.properties(ANNA) == {"name": "Anna"}
    assert graph.properties(BEN) == {}


def test_nothing_is_left_of_a_node_that_was_left_to_be_taken_with_care_and_then_refused(
    sink: Neo4jSink, graph: Graph
) -> None:
    """It comes back from a tombstone of two lines, with a name that is too long for its index."""
    other = NodeRef("User", "dan")
    sink.write([node(BEN, 1), node(PIZZA, 1), relation("LIKES", BEN, PIZZA, 1)])
    sink.write([no_node(BEN, 5), msgspec.structs.replace(no_node(BEN, 5), source="other")])
    late = [node(BEN, 6, name="x" * 40_000), node(CLEO, 1)]
    for _ in range(2):
        outcomes = sink.write(late)
        assert isinstance(outcomes[0], Rejected)
        assert graph.properties(BEN) is None
    assert sink.held([("user:ben", SOURCE)])["user:ben", SOURCE].copies == 0
    sink.write([relation("LIKES", other, PIZZA, 1)])  # names a node that nobody has written, which stays
    assert isinstance(sink.write([node(other, 1, name="x" * 40_000)])[0], Rejected)
    assert graph.relations(other) == {("LIKES", "pizza")}


def test_a_batch_of_more_rows_than_go_at_once_has_all_outcomes_and_only_the_refused_write_is_missing(
    sink: Neo4jSink, graph: Graph, asked: list[str]
) -> None:
    count = 2 * ROWS_AT_ONCE + 1
    refs = [NodeRef("User", f"n{number:05}") for number in range(count)]
    asked.clear()
    assert sink.write([node(ref, 2) for ref in refs]) == [APPLIED] * count
    assert len(asked) == 3
    late = [node(ref, 1 if number % 3 else 3) for number, ref in enumerate(refs)]
    assert sink.write(late) == [SUPERSEDED if number % 3 else APPLIED for number in range(count)]
    too_long = "x" * 40_000  # of a name, which is indexed
    last = [node(ref, 4, name=too_long if number == ROWS_AT_ONCE else "Anna") for number, ref in enumerate(refs)]
    outcomes = sink.write(last)
    assert isinstance(outcomes.pop(ROWS_AT_ONCE), Rejected)
    assert outcomes == [APPLIED] * (count - 1)
    assert graph.properties(refs[0]) == graph.properties(refs[-1]) == {"name": "Anna"}
    assert graph.properties(refs[ROWS_AT_ONCE]) == {}


def test_the_statement_stays_the_same_whatever_of_what_is_known_a_batch_has(sink: Neo4jSink, asked: list[str]) -> None:
    """The server compiles each text for some tenths of a second."""
    batch = [node(ANNA, 1, name="Anna"), node(PIZZA, 1, score=1), relation("LIKES", ANNA, PIZZA, 1, strength=1)]
    sink.write(batch)
    for version, write in enumerate(batch, start=2):
        sink.write([msgspec.structs.replace(write, version=version, properties={})])
    assert len(asked) == 4
    assert len(set(asked)) == 1


def operators(plan: Any) -> list[str]:
    return [plan["operatorType"], *(name for child in plan.get("children", ()) for name in operators(child))]


def test_nothing_is_looked_for_without_an_index_though_the_graph_was_empty_when_it_was_planned(
    sink: Neo4jSink, graph: Graph, asked: list[str]
) -> None:
    likes, foreign = relation("LIKES", ANNA, PIZZA, 2), relation("LIKES", ANNA, PIZZA, 2, "L:anna")
    for version, batch in enumerate(
        [
            [node(ANNA, 1), node(PIZZA, 1), likes, foreign, msgspec.structs.replace(node(BEN, 1), entity="ben")],
            [no_node(ANNA, 1), no_relation("LIKES", BEN, PIZZA, 1), no_node(CLEO, 1, named=False)],
            [node(ANNA, 1), likes, foreign, msgspec.structs.replace(foreign, end=SUSHI)],  # with care from here
            [msgspec.structs.replace(write, source="other") for write in (node(ANNA, 1), likes, no_node(PIZZA, 1))],
            [no_node(ANNA, 1, named=False), msgspec.structs.replace(no_node(BEN, 1), entity="ben")],
            [no_relation("LIKES", ANNA, PIZZA, 1), likes],
            [not_written(PIZZA, 1), not_written(SUSHI, 1)],
        ]
    ):
        sink.write([msgspec.structs.replace(write, version=10 * version + write.version) for write in batch])
    assert len(set(asked)) > 8
    given: dict[str, Any] = dict.fromkeys(("blocks", "rows", "ids", "entities", "nodes", *GUARD_NAMES))
    for text in sorted(set(asked)):
        plan = graph.plan(text, given)
        assert [name for name in operators(plan) if "Scan" in name] == [], text


PEOPLE, PLACES = [ANNA, BEN], [PIZZA, SUSHI]
versions = st.integers(1, 9)
writes = st.one_of(
    st.builds(node, st.sampled_from(PEOPLE + PLACES), versions, by=versions),
    st.builds(no_node, st.sampled_from(PEOPLE + PLACES), versions, named=st.booleans()),
    st.builds(not_written, st.sampled_from(PEOPLE + PLACES), versions),
    st.builds(relation, st.just("LIKES"), st.sampled_from(PEOPLE), st.sampled_from(PLACES), versions, by=versions),
    st.builds(relation, st.just("IN"), st.just(ANNA), st.sampled_from(PLACES), versions, st.just("IN:anna")),
    st.builds(no_relation, st.just("LIKES"), st.sampled_from(PEOPLE), st.sampled_from(PLACES), versions),
    st.builds(odd_node, st.sampled_from(PEOPLE), versions, st.integers(0, 9)),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(writes, min_size=1, max_size=12), min_size=1, max_size=3))
def test_whatever_is_in_a_batch_the_graph_and_its_account_agree(
    sink: Neo4jSink, graph: Graph, batches: list[list[GraphWrite]]
) -> None:
    fill = {f"field {number}": 1 for number in range(MOST - 1)}
    sink.write([node(ANNA, 1, by=1, **fill)])  # from here on an odd field is one too many
    graph.query("MATCH (n) DETACH DELETE n")
    newest: dict[str, int] = {}
    for batch in batches:
        outcomes: list[Outcome] = sink.write(batch)
        assert all(outcome in (APPLIED, SUPERSEDED) for outcome in outcomes)
        for write in batch:
            newest[write.entity] = max(write.version, newest.get(write.entity, 0))
    assert {name: rows for name, query in WRONG.items() if (rows := graph.query(query))} == {}
    held = sink.held([(entity, SOURCE) for entity in newest])
    assert {entity: held[entity, SOURCE].version for entity in newest} == newest
    assert all(one.copies == (0 if one.deleted else 1) for one in held.values())
    before = graph.query(ALL)
    for batch in batches:
        assert sink.write(batch) == [SUPERSEDED] * len(batch)
    after = graph.query(ALL)
    assert after == before


def test_a_constraint_of_the_operators_own_keeps_back_no_write_but_the_one_it_is_against(
    sink: Neo4jSink, graph: Graph
) -> None:
    graph.query("CREATE CONSTRAINT one_phone FOR (x:Place) REQUIRE x.phone IS UNIQUE")
    try:
        places = [NodeRef("Place", f"p{number}") for number in range(20)]
        named = [node(ref, 1, phone="the same" if number in (3, 12) else ref.id) for number, ref in enumerate(places)]
        outcomes = sink.write(named)
        assert [number for number, outcome in enumerate(outcomes) if outcome != APPLIED] == [12]
        assert isinstance(outcomes[12], Retry)
        assert "constraint" in outcomes[12].reason
        assert sink.write([node(places[12], 2, phone="its own")]) == [APPLIED]
    finally:
        graph.query("DROP CONSTRAINT one_phone")
