# pyright: reportUnknownMemberType=false
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.sqlite.graph import GraphReader, GraphSink
from schemas.writes import GraphWrite, NodeRef

SOURCE = "user-events"
ANNA, BEN, CLEO = (NodeRef("User", name) for name in ("anna", "ben", "cleo"))
PIZZA, SUSHI = (NodeRef("Place", name) for name in ("pizza", "sushi"))


def common(entity: str, version: int) -> dict[str, Any]:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return {"entity": entity, "version": version, "source": SOURCE, "event_id": f"e{version}", "occurred_at": at}


def node(ref: NodeRef, version: int, **properties: Any) -> GraphWrite:
    return GraphWrite(**common(f"{ref.label}:{ref.id}", version), node=ref, properties=properties)


def no_node(ref: NodeRef, version: int, *, named: bool = True) -> GraphWrite:
    return GraphWrite(**common(f"{ref.label}:{ref.id}", version), node=ref if named else None, op="delete")


def relation(kind: str, start: NodeRef, end: NodeRef, version: int, entity: str = "", **properties: Any) -> GraphWrite:
    common_fields = common(entity or f"{kind}:{start.id}:{end.id}", version)
    return GraphWrite(**common_fields, relation=kind, start=start, end=end, properties=properties)


@pytest.fixture
def sink(tmp_path: Path) -> Generator[GraphSink]:
    sink = GraphSink(tmp_path / "graph.db")
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def reader(sink: GraphSink) -> Generator[GraphReader]:
    with GraphReader(sink.path) as reader:
        yield reader


def test_a_relation_makes_the_nodes_it_needs_and_their_own_writes_fill_them(
    sink: GraphSink, reader: GraphReader
) -> None:
    sink.write([relation("VISITED", ANNA, PIZZA, 5, rating=4)])
    assert reader.node(PIZZA) == {}
    assert sink.write([node(PIZZA, 1, name="Joe's")]) == [APPLIED]
    assert reader.node(PIZZA) == {"name": "Joe's"}
    sink.write([relation("VISITED", BEN, PIZZA, 6)])
    assert reader.node(PIZZA) == {"name": "Joe's"}


def test_neighbours_are_found_from_both_ends(sink: GraphSink, reader: GraphReader) -> None:
    sink.write([relation("FRIEND", ANNA, BEN, 1), relation("FRIEND", CLEO, ANNA, 2), relation("LIKES", ANNA, PIZZA, 3)])
    found = {(neighbour.node.id, neighbour.outgoing) for neighbour in reader.neighbours(ANNA, "FRIEND")}
    assert found == {("ben", True), ("cleo", False)}
    assert len(reader.neighbours(ANNA)) == 3
    assert reader.neighbours(ANNA, limit=1)[0].relation in {"FRIEND", "LIKES"}


def test_an_upsert_with_another_end_moves_a_relation(sink: GraphSink, reader: GraphReader) -> None:
    sink.write([relation("IN_CITY", ANNA, PIZZA, 1, "city:anna"), relation("IN_CITY", ANNA, SUSHI, 2, "city:anna")])
    assert [neighbour.node for neighbour in reader.neighbours(ANNA)] == [SUSHI]
    assert reader.neighbours(PIZZA) == []
    assert sink.held([("city:anna", SOURCE)]) == {("city:anna", SOURCE): Held(version=2)}


@pytest.mark.parametrize("named", [True, False])
def test_deleting_a_node_removes_its_relations_in_both_directions(
    sink: GraphSink, reader: GraphReader, named: bool
) -> None:
    sink.write([node(ANNA, 1), relation("FRIEND", ANNA, BEN, 2), relation("FRIEND", CLEO, ANNA, 3)])
    sink.write([relation("FRIEND", BEN, CLEO, 4)])
    assert sink.write([no_node(ANNA, 5, named=named)]) == [APPLIED]
    assert reader.node(ANNA) is None
    assert reader.counts() == {"nodes": 2, "relations": 1}
    assert sink.held([("FRIEND:anna:ben", SOURCE)]) == {
        ("FRIEND:anna:ben", SOURCE): Held(version=2, deleted=True, copies=0)
    }


def test_a_relation_to_a_deleted_node_is_superseded_and_remembered(sink: GraphSink, reader: GraphReader) -> None:
    sink.write([no_node(ANNA, 5)])
    assert sink.write([relation("FRIEND", ANNA, BEN, 6), relation("FRIEND", CLEO, ANNA, 7)]) == [SUPERSEDED] * 2
    assert reader.node(ANNA) is None
    entity = ("FRIEND:anna:ben", SOURCE)
    assert sink.held([entity]) == {entity: Held(version=6, deleted=True, copies=0)}


