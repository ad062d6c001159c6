"""How changes are ordered, and what statements are told of them. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.sinks.neo4j.lines import Line, Lines, carried, read
from connectors.sinks.neo4j.plan import Change
from schemas.writes import GraphWrite, NodeRef

Row = tuple[str | None, ...]


def own_name(node: NodeRef) -> str:
    """Return the entity that a node need not carry, because it follows from label and id."""
    return f"{node.label.lower()}:{node.id}"


def node_key(node: NodeRef) -> str:
    """Return what a tombstone calls a node."""
    return f"{node.label}:{node.id}"


def node_of(write: GraphWrite) -> NodeRef:
    """Return the node of a write that was planned as one."""
    assert write.node is not None, "planned as a node"
    return write.node


def ends_of(write: GraphWrite) -> tuple[NodeRef, NodeRef]:
    """Return the start and the end of a relation that was checked."""
    assert write.start is not None, "checked"
    assert write.end is not None, "checked"
    return write.start, write.end


def ids_of(write: GraphWrite) -> tuple[str, str]:
    """Return the ids of start and end."""
    start, end = ends_of(write)
    return start.id, end.id


def locked_in_order(write: GraphWrite) -> tuple[str, str]:
    """Return the order of relations: by the end, since that is what two sinks share, whose keys are the starts."""
    start, end = ids_of(write)
    return end, start


def foreign_name(write: GraphWrite) -> str | None:
    """Return the entity of a node where that does not follow from label and id."""
    return None if write.entity == own_name(node_of(write)) else write.entity


def versions_of(change: Change) -> tuple[int, int]:
    """Return the version of a change and the oldest that it stands for."""
    return change.write.version, min(change.versions)


def node_row(write: GraphWrite) -> tuple[str, str]:
    """Return what `statements.read_nodes` is told."""
    return node_of(write).id, write.entity


def relation_row(write: GraphWrite) -> tuple[str, str, str]:
    """Return what `statements.read_relations` is told."""
    return (write.entity, *ids_of(write))


def gone_node_row(write: GraphWrite) -> tuple[str, str]:
    """Return what the block that deletes nodes is told of entity and node."""
    return write.entity, node_of(write).id


def gone_relation_row(write: GraphWrite) -> tuple[str, str | None]:
    """Return what `statements.read_relations_to_delete` is told."""
    return write.entity, None if write.start is None else write.start.id


def entity_row(write: GraphWrite) -> tuple[str]:
    """Return what `statements.READ_GRAVES` is told."""
    return (write.entity,)


def lines_of(found: Mapping[str, Any]) -> Lines:
    """Return the lines of an entity: those it carries, or those of its tombstone; it never has both."""
    return read(found["buried"]) | carried(found["source"], found["version"], found["lines"])


def named(write: GraphWrite, node: NodeRef) -> GraphWrite:
    """Return a write that names its node."""
    return msgspec.structs.replace(write, node=node)


def deleted_by(write: GraphWrite) -> Lines:
    """Return the lines of what a delete has removed that had no others."""
    return {write.source: Line(write.version, deleted=True)}
