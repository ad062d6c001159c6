"""The right data in the right place, for events.

`TABLE` says for each type of event which facts follow from it. Each rule is a pure function from an event to its writes
for one store; docs/routing.md is generated from both. The rules for rows of Postgres are in `streams.routing.changes`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC
from typing import Any

import msgspec

from schemas.events import (
    BaseEvent,
    BookingCancelled,
    BookingMade,
    DetailsGiven,
    ErasureRequested,
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
from schemas.sensitive import sensitive_fields
from schemas.writes import GraphWrite, NodeRef, ObjectWrite, Scalar, WarehouseWrite, Write
from streams.routing.entities import EVENTS, Cause, entity, escaped, write_version
from streams.routing.meaning import Embedded
from streams.routing.movement import activity, last_position, track, travelled
from streams.routing.shapes import iso, live, place_facts, relation, row, term, vector

Rule = Callable[[Any, Embedded, Cause], Iterator[Write]]

TRIP_TTL_SECONDS = 90 * 86_400
URGENT_TTL_SECONDS = 86_400


def route(embedded: Embedded) -> list[Write]:
    """Return all writes that follow from one event."""
    event = embedded.enriched.event
    cause: Cause = {
        "version": write_version(event.version),
        "source": EVENTS,
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
    }
    return [write for rule in TABLE[type(event)] for write in rule(event, embedded, cause)]


# -- meaning: the vector index


def conversation(event: MessageSent, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The message's meaning, with who said it, in which conversation and on which trip."""
    trip = event.trip_id or embedded.enriched.active_trip
    about = {"conversation_id": event.conversation_id, "role": event.role, "intent": event.intent, "trip_id": trip}
    yield from vector(embedded, cause, "conversations", entity("message", event.event_id), about)


