# pyright: reportUnknownMemberType=false
"""Each embedded store finds what it holds of a person, and after a purge its files hold no trace of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from connectors.sinks.contract import APPLIED, Sink
from connectors.sinks.embedded import embedded_sink
from connectors.sinks.errors import Unavailable
from connectors.sinks.persons import Attributing, Purging
from connectors.sinks.sqlite.database import connect_reader
from connectors.sinks.sqlite.vector import VectorSink
from schemas.events import PhotoTaken
from schemas.writes import STORES, StoreName, Write, store_of
from streams.persons.holdings import Holdings
from streams.routing.changes import route_change
from streams.routing.examples import events, inserts
from streams.routing.table import route

HERE: tuple[StoreName, ...] = tuple(store for store in STORES if store != "relational")
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"


def _of(user: str) -> Iterator[Write]:
    """Yield the writes of every kind of event of a person, and of the row that they are."""
    for number, embedded in enumerate(events().values()):
        event: Any = structs.replace(embedded.enriched.event, user_id=user, event_id=f"{user}-{number}")
        for name in ("trip_id", "booking_id", "photo_id"):
            if getattr(event, name, None):
                event = structs.replace(event, **{name: f"{user}-{name}"})
        event = _with_own_text(event, user)
        yield from route(structs.replace(embedded, enriched=structs.replace(embedded.enriched, event=event)))
    row = inserts()["public.users"]
    yield from route_change(structs.replace(row, row_id=user), None)


def _with_own_text(event: Any, user: str) -> Any:
    if hasattr(event, "text"):
        return structs.replace(event, text=f"the secret of {user}")
    if isinstance(event, PhotoTaken):
        return structs.replace(event, data=f"the secret of {user}".encode())
    return event


@pytest.fixture(params=HERE)
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink[Any]]:
    sink = embedded_sink(request.param, tmp_path, NOBODY)
    sink.open()
    yield sink
    sink.close()


def _store(sink: Sink[Any]) -> StoreName:
    return next(store for store in HERE if type(embedded_sink(store, Path(), NOBODY)) is type(sink))


def _take(sink: Sink[Any], user: str) -> Holdings:
    writes = [write for write in _of(user) if store_of(write) == _store(sink) and write.op == "upsert"]
    sink.write(writes)
    holdings = Holdings(user)
    holdings.take_all(writes)
    return holdings


def _found(sink: Sink[Any], user: str) -> Holdings:
    assert isinstance(sink, Attributing)
    asked = cast(Attributing[Write], sink)
    holdings = Holdings(user)
    for write in asked.of_user(user):
        holdings.add(write)
    return holdings


def _erase(sink: Sink[Any], user: str) -> None:
    deletes = [structs.replace(one.write, version=2**62, event_id="erasure") for one in _found(sink, user).all()]
    assert sink.write(deletes) == [APPLIED] * len(deletes)


def test_a_store_finds_what_topics_tell_of_a_person_and_nothing_of_others(sink: Sink[Any]) -> None:
    told = _take(sink, "ann")
    _take(sink, "carl")
    found = {one.line for one in _found(sink, "ann").all()}
    # Here the node has an entity of its own by now, and with it another version line.
    assert {one.line for one in told.all()} - found <= {("graph", "user:ann", "events")}
    assert not [line for line in found if "carl" in line[1]]


def test_nodes_that_only_relations_have_named_are_found(tmp_path: Path) -> None:
    sink = embedded_sink("graph", tmp_path, NOBODY)
    sink.open()
    sink.write([write for write in route(events()["photo_taken"]) if store_of(write) == "graph"])
    assert [one.write.entity for one in _found(sink, "ann").all()] == ["TOOK:f-2", "photo:f-2", "user:ann"]
    sink.close()


def test_once_the_deletes_are_applied_a_store_answers_nothing(sink: Sink[Any]) -> None:
    _take(sink, "ann")
    _take(sink, "carl")
    others = [(one.line, one.write.version) for one in _found(sink, "carl").all()]
    _erase(sink, "ann")
    assert len(_found(sink, "ann")) == 0
    assert [(one.line, one.write.version) for one in _found(sink, "carl").all()] == others


def test_after_a_purge_no_file_holds_what_was_deleted(sink: Sink[Any], tmp_path: Path) -> None:
    _take(sink, "ann")
    _take(sink, "carl")
    _erase(sink, "ann")
    assert isinstance(sink, Purging)
    assert sink.purge().keeps == ""
    assert _files_with(tmp_path, b"secret of ann") == []
    assert (_files_with(tmp_path, b"secret of carl") != []) == (
        _store(sink) in ("vector", "objects", "cache", "warehouse")
    )


def test_a_file_that_is_read_as_it_was_is_purged_later(tmp_path: Path) -> None:
    sink = embedded_sink("vector", tmp_path, NOBODY)
    assert isinstance(sink, VectorSink)
    sink.open()
    _take(sink, "ann")
    reader = connect_reader(tmp_path / "vector.db", sink.schema)
    with reader:
        assert reader.execute("SELECT count(*) FROM documents").get != 0
        _erase(sink, "ann")
        sink.connection.set_busy_timeout(10)
        with pytest.raises(Unavailable):
            sink.purge()
    sink.purge()
    assert _files_with(tmp_path, b"secret of ann") == []


def _files_with(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]
