"""Gather what is held about a person: in every store, and as events in Kafka, each with where it came from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, records_in
from connectors.keys import NotSealedHere
from connectors.keys.contents import Keys, opened_event
from connectors.sinks.content import stored
from connectors.sinks.contract import Held, Sink
from connectors.sinks.errors import SinkError
from connectors.sinks.persons import Attributing
from schemas.events import SealedEvent
from schemas.topics import Catalogue
from schemas.writes import STORES, BaseWrite, StoreName, Write
from streams.persons.holdings import Holding, by_store, entities_of
from streams.persons.provenance import ToldHoldings
from streams.settings.load import without_login

ASKED_AT_ONCE = 200
ERASED_EVENT = "erased"
_CARRIED = frozenset(BaseWrite.__struct_fields__)


class Item(Struct, frozen=True, kw_only=True):
    """One thing that a store holds about a person.

    Attributes:
        store: which one.
        entity: its name there.
        source: who told of it; an entity of two sources is there once for each.
        version: that the store holds.
        when: when that happened, where a write in Kafka or the store tells.
        event_id: which event it came from; the same.
        content: what the store holds now; None: it cannot tell.
    """

    store: StoreName
    entity: str
    source: str
    version: int
    when: datetime | None
    event_id: str | None
    content: dict[str, Any] | None


class EventItem(Struct, frozen=True, kw_only=True):
    """One record about a person that lies in a topic. Bytes that are no JSON are told as base64."""

    topic: str
    partition: int
    offset: int
    when: datetime
    content: Any


class Export(Struct, kw_only=True):
    """All that was found.

    Attributes:
        user: about whom.
        at: when it was asked.
        items: what the stores hold.
        events: records of the topics of events and of reference data.
        by_writes_only: stores that cannot be searched by a person: what they hold was found by writes in Kafka alone.
        failed: stores that could not be asked, and why. Their holdings are missing.
    """

    user: str
    at: datetime
    items: list[Item] = []
    events: list[EventItem] = []
    by_writes_only: list[StoreName] = []
    failed: dict[StoreName, str] = {}


def gather(holdings: ToldHoldings, make: Callable[[StoreName], Sink[Any]]) -> Export:
    """Ask every store for what it holds of a person.

    Args:
        holdings: what writes have told; what the stores find themselves is added.
        make: returns a new sink of a store, not open.
    """
    export = Export(user=holdings.user, at=datetime.now(UTC))
    for store in STORES:
        sink = make(store)
        try:
            sink.open()
            if isinstance(sink, Attributing):
                for found in cast("Attributing[Write]", sink).of_user(holdings.user):
                    holdings.add(found)
            else:
                export.by_writes_only.append(store)
            known = by_store(holdings.all()).get(store, [])
            for start in range(0, len(known), ASKED_AT_ONCE):
                export.items += _items(sink, known[start : start + ASKED_AT_ONCE], holdings)
        except SinkError as error:
            export.failed[store] = without_login(str(error))
        finally:
            sink.close()
    return export


def events_of(connection: Connection, catalogue: Catalogue, user: str) -> Iterator[EventItem]:
    """Yield the records about a person in the topics that are keyed by persons.

    Raises:
        KafkaException: the brokers do not answer.
    """
    events = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events, catalogue.resumed_events)
    for topic in (*events, catalogue.reference_users):
        for record in records_in(connection, [topic.name]):
            if record.key == user.encode() and record.value is not None:
                yield _event(record)


def opened(content: Any, open_field: Callable[[str, str], object], name: str = "") -> Any:
    """Return a content with its sealed texts opened, at whatever depth.

    Args:
        content: JSON values.
        open_field: returns what stands in a field, given its name and its text.
        name: of the field that the content stands in.
    """
    if isinstance(content, str):
        return open_field(name, content)
    if isinstance(content, Mapping):
        members = cast("Mapping[str, Any]", content)
        return {key: opened(value, open_field, key) for key, value in members.items()}
    if isinstance(content, list):
        return [opened(value, open_field, name) for value in cast("list[Any]", content)]
    return content


def opened_event_of(content: Any, keys: Keys) -> Any:
    """Return the content of a record of an event as its producer gave it: `ERASED_EVENT` where nobody can read it.

    What is no sealed event, or was altered, comes back as it is.
    """
    try:
        sealed = msgspec.convert(content, SealedEvent)
        event = opened_event(sealed, keys)
    except (msgspec.ValidationError, NotSealedHere):
        return content
    return msgspec.to_builtins(sealed) | {"data": ERASED_EVENT} if event is None else msgspec.to_builtins(event)


def _items(sink: Sink[Any], known: Sequence[Holding], holdings: ToldHoldings) -> Iterator[Item]:
    held: Mapping[tuple[str, str], Held] = sink.held(list(entities_of(known)))
    contents: list[Write | None] = stored(sink, [one.write for one in known])
    for one, found in zip(known, contents, strict=True):
        line = held.get((one.write.entity, one.write.source))
        if (found is not None and found.op == "delete") or (found is None and (line is None or not line.copies)):
            continue
        version = 0 if line is None else line.version
        told = holdings.provenance(one.line, version)
        content = None if found is None else _content(found)
        # History tells itself which event it came from.
        own = {} if content is None or one.store != "warehouse" or found is None else structs.asdict(found)
        yield Item(
            store=one.store,
            entity=one.write.entity,
            source=one.write.source,
            version=version,
            when=told.when if told is not None else own.get("occurred_at"),
            event_id=told.event_id if told is not None else own.get("event_id"),
            content=content,
        )


def _content(found: Write) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(found).items() if name not in _CARRIED | {"store"}}


def _event(record: StoredRecord) -> EventItem:
    try:
        content = msgspec.json.decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        content = msgspec.to_builtins(record.value)
    return EventItem(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        when=datetime.fromtimestamp(record.timestamp / 1_000, UTC),
        content=content,
    )
