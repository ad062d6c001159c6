# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The work of one transaction: a plan, stage by stage.

Nearly all upserts are of what is new or has one version line: one statement for each label or type compares and writes
them, and notes those it leaves alone. Whether something speaks against what it has made (a tombstone, or the same
relation with another end) is asked once for each statement. What is left is taken with care: read under locks, decided
here, written.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import neo4j

from connectors.sinks.contract import SUPERSEDED, Outcome, Rejected
from connectors.sinks.neo4j import statements
from connectors.sinks.neo4j.columns import Columns
from connectors.sinks.neo4j.lines import Line, Lines, account, carried, read, written
from connectors.sinks.neo4j.plan import NOTHING, Change, Phase, Stage
from connectors.sinks.neo4j.values import properties
from schemas.writes import GraphWrite, NodeRef

G = TypeVar("G", bound=Any)


class RelationGroup(NamedTuple):
    """Relations that one statement writes."""

    kind: str
    start: str
    end: str


def own_name(node: NodeRef) -> str:
    """Return the entity that a node need not carry, because it follows from label and id."""
    return f"{node.label.lower()}:{node.id}"


def node_key(node: NodeRef) -> str:
    """Return what a tombstone calls a node."""
    return f"{node.label}:{node.id}"


class Compared(NamedTuple):
    """What one of the two large statements did beside writing."""

    left: list[Change]  # for others to take with care
    made: bool  # whether any entity was new
    nodes_made: bool  # whether any node was
    twice: frozenset[str]  # relations that are there with another end, too


