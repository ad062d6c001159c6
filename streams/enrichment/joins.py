"""Enrichment of a batch: each event together with what is known when it arrives.

The one state is that of the travellers. It is read at most once and written at most once a traveller and batch, after
the whole batch. Whoever stores it must do so only when the outputs of the batch are acknowledged: a stay or a segment
is told by the fix that ends it and not again by its replay (`streams.enrichment.gps.recall`).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from schemas.events import Event, GpsUpdate, TripEnded, TripStarted
from schemas.reference import Place, Profile
from streams.enrichment.gps import advance, recall
from streams.enrichment.places import Nearest
from streams.enrichment.track import GpsFacts, GpsRules, Segment
from streams.enrichment.travellers import NEW, TravellerState, active_trip, apply_trip


class Accepted(Struct, frozen=True, gc=False):
    """An event that passed intake.

    `replayed`: the traveller's state has seen it already. `resumed`: it has waited for its place and waits no more;
    `place` is the one it brings along, None when the wait was given up.
    """

    event: Event
    replayed: bool = False
    resumed: bool = False
    place: Place | None = None


class Ends(Struct, frozen=True, gc=False):
    """The known places where a segment of movement began and ended; two different ones."""

    start: Place
    end: Place


class Enriched(Struct, frozen=True, gc=False):
    """An event with what is known about it. `index` is its place in the batch.

    `place` is the one the event names, `nearest` the one nearest to where it happened, `active_trip` the traveller's
    trip after it, `ends` those of the segment that ended with it.
    """

    index: int
    event: Event
    place: Place | None
    profile: Profile | None
    active_trip: str | None
    gps: GpsFacts | None
    nearest: Nearest | None
    ends: Ends | None = None

    @property
    def late(self) -> bool:
        """Whether this is a GPS fix older than one that came before it: history, not the present position."""
        return self.gps is not None and self.gps.late


class Waiting(Struct, frozen=True, gc=False):
    """An event that names a place nobody knows yet. `index` is its place in the batch."""

    index: int
    event: Event
    place_id: str


class Joined(Struct, frozen=True):
    """What became of a batch: every event is in exactly one of the two lists, in the order of the batch."""

    enriched: list[Enriched]
    waiting: list[Waiting]


class Places(Protocol):
    """The places that are known, as `PlaceIndex` holds them."""

    def get(self, place_id: str, /) -> Place | None:
        """Return a place by id."""
        ...

    def nearest(self, lat: float, lon: float, /) -> Nearest | None:
        """Return the nearest place within the radius."""
        ...


class Travellers(Protocol):
    """The states of travellers by user id. A dict is one."""

    def get(self, user_id: str, /) -> TravellerState | None:
        """Return the state of a traveller, None when there is none."""
        ...

    def __setitem__(self, user_id: str, state: TravellerState, /) -> None: ...


def enrich(
    batch: Sequence[Accepted],
    *,
    places: Places,
    profiles: Callable[[str], Profile | None],
    travellers: Travellers,
    rules: GpsRules,
) -> Joined:
    """Join a batch with what is known, and move the travellers' states on.

    Events of one traveller must be in order. Only events that name a place wait for it; a GPS fix never waits.
    """
    states = _States(travellers)
    joined = Joined([], [])
    for index, accepted in enumerate(batch):
        event = accepted.event
        place_id: str | None = getattr(event, "place_id", None)
        place = None
        if place_id is not None:
            place = places.get(place_id) or accepted.place
            if place is None and not accepted.resumed:
                joined.waiting.append(Waiting(index, event, place_id))
                continue
        lat: float | None = getattr(event, "lat", None)
        lon: float | None = getattr(event, "lon", None)
        nearest = places.nearest(lat, lon) if lat is not None and lon is not None else None
        state, gps = states.move(accepted, rules)
        trip = active_trip(state.trip, event)
        ends = None if gps is None or gps.segment is None else _ends(gps.segment, places)
        joined.enriched.append(Enriched(index, event, place, profiles(event.user_id), trip, gps, nearest, ends))
    states.write()
    return joined


def _ends(segment: Segment, places: Places) -> Ends | None:
    start = places.nearest(segment.start_lat, segment.start_lon)
    end = places.nearest(segment.end_lat, segment.end_lon)
    if start is None or end is None or start.place.id == end.place.id:
        return None
    return Ends(start.place, end.place)


class _States:
    """The states of a batch's travellers."""

    def __init__(self, travellers: Travellers) -> None:
        self._travellers = travellers
        self._states: dict[str, TravellerState] = {}
        self._changed: set[str] = set()

    def move(self, accepted: Accepted, rules: GpsRules) -> tuple[TravellerState, GpsFacts | None]:
        """Return the traveller's state after an event, and what the event says if it is a GPS fix."""
        event = accepted.event
        user_id = event.user_id
        state = self._states.get(user_id)
        if state is None:
            state = self._states[user_id] = self._travellers.get(user_id) or NEW
        facts = None
        after = state
        if type(event) is GpsUpdate:
            if accepted.replayed:
                return state, recall(state.gps, event, rules)
            gps, facts = advance(state.gps, event, rules)
            after = state if gps is state.gps else TravellerState(state.trip, gps, state.erased)
        elif isinstance(event, TripStarted | TripEnded) and not accepted.replayed:
            trip = apply_trip(state.trip, event)
            after = state if trip is state.trip else TravellerState(trip, state.gps, state.erased)
        if after is not state:
            self._states[user_id] = after
            self._changed.add(user_id)
        return after, facts

    def write(self) -> None:
        """Write the states that changed."""
        for user_id in self._changed:
            self._travellers[user_id] = self._states[user_id]
