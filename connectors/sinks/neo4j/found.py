"""What the graph holds of entities, as rows of `statements.find` tell it. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from connectors.sinks.neo4j.lines import Lines, carried, read
from connectors.sinks.neo4j.values import OWN
from schemas.writes import NodeRef


class Found(Struct):
    """An entity: its lines, how often it lies in the graph, and the fields of a write that would store it."""

    lines: Lines = field(default_factory=dict[str, Any])
    copies: int = 0
    content: dict[str, Any] | None = None


def gathered(rows: Iterable[Mapping[str, Any]]) -> dict[str, Found]:
    """Return what rows say, by entity."""
    entities: dict[str, Found] = {}
    for row in rows:
        if row["buried"] is None and row["version"] is None:
            continue
        found = entities.setdefault(row["entity"], Found())
        if row["buried"] is not None:
            found.lines |= read(row["buried"])
            continue
        found.lines |= carried(row["source"], row["version"], row["lines"])
        found.copies += 1
        if "properties" in row:
            found.content = _content(row)
    return entities


def _content(row: Mapping[str, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in row["properties"].items() if name not in OWN}
    if row["ends"] is None:
        properties.pop("id")
        node = NodeRef(row["label"], row["id"])
        return {"node": node, "relation": None, "start": None, "end": None, "properties": properties}
    start, end = (NodeRef(label, identifier) for label, identifier in row["ends"])
    return {"node": None, "relation": row["relation"], "start": start, "end": end, "properties": properties}
