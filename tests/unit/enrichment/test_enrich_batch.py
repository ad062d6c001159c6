from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    BookingMade,
    Event,
    GpsUpdate,
    MessageSent,
    PhotoTaken,
    PlaceReviewed,
    PlaceVisited,
    SearchPerformed,
    TripEnded,
    TripPlanned,
    TripStarted,
    UrgentRequest,
)
from schemas.reference import Place, Profile
from streams.enrichment.joins import Accepted, Enriched, Joined, enrich
from streams.enrichment.places import PlaceIndex
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import TravellerState

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = GpsRules()
CAFE = Place(id="cafe", name="Cafe", kind="restaurant", city="Cambridge", lsn=1, lat=52.2, lon=0.12)
ANN = Profile(id="ann", name="Ann", lsn=1, diet="vegan")


class Counting(dict[str, TravellerState]):
    """A table of states that counts how it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def __setitem__(self, user_id: str, state: TravellerState) -> None:
        self.writes += 1
        super().__setitem__(user_id, state)


def base(user: str = "ann", seconds: float = 0, version: int = 1) -> dict[str, Any]:
    when = START + timedelta(seconds=seconds)
    return {"event_id": f"{user}-{seconds}", "user_id": user, "occurred_at": when, "version": version}


def gps(user: str, seconds: float, lat: float = 52.2, lon: float = 0.12) -> GpsUpdate:
    return GpsUpdate(**base(user, seconds, 10 + int(seconds)), lat=lat, lon=lon)


def run(
    batch: list[Accepted], travellers: dict[str, TravellerState] | None = None, places: PlaceIndex | None = None
) -> Joined:
    if places is None:
        places = PlaceIndex(150)
        places.upsert(CAFE)
    return enrich(
        batch,
        places=places,
        profiles={"ann": ANN}.get,
        travellers=Counting() if travellers is None else travellers,
        rules=RULES,
    )


def one(event: Event, **more: Any) -> Enriched:
    (found,) = run([Accepted(event, **more)]).enriched
    return found


def names_a_place(place_id: str) -> list[Event]:
    return [
        PlaceVisited(**base(), place_id=place_id),
        PlaceReviewed(**base(), place_id=place_id, rating=4, text="good"),
        BookingMade(**base(), booking_id="b", place_id=place_id, starts_at=START, guests=2),
        PhotoTaken(**base(), photo_id="p", content_type="image/png", data=b"x", place_id=place_id),
    ]


@pytest.mark.parametrize("event", names_a_place("cafe"))
def test_an_event_gets_the_place_it_names_and_its_travellers_profile(event: Event) -> None:
    found = one(event)

    assert found.place == CAFE
    assert found.profile == ANN


@pytest.mark.parametrize("event", names_a_place("new"))
def test_an_event_about_an_unknown_place_waits(event: Event) -> None:
    joined = run([Accepted(event)])

    assert joined.enriched == []
    assert [(one.index, one.event, one.place_id) for one in joined.waiting] == [(0, event, "new")]


def test_an_event_that_has_waited_brings_its_place_or_does_without() -> None:
    event = PlaceVisited(**base(), place_id="new")
    new = Place(id="new", name="New", kind="hotel", city="Cambridge", lsn=7)

    assert one(event, resumed=True, place=new).place == new
    assert one(event, resumed=True).place is None


def test_events_that_name_no_place_never_wait() -> None:
    events: list[Event] = [
        gps("bob", 0, lat=-60.0),
        PhotoTaken(**base(), photo_id="p", content_type="image/png", data=b"x"),
        TripPlanned(
            **base(),
            trip_id="t",
            title="t",
            destinations=[],
            starts_on=date(2026, 5, 1),
            ends_on=date(2026, 5, 2),
            place_ids=["new"],
        ),
        MessageSent(**base(), conversation_id="c", role="user", text="hello"),
    ]

    joined = run([Accepted(event) for event in events])

    assert joined.waiting == []
    assert [found.event for found in joined.enriched] == events


def test_every_event_of_a_batch_comes_out_once_with_its_index() -> None:
    batch = [Accepted(event) for event in (*names_a_place("new"), gps("ann", 1), *names_a_place("cafe"))]

    joined = run(batch)

    assert [found.index for found in joined.waiting] == [0, 1, 2, 3]
    assert [found.index for found in joined.enriched] == [4, 5, 6, 7, 8]
    assert all(found.event is batch[found.index].event for found in (*joined.waiting, *joined.enriched))


@pytest.mark.parametrize(
    "event",
    [
        gps("ann", 0, lat=52.2005),
        PhotoTaken(**base(), photo_id="p", content_type="image/png", data=b"x", lat=52.2005, lon=0.12),
        SearchPerformed(**base(), query="ramen", results=3, lat=52.2005, lon=0.12),
        UrgentRequest(**base(), category="lost", text="where am I", lat=52.2005, lon=0.12),
    ],
)
def test_an_event_with_a_position_gets_the_nearest_place(event: Event) -> None:
    nearest = one(event).nearest

    assert nearest is not None
    assert nearest.place == CAFE
    assert nearest.metres == pytest.approx(55.6, abs=0.1)


def test_far_from_everything_there_is_no_nearest_place() -> None:
    assert one(gps("ann", 0, lat=52.3)).nearest is None


def test_events_carry_the_trip_that_is_active_when_they_happen() -> None:
    batch: list[Event] = [
        gps("ann", 0),
        TripStarted(**base(version=20), trip_id="rome"),
        gps("ann", 30),
        gps("bob", 30),
        gps("ann", 5),
        TripEnded(**base(version=50), trip_id="rome"),
        gps("ann", 60),
    ]

    trips = [found.active_trip for found in run([Accepted(event) for event in batch]).enriched]

    assert trips == [None, "rome", "rome", None, None, None, None]


def test_a_late_fix_is_told_apart() -> None:
    found = run([Accepted(gps("ann", 60)), Accepted(gps("ann", 30))]).enriched

    assert [(one.late, one.gps is not None) for one in found] == [(False, True), (True, True)]
    assert not one(PlaceVisited(**base(), place_id="cafe")).late


def test_a_batch_writes_each_changed_state_once() -> None:
    travellers = Counting()

    run([Accepted(gps(user, seconds)) for seconds in range(10) for user in ("ann", "bob")], travellers)
    assert travellers.writes == 2

    run([Accepted(gps("ann", 3)), Accepted(PlaceVisited(**base(), place_id="cafe"))], travellers)
    assert travellers.writes == 2  # a late fix and a visit change no state


def test_a_replayed_event_gets_its_facts_and_changes_no_state() -> None:
    travellers = Counting()
    first: list[Event] = [TripStarted(**base(version=5), trip_id="rome"), gps("ann", 0), gps("ann", 60, lat=52.21)]
    before = run([Accepted(event) for event in first], travellers).enriched
    state = travellers["ann"]

    again = run([Accepted(event, replayed=True) for event in first], travellers).enriched

    assert travellers["ann"] is state
    assert travellers.writes == 1
    assert [found.active_trip for found in again] == ["rome"] * 3
    for once, twice in zip(before, again, strict=True):
        assert (once.gps and once.gps.cell) == (twice.gps and twice.gps.cell)
    assert [found.late for found in again] == [False, True, False]


def start(user: str, seconds: int, trip: str) -> TripStarted:
    return TripStarted(**base(user, seconds, seconds + 1), trip_id=trip)


def end(user: str, seconds: int, trip: str) -> TripEnded:
    return TripEnded(**base(user, seconds, seconds + 1), trip_id=trip)


def visit(user: str, seconds: int, place_id: str) -> PlaceVisited:
    return PlaceVisited(**base(user, seconds), place_id=place_id)


users = st.sampled_from(["ann", "bob", "cy"])
times = st.integers(0, 7_200)
events = st.one_of(
    st.builds(gps, users, times, st.floats(52.19, 52.21), st.sampled_from([0.12, 0.121, 20.0])),
    st.builds(start, users, times, st.sampled_from("xy")),
    st.builds(end, users, times, st.sampled_from("xy")),
    st.builds(visit, users, times, st.sampled_from(["cafe", "new"])),
)


@given(st.lists(events, max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_batches_of_any_size_say_the_same(batch: list[Event], cuts: list[int]) -> None:
    accepted = [Accepted(event) for event in batch]
    together, apart = Counting(), Counting()
    whole = run(accepted, together)
    borders = [0, *sorted(min(cut, len(batch)) for cut in cuts), len(batch)]
    enriched: list[Enriched] = []
    waiting: list[Event] = []
    for begin, stop in pairwise(borders):
        joined = run(accepted[begin:stop], apart)
        enriched += joined.enriched
        waiting += [one.event for one in joined.waiting]

    assert [_without_index(one) for one in enriched] == [_without_index(one) for one in whole.enriched]
    assert waiting == [one.event for one in whole.waiting]
    assert apart == together


def _without_index(found: Enriched) -> tuple[Any, ...]:
    return (found.event, found.place, found.profile, found.active_trip, found.gps, found.nearest)
