"""Somebody who says something in events of every kind, and is looked for in files afterwards."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from connectors.kafka.reading import read_topics
from connectors.keys.sealing import EventSealing
from connectors.producers import EventProducer
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
    TripStarted,
    UrgentRequest,
)
from streams.keys import keys_of

NOW = datetime.now(UTC)
SEALING: dict[str, Any] = {
    "erasure.enabled": True,
    "enrich.place_wait_seconds": 0.0,
    "keys.store": "sqlite",
    "keys.seals": "everything",
    "sagas.enabled": True,
}


class Person:
    """Somebody whose name, address, number and words nobody else has."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.name = f"{user.capitalize()} Quillfeather"
        self.email = f"{user}.quill@secret.example"
        self.phone = f"+44 1223 {sum(user.encode())} 987654"
        self.message = f"meet {user} at the pier at midnight"
        self.text = f"I am {self.name}, {self.email}, {self.phone}: {self.message}"

    @property
    def words(self) -> list[str]:
        """What is to be found nowhere."""
        return [self.name, self.email, self.phone, self.message]

    def events(self) -> Iterator[Event]:
        """Yield events of every kind; each text of theirs holds the person's words."""
        text = self.text

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
        yield TripStarted(**common(18), trip_id=f"trip-{self.user}")
        yield BookingMade(**common(7), **booking, place_id="r1", starts_at=NOW, guests=2)
        yield BookingCancelled(**common(8), **booking, reason=text)
        yield PhotoTaken(**common(9), photo_id=f"p-{self.user}", content_type="image/png", data=text.encode())
        yield FriendAdded(**common(10), friend_id="dora")
        yield SearchPerformed(**common(11), query=text, results=3)
        for minute in range(12, 17):
            yield GpsUpdate(**common(minute), lat=40.0 + minute / 100, lon=-74.0)
        yield UrgentRequest(**common(17), category="lost", text=text)


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


def forget(person: Person) -> ErasureRequested:
    return ErasureRequested(event_id=f"forget-{person.user}", user_id=person.user, occurred_at=datetime.now(UTC))
