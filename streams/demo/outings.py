"""Journeys of travellers who carry a tracker, and the visits that their stays are."""

from collections.abc import Sequence
from datetime import timedelta

from schemas.events import GpsUpdate
from streams.demo.diary import between
from streams.demo.geo import Point, distance
from streams.demo.journeys import Trouble, delayed, journey
from streams.demo.people import Traveller
from streams.demo.setting import Setting, visit
from streams.demo.spots import Spot

FIXES_EACH = 200
STOPS = 3
NEAR, FAR = 300.0, 3_500.0  # metres from one stop to the next, where the city has such
LATE_BY = 40  # how many fixes of the same journey overtake the late one


def trackers_for(fixes: int, people: int) -> int:
    """Return how many travellers carry a tracker: one for each FIXES_EACH, at most a third of the people."""
    return max(1, min(fixes // FIXES_EACH, people // 3))


def tell_outings(setting: Setting, trackers: Sequence[Traveller], fixes: int) -> list[GpsUpdate]:
    """Write down the visits of the trackers' journeys; return exactly so many fixes, in the order they arrive.

    Every second journey ends within the last two minutes, the others earlier. Every third leads through a tunnel,
    every fourth has an impossible jump. Of all fixes, one arrives late.
    """
    rng, diary = setting.rng, setting.diary
    tracks: list[GpsUpdate] = []
    for number, traveller in enumerate(trackers):
        share = fixes // len(trackers) + (number < fixes % len(trackers))
        ends_at = between(rng, diary.now - timedelta(minutes=2), diary.now)
        if number % 2:
            ends_at = between(rng, diary.start + timedelta(hours=12), diary.now)
        track, stays = journey(
            rng,
            traveller.id,
            _route(setting, traveller),
            fixes=share,
            ends_at=ends_at,
            new_id=lambda: diary.identity("gps"),
            trouble=Trouble(tunnel=number % 3 == 0, jump=number % 4 == 1),
        )
        for stay in stays:
            visit(setting, traveller, stay.spot, stay.left_at, stay.minutes)
        tracks += track
    tracks.sort(key=lambda fix: (fix.occurred_at, fix.event_id))
    return _with_one_late(tracks, trackers[0].id)


def _with_one_late(tracks: list[GpsUpdate], user_id: str) -> list[GpsUpdate]:
    """Return the fixes with one of a traveller's first ones overtaken by LATE_BY of their others."""
    own = [index for index, fix in enumerate(tracks) if fix.user_id == user_id]
    late = own[len(own) // 4]
    overtaking = own[min(len(own) // 4 + LATE_BY, len(own) - 1)]
    return delayed(tracks, late, overtaking - late)


def _route(setting: Setting, traveller: Traveller) -> list[Spot]:
    """Return STOPS spots, each at a walk's or a short drive's distance from the one before if there is one."""
    route = [_any_spot(setting, traveller)]
    while len(route) < STOPS:
        here = Point(route[-1].lat, route[-1].lon)
        choices = [spot for spot in (_any_spot(setting, traveller) for _ in range(40)) if spot.id != route[-1].id]
        ways = [(distance(here, Point(spot.lat, spot.lon)), spot) for spot in choices]
        if not ways:
            ways = [(0.0, spot) for spot in setting.gazetteer.others(route[-1])]
        good = [spot for metres, spot in ways if NEAR < metres < FAR]
        route.append(good[0] if good else min(ways, key=lambda way: way[0])[1])
    return route


def _any_spot(setting: Setting, traveller: Traveller) -> Spot:
    kind = setting.rng.choice(setting.gazetteer.kinds(traveller.city))
    return setting.gazetteer.pick(setting.rng, traveller.city, kind)
