"""Which batches are asked of Neo4j at once, and what they leave."""

from typing import Any, cast

import neo4j
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED
from connectors.sinks.neo4j.asked import BLOCKS_AT_ONCE, ROWS_AT_ONCE, Blocks
from connectors.sinks.neo4j.at_once import AtOnce
from connectors.sinks.neo4j.columns import MOST
from connectors.sinks.neo4j.plan import plan
from schemas.writes import GraphWrite, NodeRef
from tests.unit.sinks.neo4j_writes import ANNA, BEN, friends, node, write


def at_once(*writes: GraphWrite) -> AtOnce | None:
    return AtOnce.of(plan(list(enumerate(writes))), Blocks())


class StandInSession:
    """Answers as told, and keeps what it was asked."""

    def __init__(self, **told: list[Any]) -> None:
        self.told = told
        self.query: Any = None
        self.parameters: dict[str, Any] = {}

    def run(self, query: Any, parameters: dict[str, Any]) -> "StandInSession":
        self.query, self.parameters = query, parameters
        return self

    def data(self) -> list[dict[str, list[Any]]]:
        return [self.told]


def test_a_batch_of_nodes_relations_and_deletes_is_asked_at_once() -> None:
    assert at_once(node(ANNA), friends(), node(BEN, op="delete")) is not None


@pytest.mark.parametrize(
    "writes",
    [
        [node(BEN, 1, op="delete"), node(BEN, 2)],
        [write("somebody", 1, op="delete")],
        [node(ANNA, 1, properties={f"n{number}": 1 for number in range(MOST + 1)})],
        [node(NodeRef(f"L{number}", "x")) for number in range(BLOCKS_AT_ONCE + 1)],
        [node(NodeRef("User", f"u{number}")) for number in range(ROWS_AT_ONCE + 1)],
    ],
    ids=["stages", "unnamed", "with care", "kinds", "rows"],
)
def test_what_takes_several_statements_is_not(writes: list[GraphWrite]) -> None:
    assert at_once(*writes) is None


def test_outcomes_and_what_is_left_are_told_by_their_places_in_the_batch() -> None:
    asked = at_once(node(BEN, 3), friends(2), node(ANNA, 5), friends(4, op="delete"))
    assert asked is not None
    # Nodes are sorted: 0 is Anna, who has version 7; 1 is Ben, who has lines of others. The delete is left, too.
    session = StandInSession(told0=[[0, False, True, 7], [1, False, False, 1]], told1=[], told2=[0])
    outcomes, left = asked.ask(cast(neo4j.Session, session), 9.0)
    assert outcomes == {2: SUPERSEDED, 1: APPLIED}
    assert left == {0, 3}
    assert session.query.timeout == 9.0
    assert [len(rows) for _, rows in session.parameters["blocks"]] == [2, 1, 1]
