"""A person with data of every kind is erased: from every store and its files, and nobody else; through a kill, too."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kafka.reading import read_topics
from connectors.sinks.errors import Unavailable
from schemas.erasures import Certificate, Erasure, decode_erasure_record
from schemas.events import (
    BookingMade,
    ErasureRequested,
    Event,
    FriendAdded,
    GpsUpdate,
    MessageSent,
    PhotoTaken,
    PlaceReviewed,
    PlaceVisited,
    PreferenceStated,
    SearchPerformed,
    TripPlanned,
    TripStarted,
    UrgentRequest,
)
from schemas.writes import STORES
from streams.erasure.certificate import check
from streams.persons.holdings import Holdings
from streams.stores import sink_of

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]

NOW = datetime.now(UTC)
WITH_ERASURE = pytest.mark.parametrize(
    "pipeline", [{"erasure.enabled": True, "enrich.place_wait_seconds": 0.0}], indirect=True
)


def everything(user: str) -> Iterator[Event]:
    """Yield events of every kind; each text names its person in words that nothing else has."""

    def common(minute: int) -> dict[str, Any]:
        at = NOW - timedelta(hours=1) + timedelta(minutes=minute)
        return {"event_id": f"{user}-{minute}", "user_id": user, "occurred_at": at}

    secret = f"secret words of {user}"
    yield MessageSent(**common(1), conversation_id="c", role="user", text=f"message, {secret}")
    yield PreferenceStated(**common(2), category="cuisine", value=f"{user} food", strength=0.5, text=secret)
    yield PlaceVisited(**common(3), place_id="r1", rating=4)
    yield PlaceReviewed(**common(4), place_id="r1", rating=4, text=f"review, {secret}")
    yield TripPlanned(
        **common(5),
        trip_id=f"trip-{user}",
        title=f"trip, {secret}",
        destinations=["Rome"],
        starts_on=date(2026, 1, 1),
        ends_on=date(2026, 1, 2),
    )
    yield TripStarted(**common(6), trip_id=f"trip-{user}")
    yield BookingMade(**common(7), booking_id=f"b-{user}", place_id="r1", starts_at=NOW, guests=2)
    yield PhotoTaken(**common(8), photo_id=f"p-{user}", content_type="image/png", data=f"photo, {secret}".encode())
    yield FriendAdded(**common(9), friend_id="dora")
    yield SearchPerformed(**common(10), query=f"search, {secret}", results=3)
    for minute in range(11, 16):
        yield GpsUpdate(**common(minute), lat=40.0 + minute / 100, lon=-74.0)
    yield UrgentRequest(**common(16), category="lost", text=f"help, {secret}")


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


def certificates(pipeline: Any) -> list[Certificate]:
    records = read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.erasures.name])
    return [decode_erasure_record(one.value, Certificate) for one in records]


def request(user: str) -> Event:
    return ErasureRequested(
        event_id=f"forget-{user}", user_id=user, occurred_at=datetime.now(UTC), reason="secret words of ann"
    )


@WITH_ERASURE
def test_a_person_is_erased_from_every_store_and_its_files_through_kills_and_nobody_else(pipeline: Any) -> None:
    pipeline.start("ingest", "ingest")
    deliver = pipeline.start("deliver", "deliver")
    pipeline.publish([*everything("ann"), *everything("bert")])
    # Those about a place that nobody knows wait a moment for it.
    last = [len(list(everything(user))) for user in ("bert", "ann")]
    pipeline.wait_for(lambda: [_rows(pipeline, user) for user in ("bert", "ann")] == last, "all is written")
    pipeline.settle()
    stores = pipeline.options.data_dir / "stores"
    before = held_of(pipeline, "bert")
    assert all(before[store] for store in STORES if store != "search")
    assert files_with(stores, b"secret words of ann")

    # What comes after the request waits, and goes no further. While nobody delivers, no store can answer "nothing".
    deliver.stop()
    late = SearchPerformed(
        event_id="late", user_id="ann", occurred_at=datetime.now(UTC) + timedelta(minutes=1), query="late", results=1
    )
    pipeline.publish([request("ann"), late])
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
    assert files_with(stores, b"secret words of ann") == []
    assert files_with(stores, b"secret words of bert") != []
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
