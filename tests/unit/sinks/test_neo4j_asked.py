"""What a stage asks of Neo4j in one statement."""

from collections.abc import Sequence

from connectors.sinks.neo4j.asked import BLOCKS_AT_ONCE, MOST_BLOCKS, Asked, Block, Blocks, Piece, pieces
from connectors.sinks.neo4j.columns import MOST
from connectors.sinks.neo4j.plan import Phase, plan
from schemas.writes import GraphWrite, NodeRef
from tests.unit.sinks.neo4j_writes import ANNA, BEN, friends, node, write


def asked(blocks: Blocks, *writes: GraphWrite) -> dict[Block, Asked]:
    [stage] = plan(list(enumerate(writes)))
    return blocks.asked(stage)


def versions(asked: Asked) -> tuple[list[int], list[int]]:
    """Return the versions of what goes into the statement, and of what is taken with care."""
    return [change.write.version for change in asked.changes], [change.write.version for change in asked.careful]


def test_all_of_a_stage_is_one_statement_whose_blocks_are_in_the_order_of_locks() -> None:
    blocks = Blocks()
    found = asked(
        blocks,
        write("f2", 1, relation="FRIEND", start=ANNA, end=BEN, op="delete"),
        node(NodeRef("Activity", "a"), op="delete"),
        friends(),
        node(BEN),
        node(ANNA),
    )
    [(text, order)] = blocks.statements(found)
    assert order == [
        Block(Phase.NODE, "User", (), "s"),
        Block(Phase.RELATION, "FRIEND", ("User", "User"), "s"),
        Block(Phase.RELATION_GONE, "FRIEND", ("User",)),
        Block(Phase.NODE_GONE, "Activity"),
    ]
    assert text.endswith("RETURN told0, told1, told2, told3")
    assert [found[order[0]].row(place)[4] for place in (0, 1)] == ["anna", "ben"]


def test_rows_go_in_pieces_all_of_a_block_before_those_of_the_next() -> None:
    found = asked(Blocks(), *(node(NodeRef("User", f"u{number}")) for number in range(3)), friends())
    nodes, relations = found
    assert list(pieces([nodes, relations], found, rows=2)) == [
        [Piece(nodes, range(2))],
        [Piece(nodes, range(2, 3)), Piece(relations, range(1))],
    ]
    assert list(pieces([nodes], {}, rows=2)) == []


def test_a_statement_has_the_blocks_of_earlier_batches_and_none_is_asked_when_nothing_is() -> None:
    blocks = Blocks()
    [first] = blocks.statements(asked(blocks, node(ANNA), friends()))
    assert list(blocks.statements(asked(blocks, friends(2)))) == [first]
    assert list(blocks.statements({})) == []


def test_many_blocks_are_several_statements_and_a_new_one_changes_the_last_only() -> None:
    blocks = Blocks()

    def ordered(labels: Sequence[str]) -> list[list[str]]:
        found = asked(blocks, *(node(NodeRef(label, "x")) for label in labels))
        return [[block.kind for block in order] for _, order in blocks.statements(found)]

    labels = [f"L{number}" for number in range(BLOCKS_AT_ONCE + 1)]
    assert ordered(labels) == [labels[:-1], labels[-1:]]
    assert ordered(["A", labels[0]]) == [labels[:-1], ["A", labels[-1]]]
    assert ordered(labels[-1:]) == [["A", labels[-1]]]
    others = [f"M{number:02}" for number in range(MOST_BLOCKS)]
    assert [kind for kinds in ordered(others) for kind in kinds] == others


def test_a_delete_waits_for_an_upsert_of_its_entity_that_it_may_not_overtake() -> None:
    gone = Block(Phase.RELATION_GONE, "FRIEND", ("User",))
    blocks = Blocks()
    assert versions(asked(blocks, friends(1), friends(2, op="delete"))[gone]) == ([2], [])
    assert versions(asked(blocks, friends(5), friends(2, op="delete"))[gone]) == ([], [2])
    assert versions(asked(blocks, friends(1), friends(2, op="delete", source="t"))[gone]) == ([], [2])
    odd = {f"n{number}": 1 for number in range(MOST + 1)}
    assert versions(asked(blocks, friends(1, properties=odd), friends(2, op="delete"))[gone]) == ([], [2])


def test_a_node_of_another_entitys_name_is_deleted_with_care() -> None:
    found = asked(Blocks(), node(ANNA, 1, op="delete"), write("somebody", 2, node=BEN, op="delete"))
    assert versions(found[Block(Phase.NODE_GONE, "User")]) == ([1], [2])