def test_what_undoes_a_new_node_leaves_the_relations_of_others(sink: GraphSink, reader: GraphReader) -> None:
    """Anna had been to a place that nobody had written, and Ben came while it was: neither visit is the saga's."""
    sink.write([relation("VISITED", ANNA, PIZZA, 1)])
    new = [node(PIZZA, 5, name="Joe's"), node(SUSHI, 5)]
    undos = [undo for undo in sink.before(new) if undo is not None]
    assert sink.write([*new, relation("VISITED", BEN, PIZZA, 6)]) == [APPLIED] * 3
    assert [undo for undo in sink.own(new) if undo is not None] == undos
    assert sink.write([msgspec.structs.replace(undo, version=6) for undo in undos]) == [APPLIED] * 2
    assert (reader.node(PIZZA), reader.node(SUSHI)) == ({}, None)
    assert {one.node for one in reader.neighbours(PIZZA)} == {ANNA, BEN}
    assert sink.write(new) == [SUPERSEDED] * 2
    assert sink.write([relation("VISITED", CLEO, SUSHI, 7)]) == [APPLIED]
    assert sink.write([node(PIZZA, 8, name="Joe's"), no_node(SUSHI, 8)]) == [APPLIED] * 2
    assert len(reader.neighbours(PIZZA)) == 2


def test_a_relation_that_moves_to_a_deleted_node_is_gone(sink: GraphSink, reader: GraphReader) -> None:
    sink.write([relation("IN_CITY", ANNA, PIZZA, 1, "city:anna"), no_node(SUSHI, 1)])
    assert sink.write([relation("IN_CITY", ANNA, SUSHI, 2, "city:anna")]) == [SUPERSEDED]
    assert reader.neighbours(ANNA) == []
    assert sink.held([("city:anna", SOURCE)])["city:anna", SOURCE] == Held(version=2, deleted=True, copies=0)


def test_a_replay_does_not_bring_back_the_relations_of_a_node_that_came_back(
    sink: GraphSink, reader: GraphReader
) -> None:
    history = [node(ANNA, 1), relation("FRIEND", ANNA, BEN, 2), no_node(ANNA, 3), node(ANNA, 4, name="Anna")]
    assert sink.write(history) == [APPLIED] * 4
    assert sink.write(history) == [SUPERSEDED] * 4
    assert reader.node(ANNA) == {"name": "Anna"}
    assert reader.neighbours(ANNA) == []
    assert sink.write([relation("FRIEND", ANNA, BEN, 5)]) == [APPLIED]


def test_a_node_belongs_to_one_entity(sink: GraphSink) -> None:
    sink.write([node(PIZZA, 1)])
    other = GraphWrite(**common("somebody-else", 1), node=PIZZA)
    [outcome] = sink.write([other])
    assert isinstance(outcome, Rejected)
    assert "`node`" in outcome.reason


def test_a_number_that_is_not_finite_is_rejected_by_name(sink: GraphSink) -> None:
    [outcome] = sink.write([node(PIZZA, 1, score=float("inf"))])
    assert outcome == Rejected("`properties.score` is not a finite number: inf")


def test_friends_favourites_are_ranked_by_how_much_how_many_like_them(sink: GraphSink, reader: GraphReader) -> None:
    sink.write(
        [
            node(PIZZA, 1, name="Joe's"),
            relation("FRIEND", ANNA, BEN, 2),
            relation("FRIEND", CLEO, ANNA, 3),
            relation("LIKES", BEN, PIZZA, 4, strength=0.5),
            relation("LIKES", CLEO, PIZZA, 5, strength=0.7),
            relation("LIKES", CLEO, SUSHI, 6, strength=0.9),
            relation("LIKES", NodeRef("User", "stranger"), SUSHI, 7, strength=1.0),
            relation("LIKES", BEN, NodeRef("Cuisine", "thai"), 8, strength=1.0),
        ]
    )
    best = reader.suggestions(ANNA, "FRIEND", "LIKES", weight="strength", label="Place")
    assert [(one.node, one.through, round(one.weight or 0, 3)) for one in best] == [(PIZZA, 2, 0.6), (SUSHI, 1, 0.9)]
    assert best[0].node_properties == {"name": "Joe's"}
    assert len(reader.suggestions(ANNA, "FRIEND", "LIKES", weight="strength")) == 3


def test_a_newer_write_of_what_is_held_changes_nothing_but_the_version(sink: GraphSink, reader: GraphReader) -> None:
    writes = [node(ANNA, 1, name="Anna"), node(PIZZA, 1), relation("LIKES", ANNA, PIZZA, 1, rating=4)]
    sink.write(writes)
    changed = sink.connection.total_changes()
    again = [msgspec.structs.replace(write, version=2) for write in writes]
    assert sink.write(again) == [APPLIED] * 3
    assert sink.connection.total_changes() - changed == len(writes)
    assert {held.version for held in sink.held([(write.entity, SOURCE) for write in writes]).values()} == {2}
    assert reader.node(ANNA) == {"name": "Anna"}
    sink.write([node(ANNA, 3, name="Ann"), relation("LIKES", ANNA, PIZZA, 3, rating=5)])
    (liked,) = reader.neighbours(ANNA)
    assert (reader.node(ANNA), liked.properties) == ({"name": "Ann"}, {"rating": 5})


def test_a_repair_brings_back_the_nodes_of_a_relation_that_were_removed_by_hand(
    sink: GraphSink, reader: GraphReader
) -> None:
    sink.write([relation("LIKES", ANNA, PIZZA, 1)])
    sink.connection.execute("DELETE FROM nodes")
    sink.write([msgspec.structs.replace(relation("LIKES", ANNA, PIZZA, 1), repair=True)])
    assert [neighbour.node for neighbour in reader.neighbours(ANNA)] == [PIZZA]
