"""After an erasure no byte of any file says what the person said: stores, segments of Kafka, state, archive, logs."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.kafka.reading import read_topics
from connectors.keys.sealing import EventSealing
from connectors.producers import EventProducer
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from schemas.erasures import Certificate, decode_erasure_record
from schemas.events import (
    BookingCancelled,
    BookingMade,
    DetailsGiven,
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
    UrgentRequest,
)
from streams.keys import keys_of
from tests.integration.pipeline.raw_search import where

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

NOW = datetime.now(UTC)
SEALING: dict[str, Any] = {
    "erasure.enabled": True,
    "enrich.place_wait_seconds": 0.0,
    "keys.store": "sqlite",
    "keys.seals": "everything",
    "sagas.enabled": True,
    "archive.enabled": True,
    "archive.file_seconds": 1.0,
}


class Person:
    """Somebody whose name, address, number and words nobody else has."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.name = f"{user.capitalize()} Quillfeather"
        self.email = f"{user}.quill@secret.example"
        self.phone = f"+44 1223 {sum(user.encode())} 987654"
        self.message = f"meet {user} at the pier at midnight"

    @property
    def words(self) -> list[str]:
        """What is to be found nowhere."""
        return [self.name, self.email, self.phone, self.message]

    def events(self) -> Iterator[Event]:
        """Yield events of every kind; each text of theirs holds the person's words."""
        text = f"I am {self.name}, {self.email}, {self.phone}: {self.message}"

        def common(minute: int) -> dict[str, Any]:
            at = NOW - timedelta(hours=1) + timedelta(minutes=minute)
            return {"event_id": f"{self.user}-{minute}", "user_id": self.user, "occurred_at": at}

        booking: dict[str, Any] = {"booking_id": f"b-{self.user}"}
        yield DetailsGiven(**common(0), email=self.email, phone=self.phone)
        yield MessageSent(**common(1), conversation_id="c", role="user", text=text)
        yield PreferenceStated(**common(2), category="cuisine", value="thai", strength=0.5, text=text)
        yield PlaceVisited(**common(3), place_id="r1", rating=4)
        yield PlaceReviewed(**common(4), place_id="r1", rating=4, text=text)
        for minute in (5, 6):  # the second one takes the place of the first, so that there is something to undo
            yield TripPlanned(
                **common(minute),
                trip_id=f"trip-{self.user}",
                title=f"{minute} {self.message}",
                destinations=[self.name],
                starts_on=date(2026, 1, 1),
                ends_on=date(2026, 1, 2),
            )
        yield BookingMade(**common(7), **booking, place_id="r1", starts_at=NOW, guests=2)
        yield BookingCancelled(**common(8), **booking, reason=text)
        yield PhotoTaken(**common(9), photo_id=f"p-{self.user}", content_type="image/png", data=text.encode())
        yield FriendAdded(**common(10), friend_id="dora")
        yield SearchPerformed(**common(11), query=text, results=3)
        for minute in range(12, 17):
            yield GpsUpdate(**common(minute), lat=40.0 + minute / 100, lon=-74.0)
        yield UrgentRequest(**common(17), category="lost", text=text)


ANN, BERT = Person("annabel"), Person("bertram")


def publish_sealed(pipeline: Any, person: Person) -> None:
    keys = keys_of(pipeline.options)
    assert keys is not None
    seal = EventSealing(keys, everything=True)
    with EventProducer(pipeline.options.kafka.connection(), pipeline.catalogue, source="/tests") as producer:
        for event in person.events():
            producer.publish(seal(event))
    keys.close()


def certificates(pipeline: Any) -> list[Certificate]:
    records = read_topics(pipeline.options.kafka.connection(), [pipeline.catalogue.erasures.name])
    return [decode_erasure_record(one.value, Certificate) for one in records]


def segments(kafka_server: KafkaServer, pipeline: Any) -> list[Path]:
    """Return the folders of the partitions of this test."""
    return sorted((kafka_server.folder / "data").glob(f"{pipeline.options.kafka.topic_prefix}*"))


def tables_of(postgres_server: PostgresServer, pipeline: Any) -> Path:
    """Return the folder of the files of this test's database, after what waits in memory was written."""
    with psycopg.connect(pipeline.options.stores.relational.url.get_secret_value(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        folder = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    assert folder is not None
    return Path(str(folder[0])) / "base" / str(row[0])


@pytest.mark.parametrize("pipeline", [SEALING], indirect=True)
def test_no_file_says_what_an_erased_person_said_and_everything_before_it_was_there(
    pipeline: Any, kafka_server: KafkaServer, postgres_server: PostgresServer
) -> None:
    for role in ("ingest", "deliver", "sagas", "archive"):
        pipeline.start(role, role)
    publish_sealed(pipeline, ANN)
    pipeline.publish(list(BERT.events()))
    last = [len(list(one.events())) for one in (ANN, BERT)]

    def rows() -> list[int]:
        with pipeline.readers().warehouse() as reader:
            return [len(reader.query("SELECT 1 FROM events WHERE user_id = ?", (one.user,))) for one in (ANN, BERT)]

    pipeline.settle()
    pipeline.wait_for(lambda: rows() == last, "all is written")
    archive = pipeline.options.data_dir / "archive"
    pipeline.wait_for(lambda: where([archive], BERT.words), "the archive has the last events")

    # What the search finds before: in the stores both, in the topics and the archive what came unsealed.
    stores, data = pipeline.options.data_dir / "stores", pipeline.options.data_dir
    topics = segments(kafka_server, pipeline)
    everywhere = where([stores, tables_of(postgres_server, pipeline)], [*ANN.words, *BERT.words])
    assert {word for found in everywhere.values() for word in found} == {*ANN.words, *BERT.words}
    assert where([*topics, archive], ANN.words) == {}
    plain = {Path(path).parent.name.rpartition("-")[0] for path in where(topics, BERT.words)}
    raw = {pipeline.catalogue.user_events.name, pipeline.catalogue.urgent_events.name}
    assert plain == raw

    pipeline.publish([ErasureRequested(event_id="forget", user_id=ANN.user, occurred_at=datetime.now(UTC))])
    pipeline.start("erasure", "erasure")
    pipeline.wait_for(lambda: certificates(pipeline), "it is over")
    pipeline.settle()
    pipeline.stop()

    assert where([data, *topics, tables_of(postgres_server, pipeline)], ANN.words) == {}
    assert where([stores], BERT.words)
    assert pipeline.letters() == []