def taste(event: PreferenceStated, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The preference's meaning; a later statement about the same thing replaces it."""
    name = entity("preference", event.user_id, event.category, term(event.category, event.value)[1])
    about = {"category": event.category, "value": event.value, "strength": event.strength}
    yield from vector(embedded, cause, "preferences", name, about)


def opinion(event: PlaceReviewed, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The review's meaning, beside the places it speaks of."""
    about = {"kind": "review", "rating": event.rating, **place_facts(event.place_id, embedded.enriched)}
    yield from vector(embedded, cause, "places", entity("review", event.user_id, event.place_id), about)


def itinerary(event: TripPlanned, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The trip's meaning: its title and destinations."""
    about = {"trip_id": event.trip_id, "starts_on": event.starts_on.isoformat()}
    yield from vector(embedded, cause, "trips", entity("trip", event.trip_id), about)


def picture(event: PhotoTaken, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """What the photo looks like, when its bytes came along and can be read."""
    about = {"object": photo_key(event), **place_facts(event.place_id, embedded.enriched)}
    yield from vector(embedded, cause, "photos", entity("photo", event.photo_id), about)


# -- relations: the graph


def likes(event: PreferenceStated, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """LIKES{strength} from the traveller to a cuisine, a place, an activity, ..."""
    end = term(event.category, event.value)
    name = entity("LIKES", event.user_id, event.category, end[1])
    about = {"strength": event.strength, "stated_at": iso(event.occurred_at)}
    yield relation(cause, name, "LIKES", ("User", event.user_id), end, about)


def visited(event: PlaceVisited, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """VISITED{date, rating, would_return, minutes}, one relation for each visit."""
    date = event.occurred_at.date().isoformat()
    about = {"date": date, "rating": event.rating, "would_return": event.would_return, "minutes": event.minutes}
    name = entity("VISITED", event.event_id)
    yield relation(cause, name, "VISITED", ("User", event.user_id), ("Place", event.place_id), about)


def reviewed(event: PlaceReviewed, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """REVIEWED{rating, date}, the traveller's latest review of the place."""
    about = {"rating": event.rating, "date": event.occurred_at.date().isoformat()}
    name = entity("REVIEWED", event.user_id, event.place_id)
    yield relation(cause, name, "REVIEWED", ("User", event.user_id), ("Place", event.place_id), about)


def friendship(event: FriendAdded | FriendRemoved, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """FRIEND between two travellers; it has no direction, so both ways of saying it are one relation."""
    first, second = sorted((event.user_id, event.friend_id))
    added = isinstance(event, FriendAdded)
    about = {"since": iso(event.occurred_at)} if added else None
    yield relation(cause, entity("FRIEND", first, second), "FRIEND", ("User", first), ("User", second), about)


def booked(event: BookingMade, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """BOOKED{starts_at, guests}, one relation for each booking that stands."""
    about = {"booking_id": event.booking_id, "starts_at": iso(event.starts_at), "guests": event.guests}
    name = entity("BOOKED", event.booking_id)
    yield relation(cause, name, "BOOKED", ("User", event.user_id), ("Place", event.place_id), about)


def no_longer_booked(event: BookingCancelled, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """BOOKED goes with the booking."""
    yield GraphWrite(
        **cause,
        entity=entity("BOOKED", event.booking_id),
        op="delete",
        relation="BOOKED",
        start=NodeRef("User", event.user_id),
    )


def took(event: PhotoTaken, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """TOOK{at, object, place_id} from the traveller to the photo."""
    about = {"at": iso(event.occurred_at), "object": photo_key(event), "place_id": event.place_id}
    name = entity("TOOK", event.photo_id)
    yield relation(cause, name, "TOOK", ("User", event.user_id), ("Photo", event.photo_id), about)


# -- rows: the relational store


def message_row(event: MessageSent, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The message, as a row of its conversation."""
    columns = {
        "user_id": event.user_id,
        "conversation_id": event.conversation_id,
        "role": event.role,
        "text": event.text,
        "intent": event.intent,
        "trip_id": event.trip_id or embedded.enriched.active_trip,
        "sent_at": iso(event.occurred_at),
    }
    yield row(cause, "messages", event.event_id, columns)


def plan_row(event: TripPlanned, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The trip as it was planned last."""
    columns = {
        "user_id": event.user_id,
        "title": event.title,
        "destinations": event.destinations,
        "starts_on": event.starts_on.isoformat(),
        "ends_on": event.ends_on.isoformat(),
        "place_ids": event.place_ids,
        "planned_at": iso(event.occurred_at),
    }
    yield row(cause, "trips", event.trip_id, columns)


def start_row(event: TripStarted, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """That the trip has started, and when."""
    columns = {"user_id": event.user_id, "status": "started", "started_at": iso(event.occurred_at)}
    yield row(cause, "trips", event.trip_id, columns)


def end_row(event: TripEnded, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """That the trip is over, and since when."""
    columns = {"user_id": event.user_id, "status": "ended", "ended_at": iso(event.occurred_at)}
    yield row(cause, "trips", event.trip_id, columns)


def booking_row(event: BookingMade, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The booking as it was made or changed last, with the place's name."""
    place = embedded.enriched.place
    columns = {
        "user_id": event.user_id,
        "place_id": event.place_id,
        "place_name": None if place is None else place.name,
        "trip_id": event.trip_id or embedded.enriched.active_trip,
        "starts_at": iso(event.starts_at),
        "ends_at": None if event.ends_at is None else iso(event.ends_at),
        "guests": event.guests,
        "amount": event.amount,
        "currency": event.currency,
        "status": "booked",
    }
    yield row(cause, "bookings", event.booking_id, columns)


def cancellation_row(event: BookingCancelled, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """That the booking was cancelled, when and why."""
    columns = {
        "user_id": event.user_id,
        "status": "cancelled",
        "reason": event.reason,
        "cancelled_at": iso(event.occurred_at),
    }
    yield row(cause, "bookings", event.booking_id, columns)


def urgent_row(event: UrgentRequest, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The call for help, for the record."""
    columns = {
        "user_id": event.user_id,
        "category": event.category,
        "text": event.text,
        "lat": event.lat,
        "lon": event.lon,
        "requested_at": iso(event.occurred_at),
    }
    yield row(cause, "urgent_requests", event.event_id, columns)


def details_row(event: DetailsGiven, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """What was given last of how the traveller can be reached and what identifies them, each field sealed."""
    columns: dict[str, Scalar | list[str]] = {"user_id": event.user_id, "given_at": iso(event.occurred_at)}
    for field in sensitive_fields(DetailsGiven):
        value = getattr(event, field.name)
        if value is not None:
            columns[field.name] = value
            columns |= {field.index_field: getattr(event, field.index_field)} if field.index_field else {}
    yield row(cause, "traveller_details", event.user_id, columns)


def erasure_row(event: ErasureRequested, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The request to be forgotten, as open work."""
    columns = {"user_id": event.user_id, "reason": event.reason, "status": "requested"}
    yield row(cause, "erasure_requests", event.event_id, columns | {"requested_at": iso(event.occurred_at)})


# -- live state: the cache


def trip_begins(event: TripStarted, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """Which trip the traveller is on now; a start that comes late opens nothing."""
    if embedded.enriched.active_trip == event.trip_id:
        value = {"trip_id": event.trip_id, "started_at": iso(event.occurred_at)}
        yield live(cause, entity("trip", event.user_id), value, TRIP_TTL_SECONDS)


def trip_is_over(event: TripEnded, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """That the traveller is on no trip now, unless another one has begun."""
    if embedded.enriched.active_trip is None:
        yield live(cause, entity("trip", event.user_id), None, 0)


def alarm(event: UrgentRequest, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """That the traveller needs help now, for whoever watches."""
    value = {"category": event.category, "text": event.text, "lat": event.lat, "lon": event.lon}
    value["at"] = iso(event.occurred_at)
    yield live(cause, entity("urgent", event.user_id), value, URGENT_TTL_SECONDS)


# -- files: the object store


def photo_file(event: PhotoTaken, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The photo's bytes, or the reference to where they lie."""
    about = {"user_id": event.user_id, "taken_at": iso(event.occurred_at), "place_id": event.place_id}
    yield ObjectWrite(
        **cause,
        entity=entity("photo", event.photo_id),
        key=photo_key(event),
        content_type=event.content_type,
        data=event.data,
        reference=event.object_uri,
        metadata={name: value for name, value in about.items() if value is not None},
    )


def photo_key(event: PhotoTaken) -> str:
    """Return the key of a photo in the object store."""
    owner, name = escaped(event.user_id, "/"), escaped(event.photo_id, "/")
    return f"photos/{owner}/{name}.{event.content_type.removeprefix('image/')}"


# -- history: the warehouse


def history(event: BaseEvent, embedded: Embedded, cause: Cause) -> Iterator[Write]:
    """The event as it came, without the bytes of photos, and what it was enriched with."""
    enriched = embedded.enriched
    body: dict[str, Any] = msgspec.to_builtins(event)
    body.pop("data", None)
    if enriched.active_trip is not None:
        body["active_trip"] = enriched.active_trip
    if enriched.profile is not None and enriched.profile.home_city is not None:
        body["home_city"] = enriched.profile.home_city
    if enriched.place is not None:
        body["place_name"] = enriched.place.name
    if enriched.nearest is not None:
        body["nearest_place_id"] = enriched.nearest.place.id
    yield WarehouseWrite(
        version=cause["version"],
        source=cause["source"],
        event_id=cause["event_id"],
        occurred_at=cause["occurred_at"],
        entity=entity("event", event.event_id),
        dataset="events",
        day=event.occurred_at.astimezone(UTC).date(),
        user_id=event.user_id,
        type=event_name(event),
        body=body,
    )


TABLE: dict[type[BaseEvent], tuple[Rule, ...]] = {
    MessageSent: (conversation, message_row, history),
    PreferenceStated: (taste, likes, history),
    PlaceVisited: (visited, history),
    PlaceReviewed: (opinion, reviewed, history),
    TripPlanned: (itinerary, plan_row, history),
    TripStarted: (start_row, trip_begins, history),
    TripEnded: (end_row, trip_is_over, history),
    BookingMade: (booking_row, booked, history),
    BookingCancelled: (cancellation_row, no_longer_booked, history),
    PhotoTaken: (photo_file, picture, took, history),
    FriendAdded: (friendship, history),
    FriendRemoved: (friendship, history),
    SearchPerformed: (history,),
    GpsUpdate: (track, last_position, travelled, activity, history),
    UrgentRequest: (urgent_row, alarm, history),
    DetailsGiven: (details_row, history),
    ErasureRequested: (erasure_row, history),
}
