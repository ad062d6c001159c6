"""Writes of the graph, as short as tests like them."""

from datetime import UTC, datetime
from typing import Any

from schemas.writes import GraphWrite, NodeRef

ANNA, BEN = NodeRef("User", "anna"), NodeRef("User", "ben")


def write(entity: str, version: int = 1, **fields: Any) -> GraphWrite:
    """Return a write of the source `s`, unless another one is given."""
    given: dict[str, Any] = {"source": "s", **fields}
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return GraphWrite(entity=entity, version=version, event_id="e", occurred_at=at, **given)


def node(ref: NodeRef, version: int = 1, **fields: Any) -> GraphWrite:
    """Return a write of a node."""
    return write(f"{ref.label.lower()}:{ref.id}", version, node=ref, **fields)


def friends(version: int = 1, **fields: Any) -> GraphWrite:
    """Return a write of the one relation, from Anna to Ben."""
    return write("f", version, relation="FRIEND", start=ANNA, end=BEN, **fields)
