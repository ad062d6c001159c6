"""What several sources say about one entity, settled by what the store holds of each. Pure.

Only needed once a second source has written to the index. Each source keeps its own version line; of what they say, the
last to arrive is visible, and a delete by one of them hides what the others said.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from connectors.sinks.contract import SUPERSEDED, Outcome
from connectors.sinks.elasticsearch.documents import DELETED, REPLACED, document_id, hidden
from schemas.writes import SearchWrite

State = Literal["deleted", "replaced"] | None
Key = tuple[str, str]  # entity, source


class Known(NamedTuple):
    """What the store holds of one source's word: `state` is None when readers see it.

    `number` is the `_version` of its document, which is the version of the write unless another client changed it.
    """

    version: int
    state: State
    number: int
    document: Mapping[str, Any] = {}  # where it was asked for


class Ready(NamedTuple):
    """A write with its document."""

    position: int
    write: SearchWrite
    body: bytes


class Operation(Struct, gc=False):
    """A document to be indexed, and the writes whose outcome it decides."""

    document: str
    version: int
    kind: Literal["external", "external_gte"]
    body: bytes
    indices: list[int]
    entity: str


class Settled(NamedTuple):
    """What is to be hidden first, what is to be written then, and the outcomes that are known already."""

    hides: list[Operation]
    writes: list[Operation]
    outcomes: dict[int, Outcome]


class _Line(Struct, gc=False):
    known: Known
    body: bytes = b""
    indices: list[int] = []
    moved: bool = False  # has certainly another version than the store


def settle(batch: Iterable[Ready], held: Mapping[Key, Known]) -> Settled:
    """Return what a batch does to the store, given what it holds of all sources of the batch's entities."""
    lines: dict[str, dict[str, _Line]] = {}
    for (entity, source), known in held.items():
        lines.setdefault(entity, {})[source] = _Line(known)
    changed: dict[Key, _Line] = {}
    outcomes: dict[int, Outcome] = {}
    for index, write, body in batch:
        of_entity = lines.setdefault(write.entity, {})
        line = of_entity.get(write.source)
        if line is not None and line.known.version > write.replaces:
            outcomes[index] = SUPERSEDED
            continue
        for source, other in of_entity.items():
            if source != write.source and other.known.state is None:
                other.known = other.known._replace(state=REPLACED)
                changed[write.entity, source] = other
        indices = [*line.indices, index] if line is not None else [index]
        known = Known(write.version, DELETED if write.op == "delete" else None, write.version)
        of_entity[write.source] = changed[write.entity, write.source] = _Line(known, body, indices, not write.repair)
    operations = [(line.known.state == REPLACED, _operation(key, line)) for key, line in changed.items()]
    return Settled(
        [operation for hide, operation in operations if hide],
        [operation for hide, operation in operations if not hide],
        outcomes,
    )


def _operation(key: Key, line: _Line) -> Operation:
    entity, source = key
    return Operation(
        document=document_id(entity, source),
        version=line.known.number,
        kind="external" if line.moved else "external_gte",
        body=hidden(entity, source, line.known.version) if line.known.state == REPLACED else line.body,
        indices=line.indices,
        entity=entity,
    )