class Work:
    """Applies the stages of a batch within one transaction; what became of each write is in `outcomes`."""

    def __init__(self, transaction: neo4j.Transaction, columns: Columns, find: str) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._transaction = transaction
        self._columns = columns
        self._find = find

    def apply(self, stage: Stage) -> None:
        """Apply one stage. Labels, types and ids are sorted: two workers take their locks in one order."""
        phases = stage.phases
        for (label, source), changes in _grouped(phases.get(Phase.NODE), _node_group):
            self._upsert_nodes(label, source, changes)
        for (group, source), changes in _grouped(phases.get(Phase.RELATION), _relation_group):
            self._upsert_relations(group, source, changes)
        for (kind, start), changes in _grouped(phases.get(Phase.RELATION_GONE), _gone_relation_group):
            self._delete_relations(kind, start or None, changes)
        for label, changes in _grouped(phases.get(Phase.NODE_GONE), _label):
            self._delete_nodes(label, changes)
        self._delete_unnamed(phases.get(Phase.UNNAMED_GONE, []))

    def _upsert_nodes(self, label: str, source: str, changes: list[Change]) -> None:
        quick, careful = self._columns.divided(label, changes)
        quick.sort(key=lambda item: _node(item[0].write).id)
        names = self._columns.of(label)
        rows = [
            [place, *_versions(change), _foreign_name(change.write), _node(change.write).id, *values]
            for place, (change, values) in enumerate(quick)
        ]
        if rows:
            left, made, _, _ = self._compare_and_write(
                statements.upsert_nodes(label, names), rows, source, [change for change, _ in quick],
                known=["id", "_version", "_source", "_entity", *names],
            )  # fmt: skip
            if made:
                # The tombstone of a node has the node's own name, or one beside it has (`_delete_nodes`).
                foreign = [_node(change.write) for change, _ in quick if _foreign_name(change.write) is not None]
                buried, gone = self._graves([change.write.entity for change, _ in quick], foreign)
                back = [
                    change for change, _ in quick
                    if change.write.entity in buried or node_key(_node(change.write)) in gone
                ]  # fmt: skip
                if back:
                    ids = [_node(change.write).id for change in back]
                    self._run(statements.take_back_nodes(label), ids=ids)
                    left += back
            careful += left
        if careful:
            self._upsert_nodes_with_care(label, careful)

    def _upsert_nodes_with_care(self, label: str, changes: list[Change]) -> None:
        careful = sorted(changes, key=lambda change: _node(change.write).id)
        rows = []
        bare: list[str] = []
        for change, found in self._read(statements.read_nodes(label), careful, _node_row):
            write, node = change.write, _node(change.write)
            owner = found["entity"] or (own_name(node) if found["version"] is not None else None)
            if owner not in {None, write.entity}:
                self._settle(change, Rejected(f"`node` ({node.label} {node.id}) belongs to another entity already"))
                continue
            lines = _lines(found)
            if not self._decide(change, lines):
                if owner is None:
                    bare.append(node.id)
                continue
            lines[write.source] = Line(write.version, deleted=False)
            carried_properties = {
                **properties(write), "id": node.id, "_entity": _foreign_name(write), **account(lines, write.source)
            }  # fmt: skip
            rows.append(
                {"id": node.id, "node": node_key(node), "properties": carried_properties, "entity": write.entity}
            )
        if rows:
            self._run(statements.write_nodes(label), rows=rows)
            self._run(statements.DIG_UP, entities=[row["entity"] for row in rows])
        if bare:
            self._run(statements.remove_bare_nodes(label), ids=bare)

    def _upsert_relations(self, group: RelationGroup, source: str, changes: list[Change]) -> None:
        quick, careful = self._columns.divided(group.kind, changes, relation=True)
        quick.sort(key=lambda item: _locked_in_order(item[0].write))
        names = self._columns.of(group.kind, relation=True)
        rows = [
            [place, *_versions(change), change.write.entity, *_ids(change.write), *values]
            for place, (change, values) in enumerate(quick)
        ]
        if rows:
            compared = self._compare_and_write(
                statements.upsert_relations(*group, names), rows, source, [change for change, _ in quick],
                known=["_version", "_source", "_entity", *names],
            )  # fmt: skip
            if compared.made:
                careful += self._taken_back(group, [change for change, _ in quick], compared)
            careful += compared.left
        if careful:
            self._upsert_relations_with_care(group, careful)

    def _taken_back(self, group: RelationGroup, made: list[Change], compared: Compared) -> list[Change]:
        # A node with a tombstone is not there: what joins it has made it.
        ends = (node for change in made for node in _ends(change.write)) if compared.nodes_made else ()
        buried, gone = self._graves((change.write.entity for change in made), ends)
        wrong = buried | compared.twice
        if not wrong and not gone:
            return []
        back = [
            change for change in made
            if change.write.entity in wrong or not gone.isdisjoint(map(node_key, _ends(change.write)))
        ]  # fmt: skip
        if back:
            rows = [[change.write.entity, _ids(change.write)[1]] for change in back]
            self._run(statements.take_back_relations(group.kind, group.end), rows=rows)
        return back

    def _upsert_relations_with_care(self, group: RelationGroup, changes: list[Change]) -> None:
        careful = sorted(changes, key=lambda change: _locked_in_order(change.write))
        rows = []
        refused: list[dict[str, Any]] = []
        replaced: list[str] = []
        bare: defaultdict[str, set[str]] = defaultdict(set)
        found_all = self._read(statements.read_relations(*group), careful, _relation_row)
        _, gone = self._graves([], {node for change in careful for node in _ends(change.write)})
        for change, found in found_all:
            write, lines = change.write, _lines(found)
            if not self._decide(change, lines):
                for node in _ends(write):
                    bare[node.label].add(node.id)
                continue
            if found["version"] is not None:
                replaced.append(write.entity)
            if not gone.isdisjoint(map(node_key, _ends(write))):
                self._settle(change, SUPERSEDED)
                lines[write.source] = Line(write.version, deleted=True)
                refused.append({"entity": write.entity, "lines": written(lines), "node": None})
                for node in _ends(write):
                    bare[node.label].add(node.id)
                continue
            lines[write.source] = Line(write.version, deleted=False)
            start, end = _ids(write)
            carried_properties = {**properties(write), "_entity": write.entity, **account(lines, write.source)}
            rows.append({"start": start, "end": end, "properties": carried_properties})
        if replaced:
            self._run(statements.delete_relations(group.kind), entities=replaced)
        if rows:
            self._run(statements.write_relations(*group), rows=rows)
            self._run(statements.DIG_UP, entities=[row["properties"]["_entity"] for row in rows])
        if refused:
            self._run(statements.BURY, rows=refused)
        for label in sorted(bare):
            self._run(statements.remove_bare_nodes(label), ids=sorted(bare[label]))

    def _delete_relations(self, kind: str, start: str | None, changes: list[Change]) -> None:
        buried: list[dict[str, Any]] = []
        statement = statements.read_relations_to_delete(kind, start)
        for change, found in self._read(statement, changes, _gone_relation_row):
            lines = _lines(found)
            if self._decide(change, lines):
                write = change.write
                lines[write.source] = Line(write.version, deleted=True)
                buried.append({"entity": write.entity, "lines": written(lines), "node": None})
        if buried:
            self._run(statements.delete_relations(kind), entities=[row["entity"] for row in buried])
            self._run(statements.BURY, rows=buried)

    def _delete_nodes(self, label: str, changes: list[Change]) -> None:
        careful = sorted(changes, key=lambda change: _node(change.write).id)
        buried: list[dict[str, Any]] = []
        going: list[NodeRef] = []
        bare: list[str] = []
        for change, found in self._read(statements.read_nodes(label), careful, _node_row):
            write, node = change.write, _node(change.write)
            owner = found["entity"] or (own_name(node) if found["version"] is not None else None)
            own = owner in {None, write.entity}
            lines = _lines(found) if own else read(found["buried"])
            if not self._decide(change, lines):
                bare.append(node.id)
                continue
            lines[write.source] = Line(write.version, deleted=True)
            buried.append({"entity": write.entity, "lines": written(lines), "node": node_key(node) if own else None})
            if own:
                going.append(node)
        if going:
            ids = [node.id for node in going]
            self._run(statements.bury_relations_of(label), ids=ids)
            self._run(statements.delete_nodes(label), ids=ids)
            self._run(statements.NOTE_GONE, rows=[[own_name(node), node_key(node)] for node in going])
        if buried:
            self._run(statements.BURY, rows=buried)
        if bare:
            self._run(statements.remove_bare_nodes(label), ids=bare)

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
                change.write = _named(change.write, node)
                self._delete_nodes(node.label, [change])
        buried: list[dict[str, Any]] = []
        for change, row in self._read(statements.READ_GRAVES, unknown, _entity_row):
            lines = read(row["buried"])
            if self._decide(change, lines):
                lines[change.write.source] = Line(change.write.version, deleted=True)
                buried.append({"entity": change.write.entity, "lines": written(lines), "node": None})
        if buried:
            self._run(statements.BURY, rows=buried)

    def _compare_and_write(
        self, statement: str, rows: list[list[Any]], source: str, changes: Sequence[Change], known: list[str]
    ) -> Compared:
        """Run one of the two large statements."""
        parameters = {**statements.GUARD_NAMES, "rows": rows, "source": source, "names": known}
        result = self._transaction.run(statement, parameters)  # pyright: ignore[reportArgumentType] - no literal
        found = result.single(strict=True).data()
        nodes_made = result.consume().counters.nodes_created > 0
        noted: Mapping[int, Sequence[Any]] = {one[0]: one for one in found["noted"]}
        left: list[Change] = []
        for place, change in enumerate(changes):
            _, fresh, alone, before = noted.get(place, (place, True, True, NOTHING))
            if fresh or (alone and before >= change.write.version):
                self.outcomes.update(change.outcomes(before))
            else:
                left.append(change)
        return Compared(left, found["made"] > 0, nodes_made, frozenset(found.get("twice", ())))

    def _graves(self, entities: Iterable[str], nodes: Iterable[NodeRef]) -> tuple[set[str], set[str]]:
        """Return which of these entities, and of these nodes, have tombstones."""
        if not self._run(statements.ANY_GRAVE)[0]["any"]:
            return set(), set()
        names, keys = list(entities), list({node_key(node) for node in nodes})
        found = self._run(statements.GRAVES, entities=names, nodes=keys)
        wanted, places = set(names), set(keys)
        return {row["entity"] for row in found} & wanted, {row["node"] for row in found} & places

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
        return self._transaction.run(statement, parameters).data()  # pyright: ignore[reportArgumentType] - literal


