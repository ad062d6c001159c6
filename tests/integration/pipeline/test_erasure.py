"""A person with data of every kind is erased: from every store and its files, and nobody else; through a kill, too."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from connectors.kafka.reading import read_topics
from connectors.sinks.errors import Unavailable
from schemas.erasures import Certificate, Erasure, decode_erasure_record
from schemas.events import (
    Event,
    SearchPerformed,
)
from schemas.writes import STORES
from streams.erasure.certificate import check
from streams.persons.holdings import Holdings
from streams.stores import sink_of
from tests.integration.pipeline.people import Person, certificates, forget

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

WITH_ERASURE = pytest.mark.parametrize(
    "pipeline", [{"erasure.enabled": True, "enrich.place_wait_seconds": 0.0}], indirect=True
)


def held_of(pipeline: Any, user: str) -> dict[str, int]:
    """Return how many entities of a person each store finds."""
    found: dict[str, int] = {}
    for store in STORES:
        sink: Any = sink_of(store, pipeline.options)
        try:
            sink.open()
            holdings = Holdings(user)
            for write in sink.of_user(user):
                holdings.add(write)
            found[store] = len(holdings)
        finally:
            sink.close()
    return found


def _rows(pipeline: Any, user: str) -> int:
    """Return how many events of a person the warehouse holds."""
    try:
        with pipeline.readers().warehouse() as reader:
            return len(reader.query("SELECT 1 FROM events WHERE user_id = ?", (user,)))
    except Unavailable:
        return 0


def files_with(folder: Path, words: bytes) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and words in path.read_bytes()]


def progress(pipeline: Any, user: str) -> Erasure | None:
    records = read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.erasure_log.name])
    found = [decode_erasure_record(one.value, Erasure) for one in records if one.key == user.encode()]
    return found[-1] if found else None


def request(person: Person) -> Event:
    """Return the request of a person who gives a reason."""
    return structs.replace(forget(person), reason=person.message)


@WITH_ERASURE
def test_a_person_is_erased_from_every_store_and_its_files_through_kills_and_nobody_else(pipeline: Any) -> None:
    pipeline.start("ingest", "ingest")
    deliver = pipeline.start("deliver", "deliver")
    ann, bert = Person("ann"), Person("bert")
    pipeline.publish([*ann.events(), *bert.events()])
    # Those about a place that nobody knows wait a moment for it.
    last = [len(list(person.events())) for person in (bert, ann)]
    pipeline.wait_for(lambda: [_rows(pipeline, user) for user in ("bert", "ann")] == last, "all is written")
    pipeline.settle()
    stores = pipeline.options.data_dir / "stores"
    before = held_of(pipeline, "bert")
    assert all(before[store] for store in STORES if store != "search")
    assert files_with(stores, ann.message.encode())

    # What comes after the request waits, and goes no further. While nobody delivers, no store can answer "nothing".
    deliver.stop()
    late = SearchPerformed(
        event_id="late", user_id="ann", occurred_at=datetime.now(UTC) + timedelta(minutes=1), query="late", results=1
    )
    pipeline.publish([request(ann), late])
    eraser = pipeline.start("erasure", "erasure")
    pipeline.wait_for(lambda: _step(pipeline) == "ask", "the deletes are on their way")
    os.kill(eraser.pid, signal.SIGKILL)
    pipeline.wait_for(lambda: eraser.pid is None, "it is dead")
    deliver.start()
    eraser.start()
    pipeline.wait_for(lambda: _step(pipeline) == "over", "it is over")
    pipeline.settle()

    assert held_of(pipeline, "ann") == dict.fromkeys(STORES, 0)
    assert held_of(pipeline, "bert") == before
    pipeline.stop()
    assert files_with(stores, ann.message.encode()) == []
    assert files_with(stores, bert.message.encode()) != []
    assert pipeline.letters() == []
    *_, certificate = certificates(pipeline)
    check(certificate)
    assert certificate.statement.user_id == "ann"
    assert {answer.found for answer in certificate.statement.stores.values()} == {0}
    assert sum(answer.deleted for answer in certificate.statement.stores.values()) > 30
    (file,) = (pipeline.options.data_dir / "erasure" / "certificates").glob("*.json")
    assert decode_erasure_record(file.read_bytes(), Certificate) == certificate


def _step(pipeline: Any) -> str:
    found = progress(pipeline, "ann")
    return "" if found is None else found.step
