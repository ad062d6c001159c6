"""Trips: planned, begun, full of bookings and visits, and mostly over before now."""

from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from schemas.events import BookingCancelled, BookingMade, TripEnded, TripPlanned, TripStarted
from streams.demo.diary import between, split
from streams.demo.people import Traveller
from streams.demo.phrases import CANCELLATIONS
from streams.demo.setting import Setting, Trip, visit
from streams.demo.spots import NEW_YORK, Spot

REPLANNED = 0.3  # the share of trips that are changed before they begin
ENDED = 0.8
BOOKED = 0.35  # the share of restaurant visits that were booked
CANCELLED = 0.3  # the share of trips with a booking that is cancelled
_TITLES = ("A day in {city}", "{city} with friends", "Tasting {city}", "Long weekend in {city}", "{city} for beginners")


class _Stop(NamedTuple):
    """A visit to come: minutes stayed until `left_at`."""

    spot: Spot
    left_at: datetime
    minutes: int


def tell_trip(setting: Setting, traveller: Traveller) -> None:
    """Write down a trip to the traveller's city.

    In this order in time: the plan, its changes, the bookings, the start, the visits of the plan (with their photos
    and reviews), the end. A booking that is cancelled is of a place that is not visited.
    """
    rng, diary = setting.rng, setting.diary
    planned_at = between(rng, diary.start, diary.start + timedelta(hours=6))
    started_at = planned_at + timedelta(minutes=rng.uniform(40, 180))
    until = between(rng, started_at + timedelta(hours=6), diary.now - timedelta(minutes=5))
    ended = rng.random() < ENDED
    trip = Trip(diary.identity("trip"), planned_at, until if ended else diary.now)
    setting.trips[traveller.id] = trip
    route = _route(setting, traveller)
    visits = _visits(rng, route, started_at, until)
    _plan(setting, traveller, trip, route, started_at)
    _book(setting, traveller, trip, visits, started_at)
    diary.add(TripStarted(**diary.stamp(traveller.id, started_at), trip_id=trip.id))
    for stop in visits:
        visit(setting, traveller, stop.spot, stop.left_at, stop.minutes)
    if ended:
        diary.add(TripEnded(**diary.stamp(traveller.id, until), trip_id=trip.id))


def book(
    setting: Setting,
    traveller: Traveller,
    spot: Spot,
    *,
    made_at: datetime,
    starts_at: datetime,
    nights: int = 0,
    trip_id: str | None = None,
) -> str:
    """Write down a booking from the quarter of an hour before `starts_at`; return its id."""
    rng, diary = setting.rng, setting.diary
    guests = rng.randint(1, 6)
    booking_id = diary.identity("booking")
    begins = starts_at.replace(minute=starts_at.minute // 15 * 15, second=0, microsecond=0)
    diary.add(
        BookingMade(
            **diary.stamp(traveller.id, made_at),
            booking_id=booking_id,
            place_id=spot.id,
            starts_at=begins,
            ends_at=begins + (timedelta(days=nights) if nights else timedelta(minutes=90)),
            guests=guests,
            trip_id=trip_id,
            amount=round(nights * rng.uniform(60, 160) if nights else guests * rng.uniform(14, 60), 2),
            currency="USD" if spot.city == NEW_YORK else "GBP",
        )
    )
    return booking_id


def _visits(rng: Random, route: list[Spot], started_at: datetime, until: datetime) -> list[_Stop]:
    first, last = started_at + timedelta(minutes=60), until - timedelta(minutes=30)
    longest = int((last - first) / len(route) / timedelta(minutes=2))  # times lie at least half a share apart
    return [
        _Stop(spot, left_at, rng.randint(5, max(5, min(longest, 60))))
        for spot, left_at in zip(route, split(rng, first, last, len(route)), strict=True)
    ]


def _route(setting: Setting, traveller: Traveller) -> list[Spot]:
    """Return three to six different spots."""
    rng, city = setting.rng, traveller.city
    kinds = [kind for kind in setting.gazetteer.kinds(city) if kind != "hotel"] or setting.gazetteer.kinds(city)
    picked = (setting.gazetteer.pick(rng, city, rng.choice(kinds), traveller.liked) for _ in range(rng.randint(3, 6)))
    return list({spot.id: spot for spot in picked}.values())


def _plan(setting: Setting, traveller: Traveller, trip: Trip, route: list[Spot], started_at: datetime) -> None:
    rng, diary, city = setting.rng, setting.diary, traveller.city
    plan = TripPlanned(
        **diary.stamp(traveller.id, trip.planned_at),
        trip_id=trip.id,
        title=rng.choice(_TITLES).format(city=city),
        destinations=[city],
        starts_on=started_at.date(),
        ends_on=trip.ended_at.date() + timedelta(days=rng.randint(1, 4) if trip.ended_at == diary.now else 0),
        place_ids=[spot.id for spot in route],
    )
    if rng.random() >= REPLANNED:
        diary.add(plan)
        return
    # The first plan was another one: some of the places, the other way round.
    diary.add(replace(plan, place_ids=plan.place_ids[:0:-1] or plan.place_ids))
    changed_at = between(rng, trip.planned_at + timedelta(minutes=3), trip.planned_at + timedelta(minutes=20))
    diary.add(replace(plan, **diary.stamp(traveller.id, changed_at)))


def _book(setting: Setting, traveller: Traveller, trip: Trip, visits: list[_Stop], started_at: datetime) -> None:
    rng, diary, gazetteer, city = setting.rng, setting.diary, setting.gazetteer, traveller.city

    def made_at() -> datetime:
        return between(rng, trip.planned_at + timedelta(minutes=21), started_at - timedelta(minutes=15))

    for stop in visits:
        if stop.spot.kind == "restaurant" and rng.random() < BOOKED:
            arrival = stop.left_at - timedelta(minutes=stop.minutes)
            book(setting, traveller, stop.spot, made_at=made_at(), starts_at=arrival, trip_id=trip.id)
    if "hotel" in gazetteer.kinds(city):
        hotel = gazetteer.pick(rng, city, "hotel")
        evening = started_at + timedelta(hours=8)
        book(setting, traveller, hotel, made_at=made_at(), starts_at=evening, nights=1, trip_id=trip.id)
    if rng.random() < CANCELLED and "restaurant" in gazetteer.kinds(city):
        other = gazetteer.pick(rng, city, "restaurant")
        if other.id not in {stop.spot.id for stop in visits}:
            dinner = trip.ended_at + timedelta(hours=2)
            booking = book(setting, traveller, other, made_at=made_at(), starts_at=dinner, trip_id=trip.id)
            stamp = diary.stamp(traveller.id, between(rng, started_at + timedelta(minutes=1), trip.ended_at))
            diary.add(BookingCancelled(**stamp, booking_id=booking, reason=rng.choice(CANCELLATIONS)))
