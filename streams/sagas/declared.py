"""The sagas of this project, declared: which facts go into several stores, and have to be in all of them or in none.

What goes to the warehouse is part of none of them: it is history, and says that a fact was told, which stays true when
its saga is undone. docs/sagas-declared.md is generated from this module.
"""

from schemas.events import BookingCancelled, BookingMade, ErasureRequested, PhotoTaken, TripPlanned
from streams.routing.changes import PLACES
from streams.sagas.definition import Definition, Step
from streams.sagas.kinds import Kind

TRIP_PLANNED = Kind(
    definition=Definition(
        name="trip_planned",
        steps=(
            Step(name="plan", store="relational", entity="trips"),
            Step(name="itinerary", store="vector", entity="trip"),
        ),
    ),
    about="trip",
    events=(TripPlanned,),
    subject_field="trip_id",
)

BOOKING_MADE = Kind(
    definition=Definition(
        name="booking_made",
        steps=(
            Step(name="booking", store="relational", entity="bookings"),
            Step(name="booked", store="graph", entity="BOOKED"),
        ),
    ),
    about="booking",
    events=(BookingMade,),
    subject_field="booking_id",
)

BOOKING_CANCELLED = Kind(
    definition=Definition(
        name="booking_cancelled",
        steps=(
            Step(name="booking", store="relational", entity="bookings"),
            Step(name="booked", store="graph", entity="BOOKED"),
        ),
    ),
    about="booking",
    events=(BookingCancelled,),
    subject_field="booking_id",
)

PHOTO_TAKEN = Kind(
    definition=Definition(
        name="photo_taken",
        steps=(
            Step(name="file", store="objects", entity="photo"),
            Step(name="picture", store="vector", entity="photo", after=("file",)),
            # A photo whose bytes did not come along has no vector: the relation still comes after the file.
            Step(name="taken", store="graph", entity="TOOK", after=("file", "picture")),
        ),
    ),
    about="photo",
    events=(PhotoTaken,),
    subject_field="photo_id",
)

PLACE_SAVED = Kind(
    definition=Definition(
        name="place_saved",
        steps=(
            Step(name="document", store="search", entity="place"),
            Step(name="meaning", store="vector", entity="place"),
            Step(name="node", store="graph", entity="place"),
            Step(name="city", store="graph", entity="IN_CITY", after=("node",)),
            Step(name="cuisine", store="graph", entity="SERVES", after=("node",)),
        ),
    ),
    about="place",
    tables=PLACES,
    operations=frozenset({"c", "u"}),
)

PLACE_DELETED = Kind(
    definition=Definition(
        name="place_deleted",
        steps=(
            Step(name="document", store="search", entity="place"),
            Step(name="meaning", store="vector", entity="place"),
            Step(name="city", store="graph", entity="IN_CITY"),
            Step(name="cuisine", store="graph", entity="SERVES"),
            # Last, and for good: with a node go all relations of travellers to it, and only the node could be brought
            # back. So it goes once nothing is left that may be refused.
            Step(name="node", store="graph", entity="place", kind="pivot"),
        ),
    ),
    about="place",
    tables=PLACES,
    operations=frozenset({"d"}),
)

ERASURE_REQUESTED = Kind(
    definition=Definition(
        name="erasure_requested",
        # Nobody takes back that somebody asked to be forgotten: it is tried until it is written.
        steps=(Step(name="request", store="relational", entity="erasure_requests", kind="retriable"),),
    ),
    about="user",
    events=(ErasureRequested,),
    subject_field="user_id",
)

DECLARED = (
    TRIP_PLANNED,
    BOOKING_MADE,
    BOOKING_CANCELLED,
    PHOTO_TAKEN,
    PLACE_SAVED,
    PLACE_DELETED,
    ERASURE_REQUESTED,
)
