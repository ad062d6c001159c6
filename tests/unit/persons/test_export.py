"""What is gathered about a person: all that the stores hold of them, nothing of others, and where it came from."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from connectors.sinks.conformance.subject import deliver
from connectors.sinks.contract import Sink
from connectors.sinks.embedded import embedded_sink
from connectors.sinks.errors import Unavailable
from schemas.persons import persons_of
from schemas.writes import STORES, StoreName, Write, decode_write, encode_write, store_of
from streams.persons.export import Export, gather, opened
from streams.persons.provenance import ToldHoldings
from streams.routing.examples import events
from streams.routing.table import route

FOLLOWED = [write for embedded in events().values() for write in route(embedded)]
# The examples share a moment; here every write is newer than those before it.
ANN = [structs.replace(write, version=number, event_id=f"e-{number}") for number, write in enumerate(FOLLOWED, 1)]
BOB = [decode_write(encode_write(write).replace(b"ann", b"rob").replace(b"bob", b"tim")) for write in ANN]

MakeSink = Callable[[StoreName], Sink[Any]]


class Away:
    """The relational store, whose server is not there."""

    limits: Any = None

    def open(self) -> None:
        raise Unavailable("postgresql://user:secret@db/travelos does not answer")

    def write(self, batch: Any) -> Any: ...

    def held(self, entities: Any) -> Any: ...

    def close(self) -> None: ...


@pytest.fixture
def make(tmp_path: Path) -> MakeSink:
    """Return what makes the embedded stores, with what follows from two travellers' events in them."""

    def sink(store: StoreName) -> Sink[Any]:
        return Away() if store == "relational" else embedded_sink(store, tmp_path, "")

    for store in STORES:
        if store != "relational":
            made = sink(store)
            made.open()
            deliver(made, [write for write in [*ANN, *BOB] if store_of(write) == store])
            made.close()
    return sink


def exported(make: MakeSink, writes: Sequence[Write], user: str = "ann") -> Export:
    holdings = ToldHoldings(user)
    holdings.take_all(writes)
    return gather(holdings, make)


def newest(writes: Sequence[Write]) -> dict[tuple[str, str], Write]:
    found: dict[tuple[str, str], Write] = {}
    for write in writes:
        if store_of(write) != "relational" and "ann" in persons_of(write):
            found[store_of(write), write.entity] = write
    return {key: write for key, write in found.items() if write.op == "upsert"}


def test_everything_that_follows_from_a_persons_events_is_told_with_where_it_came_from(make: MakeSink) -> None:
    export = exported(make, [*ANN, *BOB])
    told = {(one.store, one.entity): one for one in export.items}
    for key, write in newest(ANN).items():
        item = told[key]
        assert (item.source, item.version, item.event_id) == (write.source, write.version, write.event_id)
        assert item.when == write.occurred_at
        assert item.content


def test_nothing_of_others_is_told(make: MakeSink) -> None:
    export = exported(make, [*ANN, *BOB])
    assert b"rob" not in msgspec.json.encode(export.items)
    assert exported(make, [*ANN, *BOB], "nobody").items == []


def test_what_is_older_than_the_topics_is_found_by_the_stores_themselves(make: MakeSink) -> None:
    whole = {(one.store, one.entity) for one in exported(make, [*ANN, *BOB]).items}
    alone = exported(make, [])
    assert whole - {(one.store, one.entity) for one in alone.items} == set()
    assert {one.event_id for one in alone.items if one.store == "search"} <= {None}


def test_a_store_that_does_not_answer_is_named_without_its_login_and_the_others_are_told(make: MakeSink) -> None:
    export = exported(make, ANN)
    assert set(export.failed) == {"relational"}
    assert "secret" not in export.failed["relational"]
    assert {one.store for one in export.items} >= {"graph", "vector", "cache", "warehouse", "objects", "timeseries"}


def test_sealed_texts_are_opened_by_the_name_of_their_field_at_whatever_depth() -> None:
    asked: list[tuple[str, str]] = []

    def open_field(name: str, text: str) -> object:
        asked.append((name, text))
        return text.upper()

    content = {"columns": {"email": "a", "tags": ["b"]}, "number": 1, "nothing": None}
    assert opened(content, open_field) == {"columns": {"email": "A", "tags": ["B"]}, "number": 1, "nothing": None}
    assert asked == [("email", "a"), ("tags", "b")]
