"""What a stage asks of the server in one round trip: which changes, in which blocks. Pure but for what it remembers."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from connectors.sinks.contract import Outcome
from connectors.sinks.neo4j import guarded
from connectors.sinks.neo4j.columns import Columns
from connectors.sinks.neo4j.lines import written
from connectors.sinks.neo4j.plan import NOTHING, Change, Phase, Stage
from connectors.sinks.neo4j.rows import (
    deleted_by,
    ends_of,
    foreign_name,
    gone_node_row,
    gone_relation_row,
    ids_of,
    locked_in_order,
    node_of,
    versions_of,
)
from connectors.sinks.neo4j.statements import GUARD_NAMES
from schemas.writes import GraphWrite

BLOCKS_AT_ONCE = 4  # of a statement: compiling one takes longer the more it has, and it is done once more with each
MOST_BLOCKS = 64  # that are remembered
ROWS_AT_ONCE = 500  # the server works on them while the next are made: most of the client's time goes into their bytes


class Block(NamedTuple):
    """What one block of a statement does: phase, label or type, labels of the ends, source of an upsert.

    Sorted as all workers take their locks.
    """

    phase: Phase
    kind: str
    ends: tuple[str, ...] = ()
    source: str = ""


class Asked(Struct):
    """The changes of a block, how the row of each is made, and those that have to be taken with care anyway."""

    changes: list[Change]
    row: Callable[[int], list[Any]]
    careful: list[Change]


class Piece(NamedTuple):
    """Rows of a block that go to the server together, by the places of their changes."""

    block: Block
    places: range


def pieces(blocks: Sequence[Block], wanted: Mapping[Block, Asked], rows: int = ROWS_AT_ONCE) -> Iterator[list[Piece]]:
    """Yield what goes into a statement at a time, so many rows: all of a block before those of the next one."""
    together: list[Piece] = []
    room = rows
    for block in blocks:
        start, count = 0, len(wanted[block].changes) if block in wanted else 0
        while start < count:
            stop = min(count, start + room)
            together.append(Piece(block, range(start, stop)))
            start, room = stop, room - (stop - start)
            if not room:
                yield together
                together, room = [], rows
    if together:
        yield together


def parameters_of(together: Sequence[Piece], blocks: Sequence[Block], asked: Mapping[Block, Asked]) -> dict[str, Any]:
    """Return what a statement of blocks is given for these pieces."""
    rows = {piece.block: [asked[piece.block].row(place) for place in piece.places] for piece in together}
    return {"blocks": [[block.source, rows.get(block, [])] for block in blocks], **GUARD_NAMES}


def ended(piece: Piece, changes: Sequence[Change], told: Sequence[Any]) -> tuple[dict[int, Outcome], list[Change]]:
    """Return the outcomes of what a block has done with its piece, by what it told, and what it has left."""
    outcomes: dict[int, Outcome] = {}
    left: list[Change] = []
    if piece.block.phase in {Phase.RELATION_GONE, Phase.NODE_GONE}:
        positions = set(told)
        for place in piece.places:
            if place in positions:
                left.append(changes[place])
            else:
                outcomes.update(changes[place].outcomes(NOTHING))
        return outcomes, left
    noted = {place: rest for place, *rest in told}
    for place in piece.places:
        change = changes[place]
        fresh, alone, before = noted.get(place, (True, True, NOTHING))
        if fresh or (alone and before >= change.write.version):
            outcomes.update(change.outcomes(before))
        else:
            left.append(change)
    return outcomes, left


def block_of(phase: Phase, write: GraphWrite) -> Block:
    """Return the block that a write of a phase goes into."""
    match phase:
        case Phase.NODE:
            return Block(phase, node_of(write).label, (), write.source)
        case Phase.RELATION:
            start, end = ends_of(write)
            return Block(phase, write.relation or "", (start.label, end.label), write.source)
        case Phase.RELATION_GONE:
            return Block(phase, write.relation or "", () if write.start is None else (write.start.label,))
        case _:
            return Block(phase, node_of(write).label)


class Blocks:
    """Remembers which blocks and properties there are, so that the texts stay the same from batch to batch.

    The server compiles each text once, for some tenths of a second; a block without rows costs it next to nothing.
    """

    def __init__(self) -> None:
        self._columns = Columns()
        self._known: list[list[Block]] = []

    def asked(self, stage: Stage) -> dict[Block, Asked]:
        """Return what a stage asks, sorted as locks are taken."""
        found: dict[Block, Asked] = {}
        for phase in (Phase.NODE, Phase.RELATION):
            for block, changes in _blocks(phase, stage):
                found[block] = self._upserts(block, changes)
        upserts = {change.write.entity: change for asked in found.values() for change in asked.changes}
        careful = {change.write.entity for asked in found.values() for change in asked.careful}
        for phase in (Phase.RELATION_GONE, Phase.NODE_GONE):
            for block, changes in _blocks(phase, stage):
                found[block] = _deletes(block, changes, upserts, careful)
        return found

    def statements(self, wanted: Mapping[Block, Asked]) -> Iterator[tuple[str, list[Block]]]:
        """Yield statements that have all blocks with rows, each with its blocks in their places.

        Which of two statements goes first makes no difference to what is there afterwards: a delete that may not
        overtake an upsert is not in its rows, and what finds its node gone is left.
        """
        needed = {block for block, asked in wanted.items() if asked.changes}
        self._learn(needed)
        for blocks in self._known:
            if not needed.isdisjoint(blocks):
                yield guarded.combined([self._text(place, block) for place, block in enumerate(blocks)]), blocks

    def _learn(self, needed: set[Block]) -> None:
        fresh = sorted(needed.difference(*self._known))
        if sum(map(len, self._known)) + len(fresh) > MOST_BLOCKS:
            fresh, self._known = sorted(needed), []
        for block in fresh:
            if self._known and len(self._known[-1]) < BLOCKS_AT_ONCE:
                self._known[-1] = sorted([*self._known[-1], block])
            else:
                self._known.append([block])

    def _text(self, place: int, block: Block) -> str:
        match block:
            case (Phase.NODE, label, _, _):
                return guarded.upsert_nodes(place, label, self._columns.of(label))
            case (Phase.RELATION, kind, (start, end), _):
                return guarded.upsert_relations(place, kind, (start, end), self._columns.of(kind, relation=True))
            case (Phase.RELATION_GONE, kind, ends, _):
                return guarded.delete_relations(place, kind, ends[0] if ends else None)
            case (_, label, _, _):
                return guarded.delete_nodes(place, label)

    def _upserts(self, block: Block, changes: list[Change]) -> Asked:
        nodes = block.phase is Phase.NODE
        quick, careful = self._columns.divided(block.kind, changes, relation=not nodes)
        names = _names_of_node if nodes else _names_of_relation
        quick.sort(key=lambda item: node_of(item[0].write).id if nodes else locked_in_order(item[0].write))

        def row(place: int) -> list[Any]:
            change, values = quick[place]
            return [place, *versions_of(change), *names(change.write), *values]

        return Asked([change for change, _ in quick], row, careful)


def _names_of_node(write: GraphWrite) -> tuple[str | None, str]:
    return foreign_name(write), node_of(write).id


def _names_of_relation(write: GraphWrite) -> tuple[str, str, str]:
    return (write.entity, *ids_of(write))


def _blocks(phase: Phase, stage: Stage) -> list[tuple[Block, list[Change]]]:
    """Return the changes of a phase by block, sorted as locks are taken."""
    alike: defaultdict[tuple[str | None, ...], list[Change]] = defaultdict(list)  # cheaper to tell apart than blocks
    for change in stage.phases.get(phase, ()):
        alike[_kind(change.write)].append(change)
    found: defaultdict[Block, list[Change]] = defaultdict(list)
    for changes in alike.values():
        found[block_of(phase, changes[0].write)] += changes
    return sorted(found.items(), key=lambda item: item[0])


def _kind(write: GraphWrite) -> tuple[str | None, ...]:
    """Return what writes of one phase have to share to be of one block."""
    if write.node is not None:
        return write.node.label, write.source
    start, end = write.start, write.end
    return write.relation, start and start.label, end and end.label, write.source


def _deletes(
    block: Block, changes: Sequence[Change], upserts: Mapping[str, Change], careful_ones: Collection[str]
) -> Asked:
    """Return what a block of deletes asks.

    What is upserted with care comes after all blocks. A delete that would take something else with it then, which the
    upsert before it keeps it from, waits for that: its upsert may be newer, or of another source.
    """
    nodes = block.phase is Phase.NODE_GONE
    told = gone_node_row if nodes else gone_relation_row
    quick: list[Change] = []
    careful: list[Change] = []
    for change in changes:
        write, before = change.write, upserts.get(change.write.entity)
        apart = write.entity in careful_ones or (nodes and (write.keep_relations or foreign_name(write) is not None))
        late = before is not None and (before.write.version >= write.version or before.write.source != write.source)
        (careful if apart or late else quick).append(change)
    quick.sort(key=lambda change: (told(change.write)[1] or "", change.write.entity))

    def row(place: int) -> list[Any]:
        write = quick[place].write
        return [place, *told(write), write.replaces, write.source, *written(deleted_by(write))]

    return Asked(quick, row, careful)
