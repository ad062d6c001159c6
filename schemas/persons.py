"""Which travellers a write is about, from what it says itself. Pure.

Every rule of routing names its traveller somewhere in what it writes; where, differs by store. A delete carries no
content: it is about whom the write was that it removes, unless its entity tells.
"""

from collections.abc import Mapping
from typing import Any

from schemas.writes import (
    BaseWrite,
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    RelationalWrite,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
)

USER_ID = "user_id"  # the field, tag, column or property that names a traveller
USER_LABEL = "User"  # of a traveller's node
OWN_LABELS = frozenset({"Photo"})  # of nodes that are a traveller's own, and go with them
TRAVELLER_TABLES = frozenset({"public.users"})  # captured tables whose rows are travellers


def persons_of(write: BaseWrite) -> frozenset[str]:
    """Return the ids of the travellers that a write is about; a friendship is about two."""
    sealed = frozenset[str]() if write.sealed is None else frozenset({write.sealed.user_id})
    return sealed | _said(write)


def _said(write: BaseWrite) -> frozenset[str]:
    match write:
        case GraphWrite():
            return _named(write.properties) | _nodes(write.node, write.start, write.end)
        case VectorWrite() | ObjectWrite():
            return _named(write.metadata)
        case TimeSeriesWrite():
            return _named(write.tags)
        case RelationalWrite():
            return _named(write.columns)
        case _:
            return _from_its_name(write)


def _from_its_name(write: BaseWrite) -> frozenset[str]:
    if isinstance(write, WarehouseWrite):
        return _row_of_history(write)
    return live_person(write.entity) if isinstance(write, CacheWrite) else frozenset()


def own_node(node: NodeRef, user: str) -> bool:
    """Whether a node at one of a traveller's relations is theirs alone: their own, or that of a thing of theirs."""
    return node.label in OWN_LABELS or (node.label == USER_LABEL and node.id == user)


def live_person(entity: str) -> frozenset[str]:
    """Return whom live state is about: its name ends with the traveller's id, as in "position:u-7"."""
    _, found, rest = entity.partition(":")
    return frozenset({rest.replace("%3A", ":").replace("%25", "%")}) if found else frozenset()


def _named(fields: Mapping[str, Any]) -> frozenset[str]:
    user = fields.get(USER_ID)
    return frozenset({user}) if isinstance(user, str) else frozenset()


def _nodes(*nodes: NodeRef | None) -> frozenset[str]:
    return frozenset(node.id for node in nodes if node is not None and node.label == USER_LABEL)


def _row_of_history(write: WarehouseWrite) -> frozenset[str]:
    if write.user_id is not None:
        return frozenset({write.user_id})
    if write.body.get("table") in TRAVELLER_TABLES:
        return frozenset({str(write.body.get("id"))})
    return frozenset()
