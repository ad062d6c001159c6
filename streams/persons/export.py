"""Gather what every store holds about a person, each with where it came from, and open what is sealed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from connectors.keys import NotSealedHere
from connectors.keys.contents import Keys, opened_event, opened_write
from connectors.sinks.content import stored
from connectors.sinks.contract import Held, Sink
from connectors.sinks.errors import SinkError
from connectors.sinks.persons import Attributing
from schemas.events import SealedEvent
from schemas.writes import STORES, BaseWrite, StoreName, Write
from streams.persons.holdings import Holding, by_store, entities_of
from streams.persons.provenance import ToldHoldings
from streams.persons.told_records import RecordItem
from streams.settings.load import without_login

ASKED_AT_ONCE = 200
ERASED = "erased"
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


class Export(Struct, kw_only=True):
    """All that was found.

    Attributes:
        user: about whom.
        at: when it was asked.
        items: what the stores hold.
        records: in Kafka and in the archive: events, wherever they wait, rows, claims, dead letters and state.
        by_writes_only: stores that cannot be searched by a person: what they hold was found by writes in Kafka alone.
        failed: stores that could not be asked, and why; or the archive. Their holdings are missing.
    """

    user: str
    at: datetime
    items: list[Item] = []
    records: list[RecordItem] = []
    by_writes_only: list[StoreName] = []
    failed: dict[str, str] = {}


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


def opened_content_of(content: Any, keys: Keys) -> Any:
    """Return the content of a record as it was before it was sealed: `ERASED` where nobody can read it any more.

    What is no sealed event or write, or was altered, comes back as it is.
    """
    with suppress(msgspec.ValidationError, NotSealedHere):
        sealed = msgspec.convert(content, SealedEvent)
        event = opened_event(sealed, keys)
        return msgspec.to_builtins(sealed) | {"data": ERASED} if event is None else msgspec.to_builtins(event)
    with suppress(msgspec.ValidationError, NotSealedHere):  # a dead letter of a store
        write = msgspec.convert(content, Write)
        if write.sealed is not None and write.sealed.user_id not in keys:
            return content  # it is about somebody else, too, and theirs
        found = opened_write(write, keys)
        return msgspec.to_builtins(write) | {"sealed": ERASED} if found is None else msgspec.to_builtins(found)
    return content


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
