"""What a graph write may contain, said before the server is asked, so that the reason names the field.

Property types: https://neo4j.com/docs/cypher-manual/5/values-and-types/property-structural-constructed/
"""

import math
from functools import lru_cache
from typing import Any

from schemas.writes import GraphWrite, NodeRef

# Names the sink keeps its own account under; `_lock` is never stored, but removed to lock what it is removed from.
OWN = frozenset({"_entity", "_lines", "_lock", "_source", "_version"})
# A key of an index has at most 8,164 bytes, 3 of which are its type and length.
LONGEST_KEY = 8_000
LONGEST_NAME = 250
_INT8 = 2**63
_QUOTING = frozenset("`\\\0")


class Unfit(ValueError):  # noqa: N818 - says what the write is
    """A write that the graph cannot hold; the message names the field."""


def check(write: GraphWrite) -> None:
    """See that a write can be stored.

    Raises:
        Unfit: it never can.
    """
    _key("entity", write.entity)
    if not write.source.isascii():
        _text("source", write.source)
    if not 0 <= write.version < _INT8:
        raise Unfit(f"`version` does not fit into 64 bits: {write.version}")
    if write.node is not None:
        _ref("node.label", "node.id", write.node)
    if write.start is not None:
        _ref("start.label", "start.id", write.start)
    if write.end is not None:
        _ref("end.label", "end.id", write.end)
    if write.relation is not None:
        _name("relation", write.relation)
    if write.op == "delete":
        return
    if write.relation is None:
        if write.node is None:
            raise Unfit("needs either `node`, or `relation` with `start` and `end`")
    elif write.node is not None or write.start is None or write.end is None:
        raise Unfit("needs either `node`, or `relation` with `start` and `end`")
    _names(tuple(write.properties))
    if "id" in write.properties or not all(map(_is_plain, write.properties.values())):
        for name, value in write.properties.items():
            _property(name, value, write)


def properties(write: GraphWrite) -> dict[str, str | int | float | bool]:
    """Return the properties a node or relation is to have beside the sink's own; an empty one is none."""
    found = {name: value for name, value in write.properties.items() if value is not None}
    if write.node is not None:
        found.pop("id", None)
    return found


def _ref(label: str, key: str, ref: NodeRef) -> None:
    _name(label, ref.label)
    _key(key, ref.id)


def _is_plain(value: object) -> bool:
    """Whether a value can be stored, as nearly all can, told at once. Others may be fine, too."""
    if isinstance(value, str):
        return value.isascii()
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and -_INT8 <= value < _INT8)


@lru_cache(maxsize=4_096)
def _names(names: tuple[str, ...]) -> None:
    """See that properties may have these names: those of most writes are the same ones."""
    for name in names:
        _name("properties", name)
        if name in OWN:
            raise Unfit(f"`properties.{name}` is a name the store keeps for itself")


def _property(name: str, value: Any, write: GraphWrite) -> None:
    if name == "id" and write.node is not None and value not in {None, write.node.id}:
        raise Unfit("`properties.id` is another one than `node.id`")
    match value:
        case str():
            if not value.isascii():
                _text(f"properties.{name}", value)
        case float():
            if not math.isfinite(value):
                raise Unfit(f"`properties.{name}` is not a finite number: {value}")
        case None | bool():
            pass
        case int():
            if not -_INT8 <= value < _INT8:
                raise Unfit(f"`properties.{name}` does not fit into 64 bits")
        case _:
            raise Unfit(f"`properties.{name}` is neither text, number nor truth value")


@lru_cache(maxsize=4_096)
def _name(field: str, name: str) -> None:
    """Names stand in statements, where they cannot be parameters: what could end a quoted one is refused."""
    _text(field, name)
    if not 0 < len(name) <= LONGEST_NAME:
        raise Unfit(f"`{field}` has a name of {len(name)} characters, not 1 to {LONGEST_NAME}")
    if not _QUOTING.isdisjoint(name):
        raise Unfit(f"`{field}` has a name with a backtick, a backslash or NUL in it")


def _key(field: str, key: str) -> None:
    if not key.isascii():
        _text(field, key)
    if len(key) * 4 > LONGEST_KEY and len(key.encode()) > LONGEST_KEY:
        raise Unfit(f"`{field}` has more than {LONGEST_KEY:,} bytes, which no index can hold")


def _text(field: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unfit(f"`{field}` is not valid Unicode: {error.reason} at position {error.start}") from None
