"""docs/routing.md: which facts go where, from the rules themselves and from what they make of examples."""

import inspect
from collections.abc import Iterator, Sequence

import msgspec

from schemas.topics import Catalogue
from schemas.writes import (
    STORES,
    BaseWrite,
    CacheWrite,
    GraphWrite,
    RelationalWrite,
    StoreName,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
    Write,
    encode_write,
    key_of,
    store_of,
)
from streams.routing import examples
from streams.routing.changes import route_change
from streams.routing.entities import EVENTS, Cause, write_version
from streams.routing.meaning import Embedded
from streams.routing.table import TABLE, Rule

INTRODUCTION = """<!-- Written by `python -m streams.documents` from streams/routing. -->
# Routing

The right data in the right place: what follows from each event and from each row of Postgres. Every line of the tables
is a pure function of what happened, in `streams/routing/table.py` for events and `streams/routing/changes.py` for rows;
names, keys and writes below are what those functions make of the examples in `streams/routing/examples.py`.
"""

NAMES = """## How entities are named and keyed

A write is about one entity, `<kind>:<id>`, which is unique within its store. A colon within an id becomes `%3A` and a
percent sign `%25`, so that different ids never give one name.

- **Version.** Each write carries the version and the source of the fact it follows from: `{events}` and twice the
  event's `version`, or Debezium's `topic.prefix` and the LSN of the change. They are even; the odd ones are of what
  takes a write back ([decision 13](decisions/0013-undo-by-version.md)). A store takes a write only when its version is
  newer than what it holds for that entity from that source, so writes may be repeated and may arrive in any order.
- **Key.** The Kafka key is the entity. In the graph it is the node that the entity is or begins at, so that a node and
  its relations stay in order.
- **Topic.** `{topic}`, and `{urgent}` for what follows from urgent events.

| store | topic | example of an entity | its key |
|---|---|---|---|
"""


def routing_page() -> str:
    """Return the text of docs/routing.md."""
    shared = _shared()
    lines = [INTRODUCTION, "## Events", "", "| event | store | where | what | entity |", "|---|---|---|---|---|"]
    lines += [line for name, embedded in examples.events().items() for line in _event_lines(name, embedded, shared)]
    any_event = next(iter(examples.events().values()))
    lines += [_rule_line("every event", rule, any_event) for rule in shared]
    lines += ["", "## Rows of Postgres", "", *_rows(), "", NAMES.format(**_named()) + "\n".join(_keys())]
    lines += ["", "## Examples", "", "One write for each store, as it lies in Kafka.", "", *_examples()]
    return "\n".join(lines)


def writes_of(rule: Rule, embedded: Embedded) -> list[Write]:
    """Return what one rule makes of an event."""
    event = embedded.enriched.event
    version = write_version(event.version)
    cause = Cause(version=version, source=EVENTS, event_id=event.event_id, occurred_at=event.occurred_at)
    return list(rule(event, embedded, cause))


def _shared() -> list[Rule]:
    """Return the rules that all events have."""
    first, *others = TABLE.values()
    return [rule for rule in first if all(rule in rules for rules in others)]


def _event_lines(name: str, embedded: Embedded, shared: Sequence[Rule]) -> Iterator[str]:
    for rule in TABLE[type(embedded.enriched.event)]:
        if rule not in shared:
            yield _rule_line(f"`{name}`", rule, embedded)


def _rule_line(name: str, rule: Rule, embedded: Embedded) -> str:
    writes = writes_of(rule, embedded)
    entities = ", ".join(f"`{write.entity}`" for write in writes)
    what = (inspect.getdoc(rule) or "").partition("\n")[0]
    where = _where(writes[0]) + (", removed" if writes[0].op == "delete" else "")
    return f"| {name} | {store_of(writes[0])} | {where} | {what} | {entities} |"


def _rows() -> Iterator[str]:
    catalogue = Catalogue()
    reference = [f"`{topic.name}`" for topic in (catalogue.reference_places, catalogue.reference_users)]
    yield "A delete removes what the insert wrote, everywhere; the warehouse keeps history and gets one more row. Rows"
    yield "of other tables go to the warehouse only. What enrichment knows of places and travellers goes to"
    yield f"{' and '.join(reference)}. The vectors of places go to `{catalogue.reference_vectors.name}` as well,"
    yield "from which the relations SIMILAR_TO follow ([similar places](enrichment.md#similar-places))."
    yield ""
    yield "A row is written whole. An update that leaves a large value (TOAST) unsent, which the source no longer"
    yield "knows, is a dead letter that names the column: half a document would differ from the table, and nobody would"
    yield "see it. Replaying it does not help; the next update of the row that sends the value heals it, and with"
    yield "`ALTER TABLE ... REPLICA IDENTITY FULL` there are none ([cdc](cdc.md))."
    yield ""
    yield "| table | store | where | entity | after a delete |"
    yield "|---|---|---|---|---|"
    deletes = examples.deletes()
    for table, insert in examples.inserts().items():
        removed = {write.entity for write in route_change(deletes[table], None) if write.op == "delete"}
        for write in route_change(insert, examples.VECTOR if insert.listing else None):
            if write.op == "upsert":
                after = "removed" if write.entity in removed else "kept"
                yield f"| `{table}` | {store_of(write)} | {_where(write)} | `{write.entity}` | {after} |"


def _where(write: BaseWrite) -> str:  # noqa: PLR0911 - one line for each store
    match write:
        case VectorWrite():
            return f"namespace `{write.namespace}`"
        case GraphWrite(node=node) if node is not None:
            return f"node `{node.label}`"
        case GraphWrite(start=start, end=end):
            labels = [f"`{node.label}`" for node in (start, end) if node is not None]
            return f"`{write.relation}` from {' to '.join(labels)}"
        case TimeSeriesWrite():
            return f"measurement `{write.measurement}`"
        case RelationalWrite():
            return f"table `{write.table}`"
        case CacheWrite(ttl_seconds=ttl) if ttl is not None:
            return f"key, for {_duration(ttl)}"
        case WarehouseWrite():
            return f"dataset `{write.dataset}`"
        case _:
            return {"cache": "key", "objects": "object", "search": "document"}[store_of(write)]


def _duration(seconds: int) -> str:
    days = seconds // 86_400
    return f"{days} day{'s' if days != 1 else ''}"


def _samples() -> dict[StoreName, Write]:
    """Return the first upsert for each store that the examples give."""
    found: dict[StoreName, Write] = {}
    events = (
        write
        for one in examples.events().values()
        for rule in TABLE[type(one.enriched.event)]
        for write in writes_of(rule, one)
    )
    rows = (write for change in examples.inserts().values() for write in route_change(change, examples.VECTOR))
    for write in (*events, *rows):
        if write.op == "upsert":
            found.setdefault(store_of(write), write)
    return found


def _named() -> dict[str, str]:
    catalogue = Catalogue()
    store = STORES[0]
    named = catalogue.writes(store).name.replace(store, "<store>")
    return {
        "events": EVENTS,
        "topic": named,
        "urgent": catalogue.writes(store, "urgent").name.replace(store, "<store>"),
    }


def _keys() -> Iterator[str]:
    samples = _samples()
    for store in STORES:
        write = samples[store]
        yield f"| {store} | `{Catalogue().writes(store).name}` | `{write.entity}` | `{key_of(write)}` |"


def _examples() -> Iterator[str]:
    samples = _samples()
    for store in STORES:
        text = msgspec.json.format(encode_write(samples[store]), indent=2).decode()
        yield f"### {store}\n\n```json\n{text}\n```\n"
