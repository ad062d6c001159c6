# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The work of one transaction: a plan, stage by stage.

Nearly all writes are of what is new or has one version line: one statement for all of a stage compares and writes them,
and tells what it leaves alone. That is taken with care: read under locks, decided here, written.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import neo4j

from connectors.sinks.contract import SUPERSEDED, Outcome, Rejected
from connectors.sinks.neo4j import statements
from connectors.sinks.neo4j.asked import Asked, Block, Blocks, Piece, ended, parameters_of, pieces
from connectors.sinks.neo4j.lines import Line, Lines, account, read, written
from connectors.sinks.neo4j.plan import NOTHING, Change, Phase, Stage
from connectors.sinks.neo4j.rows import (
    ends_of,
    entity_row,
    foreign_name,
    gone_relation_row,
    ids_of,
    lines_of,
    locked_in_order,
    named,
    node_key,
    node_of,
    node_row,
    own_name,
    relation_row,
)
from connectors.sinks.neo4j.values import properties
from schemas.writes import NodeRef


class Work:
    """Applies the stages of a batch within one transaction; what became of each write is in `outcomes`."""

    def __init__(self, transaction: neo4j.Transaction, blocks: Blocks, find: str) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._transaction = transaction
        self._blocks = blocks
        self._find = find

    def apply(self, stage: Stage) -> None:
        """Apply one stage. Labels, types and ids are sorted: two workers take their locks in one order."""
        asked = self._blocks.asked(stage)
        for statement, blocks in self._blocks.statements(asked):
            self._compare_and_write(statement, blocks, asked)
        for block, one in asked.items():
            if one.careful:
                self._apply_with_care(block, one.careful)
        self._delete_unnamed(stage.phases.get(Phase.UNNAMED_GONE, []))

    def _compare_and_write(self, statement: str, blocks: Sequence[Block], asked: Mapping[Block, Asked]) -> None:
        """Run a statement on all rows of its blocks, piece by piece; note the outcomes, and what is left."""
        running: tuple[list[Piece], neo4j.Result] | None = None
        for together in pieces(blocks, asked):
            parameters = parameters_of(together, blocks, asked)
            # The driver sends this and comes back once the server has begun with it, so is done with the one before.
            result = self._begin(statement, **parameters)
            if running is not None:
                self._note(*running, blocks, asked)
            running = together, result
        if running is not None:
            self._note(*running, blocks, asked)

    def _note(
        self, together: Sequence[Piece], result: neo4j.Result, blocks: Sequence[Block], asked: Mapping[Block, Asked]
    ) -> None:
        [told] = result.data()
        for piece in together:
            one = asked[piece.block]
            outcomes, left = ended(piece, one.changes, told[f"told{blocks.index(piece.block)}"])
            self.outcomes.update(outcomes)
            one.careful += left

    def _apply_with_care(self, block: Block, changes: list[Change]) -> None:
        match block:
            case Block(Phase.NODE, label):
                self._upsert_nodes(label, changes)
            case Block(Phase.RELATION, kind, (start, end)):
                self._upsert_relations((kind, start, end), changes)
            case Block(Phase.RELATION_GONE, kind, ends):
                self._delete_relations(kind, ends[0] if ends else None, changes)
            case Block(_, label):
                self._delete_nodes(label, changes)

    def _upsert_nodes(self, label: str, changes: list[Change]) -> None:
        careful = sorted(changes, key=lambda change: node_of(change.write).id)
        rows = []
        bare: list[str] = []
        for change, found in self._read(statements.read_nodes(label), careful, node_row):
            write, node = change.write, node_of(change.write)
            owner = found["entity"] or (own_name(node) if found["version"] is not None else None)
            if owner not in {None, write.entity}:
                self._settle(change, Rejected(f"`node` ({node.label} {node.id}) belongs to another entity already"))
                continue
            lines = lines_of(found)
            if not self._decide(change, lines):
                if owner is None:
                    bare.append(node.id)
                continue
            lines[write.source] = Line(write.version, deleted=False)
            carried_properties = {
                **properties(write), "id": node.id, "_entity": foreign_name(write), **account(lines, write.source)
            }  # fmt: skip
            rows.append(
                {"id": node.id, "node": node_key(node), "properties": carried_properties, "entity": write.entity}
            )
        if rows:
            self._run(statements.write_nodes(label), rows=rows)
            self._run(statements.DIG_UP, entities=[row["entity"] for row in rows])
        if bare:
            self._remove_bare(label, bare)

    def _upsert_relations(self, group: tuple[str, str, str], changes: list[Change]) -> None:
        careful = sorted(changes, key=lambda change: locked_in_order(change.write))
        rows = []
        refused: list[dict[str, Any]] = []
        replaced: list[str] = []
        bare: defaultdict[str, set[str]] = defaultdict(set)
        found_all = self._read(statements.read_relations(*group), careful, relation_row)
        gone = self._gone(node for change in careful for node in ends_of(change.write))
        for change, found in found_all:
            write, lines = change.write, lines_of(found)
            if not self._decide(change, lines):
                for node in ends_of(write):
                    bare[node.label].add(node.id)
                continue
            if found["version"] is not None:
                replaced.append(write.entity)
            if not gone.isdisjoint(map(node_key, ends_of(write))):
                self._settle(change, SUPERSEDED)
                lines[write.source] = Line(write.version, deleted=True)
                refused.append({"entity": write.entity, "lines": written(lines), "node": None})
                for node in ends_of(write):
                    bare[node.label].add(node.id)
                continue
            lines[write.source] = Line(write.version, deleted=False)
            start, end = ids_of(write)
            carried_properties = {**properties(write), "_entity": write.entity, **account(lines, write.source)}
            rows.append({"start": start, "end": end, "properties": carried_properties})
        if replaced:
            self._run(statements.delete_relations(group[0]), entities=replaced)
        if rows:
            self._run(statements.write_relations(*group), rows=rows)
            self._run(statements.DIG_UP, entities=[row["properties"]["_entity"] for row in rows])
        if refused:
            self._run(statements.BURY, rows=refused)
        for label in sorted(bare):
            self._remove_bare(label, sorted(bare[label]))

    def _delete_relations(self, kind: str, start: str | None, changes: list[Change]) -> None:
        buried: list[dict[str, Any]] = []
        statement = statements.read_relations_to_delete(kind, start)
        for change, found in self._read(statement, changes, gone_relation_row):
            lines = lines_of(found)
            if self._decide(change, lines):
                write = change.write
                lines[write.source] = Line(write.version, deleted=True)
                buried.append({"entity": write.entity, "lines": written(lines), "node": None})
        if buried:
            self._run(statements.delete_relations(kind), entities=[row["entity"] for row in buried])
            self._run(statements.BURY, rows=buried)

    def _delete_nodes(self, label: str, changes: list[Change]) -> None:
        careful = sorted(changes, key=lambda change: node_of(change.write).id)
        buried: list[dict[str, Any]] = []
        going: list[NodeRef] = []
        unwritten: list[str] = []
        bare: list[str] = []
        for change, found in self._read(statements.read_nodes(label), careful, node_row):
            write, node = change.write, node_of(change.write)
            owner = found["entity"] or (own_name(node) if found["version"] is not None else None)
            own = owner in {None, write.entity}
            lines = lines_of(found) if own else read(found["buried"])
            if not self._decide(change, lines):
                bare.append(node.id)
                continue
            lines[write.source] = Line(write.version, deleted=True)
            goes = own and not write.keep_relations
            buried.append({"entity": write.entity, "lines": written(lines), "node": node_key(node) if goes else None})
            if goes:
                going.append(node)
            elif own:
                unwritten.append(node.id)
        if going:
            ids = [node.id for node in going]
            self._run(statements.bury_relations_of(label), ids=ids)
            self._run(statements.delete_nodes(label), ids=ids)
            self._run(statements.NOTE_GONE, rows=[[own_name(node), node_key(node)] for node in going])
        if unwritten:
            self._run(statements.bare_nodes(label), ids=unwritten)
            bare += unwritten
        if buried:
            self._run(statements.BURY, rows=buried)
        if bare:
            self._remove_bare(label, bare)

    def _delete_unnamed(self, changes: list[Change]) -> None:
        """Delete entities that are named alone: look for each in the whole graph, then delete what was found."""
        if not changes:
            return
        found = {
            row["entity"]: row
            for row in self._run(self._find, entities=[change.write.entity for change in changes])
            if row["buried"] is None
        }
        unknown: list[Change] = []
        for change in changes:
            row = found.get(change.write.entity)
            if row is None:
                unknown.append(change)
            elif row["relation"] is not None:
                self._delete_relations(row["relation"], None, [change])
            else:
                node = NodeRef(row["label"], row["id"])
                change.write = named(change.write, node)
                self._delete_nodes(node.label, [change])
        buried: list[dict[str, Any]] = []
        for change, row in self._read(statements.READ_GRAVES, unknown, entity_row):
            lines = read(row["buried"])
            if self._decide(change, lines):
                lines[change.write.source] = Line(change.write.version, deleted=True)
                buried.append({"entity": change.write.entity, "lines": written(lines), "node": None})
        if buried:
            self._run(statements.BURY, rows=buried)

    def _remove_bare(self, label: str, ids: Sequence[str]) -> None:
        self._run(statements.remove_bare_nodes(label), ids=ids, **statements.GUARD_NAMES)

    def _gone(self, nodes: Iterable[NodeRef]) -> set[str]:
        """Return the keys of those of these nodes that have tombstones."""
        keys = sorted({node_key(node) for node in nodes})
        return {row["node"] for row in self._run(statements.GONE, nodes=keys)}

    def _read(self, statement: str, changes: Sequence[Change], row: Any) -> list[tuple[Change, dict[str, Any]]]:
        if not changes:
            return []
        rows = [[place, *row(change.write)] for place, change in enumerate(changes)]
        found = self._run(statement, rows=rows, **statements.GUARD_NAMES)
        return [(changes[one["position"]], one) for one in sorted(found, key=lambda one: one["position"])]

    def _decide(self, change: Change, lines: Lines) -> bool:
        """Note the outcomes of a change; return whether it takes the place of its line."""
        before = lines[change.write.source].version if change.write.source in lines else NOTHING
        self.outcomes.update(change.outcomes(before))
        return before <= change.write.replaces

    def _settle(self, change: Change, outcome: Outcome) -> None:
        self.outcomes.update((index, outcome) for index in change.indices)

    def _run(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        return self._begin(statement, **parameters).data()

    def _begin(self, statement: str, **parameters: Any) -> neo4j.Result:
        planned_once = f"{statements.PLANNED_ONCE}{statement}"
        return self._transaction.run(planned_once, parameters)  # pyright: ignore[reportArgumentType] - no literal
