from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import GpsUpdate, encode_event
from streams.demo.geo import Point, distance, heading, moved
from streams.demo.journeys import Stay, Trouble, delayed, journey, recorded
from streams.demo.spots import Spot

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOME = Point(40.7484, -73.9857)


def spot(number: int, north: float, east: float) -> Spot:
    at = moved(HOME, north, east)
    return Spot(id=f"spot-{number}", name="x", kind="restaurant", city="New York", lat=at.lat, lon=at.lon)


ROUTE = [spot(0, 0, 0), spot(1, 600, 300), spot(2, 3_000, 1_500)]


NONE, TUNNEL, JUMP = Trouble(), Trouble(tunnel=True), Trouble(jump=True)


def track(seed: int, fixes: int = 400, trouble: Trouble = NONE) -> tuple[list[GpsUpdate], list[Stay]]:
    ids = count(1)
    return journey(
        Random(seed), "t", ROUTE, fixes=fixes, ends_at=END, new_id=lambda: f"fix-{next(ids)}", trouble=trouble
    )


def seconds(fixes: list[GpsUpdate]) -> list[float]:
    return [(later.occurred_at - earlier.occurred_at).total_seconds() for earlier, later in pairwise(fixes)]


def metres(one: GpsUpdate, other: GpsUpdate) -> float:
    return distance(Point(one.lat, one.lon), Point(other.lat, other.lon))


@given(st.integers(0, 2**32), st.integers(1, 900))
@settings(max_examples=25, deadline=None)
def test_a_journey_has_as_many_fixes_as_asked_for_and_ends_when_asked_for(seed: int, fixes: int) -> None:
    updates, _ = track(seed, fixes)
    assert len(updates) == fixes
    assert updates[-1].occurred_at == END
    assert len({update.event_id for update in updates}) == fixes


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_fixes_follow_each_other_by_1_to_30_seconds_or_are_repeats(seed: int) -> None:
    updates, _ = track(seed)
    for (earlier, later), gap in zip(pairwise(updates), seconds(updates), strict=True):
        if gap == 0:
            assert (earlier.lat, earlier.lon) == (later.lat, later.lon)
        else:
            assert 1 <= gap <= 30


def test_speeds_are_those_of_walkers_and_cars_and_agree_with_the_positions() -> None:
    updates, _ = track(1)
    for (earlier, later), gap in zip(pairwise(updates), seconds(updates), strict=True):
        assert later.speed is not None
        assert later.speed < 18
        if gap:
            assert metres(earlier, later) / gap < 25
    assert any(update.speed and update.speed > 8 for update in updates)
    assert any(update.speed and 1 < update.speed < 2 for update in updates)


def test_a_stay_is_long_and_close_to_its_place() -> None:
    updates, stays = track(1)
    assert [stay.spot.id for stay in stays[:3]] == ["spot-1", "spot-2", "spot-1"]
    for stay in stays:
        since = stay.left_at - timedelta(minutes=stay.minutes)
        during = [update for update in updates if since < update.occurred_at < stay.left_at]
        place = Point(stay.spot.lat, stay.spot.lon)
        assert stay.minutes >= 15
        assert len(during) > 25
        assert all(distance(place, Point(update.lat, update.lon)) < 50 for update in during)


def test_a_tunnel_leaves_a_gap() -> None:
    updates, _ = track(1, trouble=TUNNEL)
    assert len(updates) == 400
    assert sum(gap > 60 for gap in seconds(updates)) == 1


def test_a_jump_is_one_fix_faster_than_anything_flies() -> None:
    updates, _ = track(1, trouble=JUMP)
    gaps = zip(pairwise(updates), seconds(updates), strict=True)
    jumps = [one for (one, other), gap in gaps if gap and metres(one, other) / gap > 1_000 / 3.6]
    assert len(jumps) == 2  # there and back


def test_some_fixes_are_reported_twice_under_two_ids() -> None:
    updates, _ = track(1)
    assert 0 < seconds(updates).count(0.0) < 20


def test_all_fixes_are_valid_events() -> None:
    for update in track(1, trouble=Trouble(tunnel=True, jump=True))[0]:
        encode_event(update)


def test_a_delayed_fix_comes_later_and_the_others_keep_their_order() -> None:
    updates, _ = track(1, fixes=10)
    late = delayed(updates, 2, 5)
    assert late.index(updates[2]) == 7
    assert [update for update in late if update is not updates[2]] == [*updates[:2], *updates[3:]]


def test_recorded_fixes_keep_their_times_and_order() -> None:
    updates, _ = track(1, fixes=10)
    assert recorded(reversed(updates)) == updates[::-1]


@pytest.mark.parametrize(("north", "east", "degrees"), [(10, 0, 0), (0, 10, 90), (-10, 0, 180), (0, -10, 270)])
def test_headings_are_clockwise_from_north(north: float, east: float, degrees: float) -> None:
    assert heading(HOME, moved(HOME, north, east)) == pytest.approx(degrees)
    assert distance(HOME, moved(HOME, north, east)) == pytest.approx(10, rel=1e-3)
