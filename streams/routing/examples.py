"""One example of every event and of every table that is routed; docs/routing.md shows what follows from them.

Each has all that its rules look at, so that every rule of the table gives a write.
"""

import struct
from datetime import UTC, date, datetime
from typing import Any, TypedDict

from schemas.changes import Change, ChangeSource, Row
from schemas.clock import milliseconds, pack
from schemas.events import (
    BookingCancelled,
    BookingMade,
    DetailsGiven,
    ErasureRequested,
    Event,
    FriendAdded,
    FriendRemoved,
    GpsUpdate,
    MessageSent,
    PhotoTaken,
    PlaceReviewed,
    PlaceVisited,
    PreferenceStated,
    SearchPerformed,
    TripEnded,
    TripPlanned,
    TripStarted,
    UrgentRequest,
    event_name,
)
from schemas.reference import Place, Profile
from streams.enrichment.joins import Ends, Enriched
from streams.enrichment.places import Nearest
from streams.enrichment.track import GpsFacts, Segment, Stay
from streams.routing.changes import RowChange, read_change
from streams.routing.meaning import Embedded, Vector, image_of, text_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEFT = datetime(2026, 5, 1, 11, 20, tzinfo=UTC)
ARRIVED = datetime(2026, 5, 1, 10, 40, tzinfo=UTC)
CAFE = Place(
    id="r-17", name="Cafe Roma", kind="restaurant", city="New York", lsn=100, cuisine="Italian", lat=40.71, lon=-74.0
)
HOTEL = Place(id="p-4", name="Hotel Astor", kind="hotel", city="New York", lsn=100, lat=40.75, lon=-73.98)
ANN = Profile(id="ann", name="Ann", lsn=100, home_city="Boston", language="en", diet="vegan")
VECTOR = Vector(struct.pack("<4f", 0.5, 0.5, 0.5, 0.5), "a model of 4 dimensions")
FACTS = GpsFacts(
    "892a1072893ffff",
    heading=12.5,
    distance_m=840.0,
    seconds=60.0,
    speed_mps=14.0,
    stay=Stay("ann:1777632000000", "ann", ARRIVED, LEFT, 40.71, -74.0, fixes=9),
    segment=Segment("ann:1777634400000", "ann", LEFT, NOON, 40.71, -74.0, 40.75, -73.98, 4_790.5, 2.0, 14.0, fixes=12),
)


class _Common(TypedDict):
    event_id: str
    user_id: str
    occurred_at: datetime
    version: int


def _common(event_id: str) -> _Common:
    return {
        "event_id": event_id,
        "user_id": "ann",
        "occurred_at": NOON,
        "version": pack(milliseconds(NOON), 1),
    }


_EVENTS: tuple[Event, ...] = (
    MessageSent(**_common("e-1"), conversation_id="c-9", role="user", text="A quiet place to dine?", intent="dine"),
    PreferenceStated(**_common("e-2"), category="cuisine", value="Italian", strength=0.8),
    PlaceVisited(**_common("e-3"), place_id="r-17", rating=5, would_return=True, minutes=75),
    PlaceReviewed(**_common("e-4"), place_id="r-17", rating=4, text="Good pasta, loud room."),
    TripPlanned(
        **_common("e-5"),
        trip_id="t-3",
        title="A week in New York",
        destinations=["New York"],
        starts_on=date(2026, 4, 28),
        ends_on=date(2026, 5, 5),
        place_ids=["p-4", "r-17"],
    ),
    TripStarted(**_common("e-6"), trip_id="t-3"),
    TripEnded(**_common("e-7"), trip_id="t-3"),
    BookingMade(**_common("e-8"), booking_id="b-5", place_id="r-17", starts_at=NOON, guests=2),
    BookingCancelled(**_common("e-9"), booking_id="b-5", reason="the weather"),
    PhotoTaken(
        **_common("e-10"), photo_id="f-2", content_type="image/png", data=b"the bytes of the file", place_id="r-17"
    ),
    FriendAdded(**_common("e-11"), friend_id="bob"),
    FriendRemoved(**_common("e-12"), friend_id="bob"),
    SearchPerformed(**_common("e-13"), query="pasta", results=12),
    GpsUpdate(**_common("e-14"), lat=40.75, lon=-73.98, accuracy=8.0),
    UrgentRequest(**_common("e-15"), category="medical", text="I need a doctor", lat=40.75, lon=-73.98),
    DetailsGiven(**_common("e-17"), email="sealed:1:1f0c9a2e:b3BlbnMgd2l0aCBhIGtleQ", home="sealed:1:1f0c9a2e:dG9v"),
    ErasureRequested(**_common("e-16")),
)

_ROWS: dict[str, Row] = {
    "public.restaurants": {
        "id": "r-17",
        "name": "Cafe Roma",
        "cuisine": "Italian",
        "borough": "Manhattan",
        "lat": 40.71,
        "lon": -74.0,
        "grades": '[{"grade": "A", "score": 5}]',
    },
    "public.places": {"id": "p-4", "name": "Hotel Astor", "kind": "hotel", "price_range": "expensive"},
    "public.users": {"id": "ann", "name": "Ann", "home_city": "Boston", "diet": "vegan"},
}


def events() -> dict[str, Embedded]:
    """Return an event of each type by its name, enriched and embedded."""
    return {event_name(event): _embedded(event) for event in _EVENTS}


def inserts() -> dict[str, RowChange]:
    """Return an inserted row of each table by its name."""
    return {table: _change(table, {"op": "c", "after": row}) for table, row in _ROWS.items()}


def deletes() -> dict[str, RowChange]:
    """Return the deletion of the same rows."""
    return {table: _change(table, {"op": "d", "before": {"id": row["id"]}}) for table, row in _ROWS.items()}


def _embedded(event: Event) -> Embedded:
    enriched = Enriched(
        0,
        event,
        place=CAFE if hasattr(event, "place_id") else None,
        profile=ANN,
        active_trip=None if isinstance(event, TripEnded) else "t-3",
        gps=FACTS if isinstance(event, GpsUpdate) else None,
        nearest=Nearest(HOTEL, 12.0) if hasattr(event, "lat") else None,
        ends=Ends(CAFE, HOTEL) if isinstance(event, GpsUpdate) else None,
    )
    return Embedded(enriched, VECTOR if text_of(event) or image_of(event) else None)


def _change(table: str, what: dict[str, Any]) -> RowChange:
    schema, _, name = table.partition(".")
    source = ChangeSource(
        version="3.4",
        connector="postgresql",
        name="cdc.travel",
        ts_ms=milliseconds(NOON),
        db="travel",
        schema=schema,
        table=name,
        lsn=24_023_128,
    )
    found = read_change(Change(source=source, **what), {"id": _ROWS[table]["id"]})
    assert found is not None, "an insert or a delete concerns a row"
    return found