def _grouped(changes: Sequence[Change] | None, group: Callable[[GraphWrite], G]) -> list[tuple[G, list[Change]]]:
    groups: defaultdict[G, list[Change]] = defaultdict(list)
    for change in changes or ():
        groups[group(change.write)].append(change)
    return sorted(groups.items(), key=lambda item: item[0])


def _node(write: GraphWrite) -> NodeRef:
    assert write.node is not None, "planned as a node"
    return write.node


def _ends(write: GraphWrite) -> tuple[NodeRef, NodeRef]:
    assert write.start is not None, "checked"
    assert write.end is not None, "checked"
    return write.start, write.end


def _ids(write: GraphWrite) -> tuple[str, str]:
    start, end = _ends(write)
    return start.id, end.id


def _locked_in_order(write: GraphWrite) -> tuple[str, str]:
    """Return the order of relations: by the end, since that is what two sinks share, whose keys are the starts."""
    start, end = _ids(write)
    return end, start


def _label(write: GraphWrite) -> str:
    return _node(write).label


def _node_group(write: GraphWrite) -> tuple[str, str]:
    return _label(write), write.source


def _relation_group(write: GraphWrite) -> tuple[RelationGroup, str]:
    start, end = _ends(write)
    return RelationGroup(write.relation or "", start.label, end.label), write.source


def _gone_relation_group(write: GraphWrite) -> tuple[str, str]:
    return write.relation or "", write.start.label if write.start is not None else ""


def _foreign_name(write: GraphWrite) -> str | None:
    return None if write.entity == own_name(_node(write)) else write.entity


def _versions(change: Change) -> tuple[int, int]:
    return change.write.version, min(change.versions)


def _node_row(write: GraphWrite) -> tuple[str, str]:
    return _node(write).id, write.entity


def _relation_row(write: GraphWrite) -> tuple[str, str, str]:
    return (write.entity, *_ids(write))


def _gone_relation_row(write: GraphWrite) -> tuple[str, str | None]:
    return write.entity, None if write.start is None else write.start.id


def _entity_row(write: GraphWrite) -> tuple[str]:
    return (write.entity,)


def _lines(found: Mapping[str, Any]) -> Lines:
    """Return the lines of an entity: those it carries, or those of its tombstone; it never has both."""
    return read(found["buried"]) | carried(found["source"], found["version"], found["lines"])


def _named(write: GraphWrite, node: NodeRef) -> GraphWrite:
    return msgspec.structs.replace(write, node=node)
