"""The order in which the graph's writes are applied, and what of them is refused before the server is asked."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.contract import APPLIED, SUPERSEDED
from connectors.sinks.neo4j.columns import MOST, Columns
from connectors.sinks.neo4j.lines import Line, account, carried, read, written
from connectors.sinks.neo4j.options import Neo4jOptions
from connectors.sinks.neo4j.plan import Change, Phase, phase_of, plan
from connectors.sinks.neo4j.values import Unfit, check
from schemas.writes import GraphWrite, NodeRef
from tests.unit.sinks.neo4j_writes import ANNA, BEN, friends, node, write


def stages(*writes: GraphWrite) -> list[dict[Phase, list[list[int]]]]:
    """Return the indices of each change, by phase and stage."""
    return [
        {phase: [change.indices for change in changes] for phase, changes in stage.phases.items()}
        for stage in plan(list(enumerate(writes)))
    ]


def test_nodes_and_relations_that_do_not_meet_a_delete_are_one_stage_whatever_their_order() -> None:
    assert stages(friends(), node(ANNA), node(BEN)) == [{Phase.RELATION: [[0]], Phase.NODE: [[1], [2]]}]


def test_upserts_of_one_entity_are_one_change_and_its_newest_content_counts() -> None:
    writes = [node(ANNA, 3, properties={"v": 3}), friends(), node(ANNA, 2), node(ANNA, 5, properties={"v": 5})]
    [stage] = plan(list(enumerate(writes)))
    [change] = stage.phases[Phase.NODE]
    assert change.write.properties == {"v": 5}
    assert dict(change.outcomes(3)) == {0: SUPERSEDED, 2: SUPERSEDED, 3: APPLIED}
    assert dict(change.outcomes(-1)) == {0: APPLIED, 2: SUPERSEDED, 3: APPLIED}


def test_what_comes_after_the_delete_of_its_node_waits_for_the_next_stage() -> None:
    found = stages(node(ANNA), friends(1), node(ANNA, 2, op="delete"), node(ANNA, 3), friends(2))
    assert found == [
        {Phase.NODE: [[0]], Phase.RELATION: [[1]], Phase.NODE_GONE: [[2]]},
        {Phase.NODE: [[3]], Phase.RELATION: [[4]]},
    ]


def test_another_source_or_another_end_is_another_change() -> None:
    assert len(stages(node(ANNA), node(ANNA, 2, source="other"))) == 2
    assert len(stages(friends(), msgspec.structs.replace(friends(2), end=NodeRef("User", "cleo")))) == 2


def test_a_delete_that_names_no_node_is_alone_in_its_stage() -> None:
    found = stages(node(ANNA), write("x", op="delete"), node(BEN))
    assert found == [{Phase.NODE: [[0]]}, {Phase.UNNAMED_GONE: [[1]]}, {Phase.NODE: [[2]]}]


REFS = [ANNA, BEN, NodeRef("Place", "p")]
kinds = st.sampled_from(REFS).map(node) | st.tuples(st.sampled_from(REFS), st.sampled_from(REFS)).map(
    lambda ends: write(f"r:{ends[0].id}:{ends[1].id}", relation="R", start=ends[0], end=ends[1])
)
writes_of_all_kinds = st.tuples(kinds, st.integers(0, 9), st.sampled_from(["upsert", "delete"])).map(
    lambda made: msgspec.structs.replace(made[0], version=made[1], op=made[2])
)


@given(st.lists(writes_of_all_kinds, max_size=25))
def test_every_write_is_planned_once_and_none_overtakes_what_it_depends_on(writes: list[GraphWrite]) -> None:
    place: dict[int, tuple[int, Phase]] = {}
    for number, stage in enumerate(plan(list(enumerate(writes)))):
        for phase, changes in stage.phases.items():
            for index in (index for change in changes for index in change.indices):
                assert index not in place
                place[index] = (number, phase)
    assert place.keys() == set(range(len(writes)))
    for later, second in enumerate(writes):
        for earlier, first in enumerate(writes[:later]):
            if first.entity == second.entity or _one_deletes_a_node_of(first, second):
                assert place[earlier] <= place[later]


def _one_deletes_a_node_of(first: GraphWrite, second: GraphWrite) -> bool:
    for gone, other in ((first, second), (second, first)):
        touches = phase_of(other) in {Phase.NODE, Phase.RELATION}
        if phase_of(gone) is Phase.NODE_GONE and touches and gone.node in (other.node, other.start, other.end):
            return True
    return False


sources = st.text(min_size=1, max_size=10).filter(lambda text: text.isprintable())


@given(st.dictionaries(sources, st.builds(Line, st.integers(0, 2**63 - 1), st.booleans()), max_size=5))
def test_lines_are_read_as_they_were_written(lines: dict[str, Line]) -> None:
    assert read(written(lines)) == lines
    for source, line in lines.items():
        if not line.deleted:
            kept = account(lines, source)
            assert carried(kept["_source"], kept["_version"], kept["_lines"]) == lines


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (write("e"), "`node`"),
        (write("e", relation="R", start=ANNA), "`start`"),
        (node(ANNA, properties={"score": float("inf")}), "`properties.score`"),
        (node(ANNA, properties={"big": 2**63}), "`properties.big`"),
        (node(ANNA, properties={"_version": 1}), "`properties._version`"),
        (node(ANNA, properties={"id": "ben"}), "`properties.id`"),
        (node(ANNA, properties={"a`b": 1}), "`properties`"),
        (node(ANNA, properties={"half": "\ud800"}), "`properties.half`"),
        (node(NodeRef("a\\u0060b", "x")), "`node.label`"),
        (node(NodeRef("", "x")), "`node.label`"),
        (write("e", node=NodeRef("User", "x" * 9_000)), "`node.id`"),
        (write("🗽" * 3_000, node=ANNA), "`entity`"),
        (node(ANNA, 2**63), "`version`"),
    ],
)
def test_what_no_graph_can_hold_is_refused_by_name(bad: GraphWrite, field: str) -> None:
    with pytest.raises(Unfit, match=re.escape(field)):
        check(bad)


def test_names_of_properties_stay_in_their_order_while_new_ones_come() -> None:
    columns = Columns()

    def divided(**properties: Any) -> tuple[int, int]:
        quick, careful = columns.divided("User", [Change(node(ANNA, properties=properties), [0], [1])])
        return len(quick), len(careful)

    assert divided(b=1, a=2) == (1, 0)
    assert divided(c=1) == (1, 0)
    assert columns.of("User") == ("a", "b", "c")
    assert divided(**{f"n{number}": 1 for number in range(MOST)}) == (0, 1)
    assert columns.of("User") == ("a", "b", "c")


@pytest.mark.parametrize(
    ("given_options", "named"),
    [
        ({"url": "http://graph:7474"}, "`url`"),
        ({"url": "bolt://neo4j:secret@graph"}, "`username`"),
        ({"indexes": ("Place",)}, "`indexes`"),
    ],
)
def test_options_that_cannot_be_used_are_told_by_name(given_options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)) as caught:
        Neo4jOptions(**given_options)
    assert "secret" not in str(caught.value)


def test_the_password_of_neo4j_is_in_no_repr() -> None:
    assert "hidden" not in repr(Neo4jOptions(password="hidden"))
