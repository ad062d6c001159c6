"""Two readers of the same changes, compared event by event and field by field. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import msgspec

from bench.cdc.events import Event

CLOCK = ("ts_ms", "ts_us", "ts_ns")  # of the envelope: when somebody processed the change
MISSING = "(no such field)"


class Different(NamedTuple):
    """One field that the two tell differently. `ours` or `theirs` is MISSING where one has none."""

    table: str
    op: str
    field: str
    ours: Any
    theirs: Any
    context: str


def compare(ours: Sequence[Event], theirs: Sequence[Event]) -> list[Different]:
    """Return every field in which two readers differ.

    Changes of the stream belong together by topic and LSN (the two halves of a change of the key have the same one, and
    may lie in two partitions); rows of a snapshot by topic and first column, transactions by their number, messages of
    an outbox by their id.
    """
    found: list[Different] = []
    groups, others = _grouped(ours), _grouped(theirs)
    for group in dict.fromkeys([*groups, *others]):
        found += _group(groups.get(group, []), others.get(group, []))
    return found


def _grouped(side: Iterable[Event]) -> Mapping[tuple[str, str, bytes], list[Event]]:
    groups: dict[tuple[str, str, bytes], list[Event]] = defaultdict(list)
    for event in side:
        groups[event.kind, event.topic, msgspec.json.encode(event.place, order="sorted")].append(event)
    for group in groups.values():
        group.sort(key=_rank)
    return groups


def _rank(event: Event) -> tuple[bool, bytes, bytes]:
    """Deletes first; rows of a snapshot by what they hold, because no order of them is promised.

    Of rows that hold the same, which a table without a key may have, the one that is marked as the first may lie in
    any partition.
    """
    if event.kind not in ("snapshot", "incremental"):
        return event.op != "d", b"", b""
    source, row = event.value["source"], list(event.value["after"].values())
    return event.op != "d", msgspec.json.encode(row), msgspec.json.encode(source["snapshot"])


def _group(ours: Sequence[Event], theirs: Sequence[Event]) -> Iterator[Different]:
    for event in ours[len(theirs) :]:
        yield _different(event, "event", event.value, MISSING)
    for event in theirs[len(ours) :]:
        yield _different(event, "event", MISSING, event.value)
    for mine, other in zip(ours, theirs, strict=False):
        yield from _fields(mine, other)


def _fields(mine: Event, other: Event) -> Iterator[Different]:
    for field, ours, theirs in (
        ("key", mine.key, other.key),
        ("headers", mine.headers, other.headers),
        ("tombstones", mine.tombstones, other.tombstones),
    ):
        if not same(ours, theirs):
            yield _different(mine, field, ours, theirs)
    for what, schema, peer in (
        ("key", mine.key_schema, other.key_schema),
        ("value", mine.value_schema, other.value_schema),
    ):
        for field, ours, theirs in _schemas(schema, peer):
            yield _different(mine, f"schema {what}{field}", ours, theirs)
    if mine.kind == "outbox" or other.kind == "outbox":
        if not same(mine.value, other.value):
            yield _different(mine, "value", mine.value, other.value)
        return
    if list(mine.value) != list(other.value):
        yield _different(mine, "members", list(mine.value), list(other.value))
    for member in dict.fromkeys([*mine.value, *other.value]):
        if member not in CLOCK or mine.kind == "transaction":
            yield from _member(mine, member, mine.value.get(member, MISSING), other.value.get(member, MISSING))


def _member(event: Event, member: str, ours: Any, theirs: Any) -> Iterator[Different]:
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        if not same(ours, theirs):
            yield _different(event, member, ours, theirs)
        return
    mine, other = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
    if [name for name in mine if name in other] != [name for name in other if name in mine]:
        yield _different(event, f"{member} (order)", list(mine), list(other))
    for name in dict.fromkeys([*mine, *other]):
        if not same(mine.get(name, MISSING), other.get(name, MISSING)):
            yield _different(event, f"{member}.{name}", mine.get(name, MISSING), other.get(name, MISSING))


@cache
def _schemas(ours: bytes, theirs: bytes) -> list[tuple[str, Any, Any]]:
    """Return the fields of two schemas that differ: their place, and what each has there."""
    if ours == theirs or not ours or not theirs:
        return [] if ours == theirs else [("", ours.decode() or MISSING, theirs.decode() or MISSING)]
    return list(_nodes("", msgspec.json.decode(ours), msgspec.json.decode(theirs)))


def _nodes(place: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    mine, other = ({key: value for key, value in node.items() if key != "fields"} for node in (ours, theirs))
    if list(mine.items()) != list(other.items()):  # the order of the members counts too
        yield place, mine, other
    fields, others = ({field["field"]: field for field in node.get("fields", ())} for node in (ours, theirs))
    if [name for name in fields if name in others] != [name for name in others if name in fields]:
        yield f"{place} (order)", list(fields), list(others)
    for name in dict.fromkeys([*fields, *others]):
        if name not in fields or name not in others:
            yield f"{place}.{name}", fields.get(name, MISSING), others.get(name, MISSING)
        else:
            yield from _nodes(f"{place}.{name}", fields[name], others[name])


def same(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are not, 1e-30 and 1.0E-30 are."""
    return msgspec.json.encode(ours, order="sorted") == msgspec.json.encode(theirs, order="sorted")


def _different(event: Event, field: str, ours: Any, theirs: Any) -> Different:
    return Different(event.table, event.op, field, ours, theirs, f"key {event.key}, at {event.place}")
