"""Two readers of the same changes, compared event by event and field by field. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import Struct

CONTEXT = "__debezium.context."  # Debezium's headers about itself: which task, which run
CLOCK = ("ts_ms", "ts_us", "ts_ns")  # of the envelope: when somebody processed the change
_MISSING = "(no such field)"


class Record(NamedTuple):
    """One Kafka record; key and value are JSON texts, header values as they are on the wire."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Event(Struct):
    """A change as one reader told it. `tombstones`: how many records with its key and no value follow it."""

    topic: str
    key: Any
    value: dict[str, Any]
    headers: dict[str, Any]
    tombstones: int = 0

    @property
    def in_snapshot(self) -> bool:
        """Whether it was read from a table."""
        return self.value["source"]["snapshot"] not in ("false", False)


class Different(NamedTuple):
    """One field that the two tell differently. `ours` or `theirs` is "(no such field)" where one has none."""

    table: str
    op: str
    field: str
    ours: Any
    theirs: Any
    context: str


def events(records: Iterable[Record]) -> list[Event]:
    """Return the changes of one partition of each topic, in their order.

    A tombstone is counted with the delete before it.
    """
    found: list[Event] = []
    last: dict[str, Event] = {}
    for record in records:
        key = None if record.key is None else msgspec.json.decode(record.key)
        if record.value is None:
            last[record.topic].tombstones += 1
            continue
        headers = {name: msgspec.json.decode(value) for name, value in record.headers if not name.startswith(CONTEXT)}
        event = last[record.topic] = Event(record.topic, key, msgspec.json.decode(record.value), headers)
        found.append(event)
    return found


def compare(ours: Sequence[Event], theirs: Sequence[Event]) -> list[Different]:
    """Return every field in which two readers differ.

    Changes of the stream belong together by topic and LSN (the two halves of a change of the key have the same one, and
    may lie in two partitions); rows of the snapshot by topic and first column.
    """
    found: list[Different] = []
    for in_snapshot in (True, False):
        mine, other = ([event for event in side if event.in_snapshot is in_snapshot] for side in (ours, theirs))
        groups, others = _grouped(mine), _grouped(other)
        for group in dict.fromkeys([*groups, *others]):
            found += _group(groups.get(group, []), others.get(group, []))
    return found


def _grouped(side: Iterable[Event]) -> Mapping[tuple[str, str], list[Event]]:
    groups: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in side:
        place = next(iter(event.value["after"].values())) if event.in_snapshot else event.value["source"]["lsn"]
        groups[event.topic, msgspec.json.encode(place, order="sorted").decode()].append(event)
    for group in groups.values():
        group.sort(key=_rank)
    return groups


def _rank(event: Event) -> tuple[bool, bytes]:
    """Deletes first; rows of a snapshot by what they hold, because no order of them is promised."""
    row = msgspec.json.encode(list(event.value["after"].values())) if event.in_snapshot else b""
    return event.value["op"] != "d", row


def _group(ours: Sequence[Event], theirs: Sequence[Event]) -> Iterator[Different]:
    for event in ours[len(theirs) :]:
        yield _different(event, "event", event.value, _MISSING)
    for event in theirs[len(ours) :]:
        yield _different(event, "event", _MISSING, event.value)
    for mine, other in zip(ours, theirs, strict=False):
        yield from _fields(mine, other)


def _fields(mine: Event, other: Event) -> Iterator[Different]:
    for field, ours, theirs in (
        ("key", mine.key, other.key),
        ("headers", mine.headers, other.headers),
        ("tombstones", mine.tombstones, other.tombstones),
        ("members", list(mine.value), list(other.value)),
    ):
        if not same(ours, theirs):
            yield _different(mine, field, ours, theirs)
    for member in dict.fromkeys([*mine.value, *other.value]):
        if member not in CLOCK:
            yield from _member(mine, member, mine.value.get(member, _MISSING), other.value.get(member, _MISSING))


def _member(event: Event, member: str, ours: Any, theirs: Any) -> Iterator[Different]:
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        if not same(ours, theirs):
            yield _different(event, member, ours, theirs)
        return
    mine, other = cast("dict[str, Any]", ours), cast("dict[str, Any]", theirs)
    if [name for name in mine if name in other] != [name for name in other if name in mine]:
        yield _different(event, f"{member} (order)", list(mine), list(other))
    for name in dict.fromkeys([*mine, *other]):
        if not same(mine.get(name, _MISSING), other.get(name, _MISSING)):
            yield _different(event, f"{member}.{name}", mine.get(name, _MISSING), other.get(name, _MISSING))


def same(ours: Any, theirs: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are not, 1e-30 and 1.0E-30 are."""
    return msgspec.json.encode(ours, order="sorted") == msgspec.json.encode(theirs, order="sorted")


def _different(event: Event, field: str, ours: Any, theirs: Any) -> Different:
    source = event.value["source"]
    op = event.value["op"]
    return Different(source["table"], op, field, ours, theirs, f"key {event.key}, lsn {source['lsn']}")
