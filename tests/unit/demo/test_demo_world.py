import io
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from schemas.events import (
    EVENT_NAMES,
    BookingCancelled,
    BookingMade,
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
    TripEnded,
    TripPlanned,
    TripStarted,
    encode_event,
)
from streams.demo.diary import WINDOW
from streams.demo.friendships import friendships
from streams.demo.spots import Gazetteer, Spot, spots
from streams.demo.tables import load_places, load_restaurants
from streams.demo.world import LEAST_EVENTS, LEAST_FIXES, World, generate

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)  # as in conftest.py
MakeWorld = Callable[[int, int], World]

DIGEST = """
import zlib
from datetime import datetime
from schemas.events import encode_event
from streams.demo.tables import load_places, load_restaurants
from streams.demo.world import generate
now = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
world = generate(seed=3, now=now, count=1, restaurants=load_restaurants().rows, places=load_places().rows)
print(zlib.crc32(b"".join(map(encode_event, (*world.events, *world.gps)))))
print(zlib.crc32(repr((world.changes, world.faults)).encode()))
"""


def by_traveller(world: World) -> dict[str, list[Event]]:
    own: dict[str, list[Event]] = defaultdict(list)
    for event in world.events:
        own[event.user_id].append(event)
    return own


def places_of(event: Event) -> list[str]:
    match event:
        case TripPlanned():
            return event.place_ids
        case PlaceVisited() | PlaceReviewed() | BookingMade():
            return [event.place_id]
        case PhotoTaken():
            return [event.place_id or ""]
        case _:
            return []


def test_as_many_records_enter_as_asked_for(world: World) -> None:
    assert world.total == 12_000


def test_the_shares_of_the_demo_are_as_planned(make_world: MakeWorld) -> None:
    world = make_world(1, 20_000)
    assert world.total == 20_000
    assert len(world.events) == pytest.approx(9_000, abs=100)
    assert len(world.gps) == pytest.approx(8_000, abs=100)
    assert 300 <= len(world.travellers) <= 400
    assert 120 <= world.counts()["photo_taken"] <= 160


def test_a_small_world_still_has_everything(small_world: World) -> None:
    assert set(small_world.counts()) == set(EVENT_NAMES)
    assert (len(small_world.events), len(small_world.gps)) == (LEAST_EVENTS, LEAST_FIXES)


def test_every_type_of_event_occurs(world: World) -> None:
    assert set(world.counts()) == set(EVENT_NAMES)


def test_every_event_is_valid_and_small_enough(world: World) -> None:
    for event in (*world.events, *world.gps):
        assert len(encode_event(event)) < 30_000


def test_no_id_is_given_twice(world: World) -> None:
    ids = Counter(event.event_id for event in (*world.events, *world.gps))
    assert ids.most_common(1)[0][1] == 1


def test_events_come_in_order_and_in_the_hours_before_now(world: World) -> None:
    times = [event.occurred_at for event in world.events]
    assert times == sorted(times)
    assert NOW - WINDOW - timedelta(seconds=1) <= times[0]
    assert times[-1] <= NOW
    assert all(fix.occurred_at <= NOW for fix in world.gps)


def test_no_two_events_of_a_traveller_have_the_same_time(world: World) -> None:
    for events in by_traveller(world).values():
        assert all(earlier.occurred_at < later.occurred_at for earlier, later in pairwise(events))


def test_the_same_seed_gives_the_same_world(make_world: MakeWorld, small_world: World) -> None:
    assert make_world(3, 1) == small_world


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    here = io.StringIO()
    with redirect_stdout(here):
        exec(DIGEST, {})
    hashing = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    there = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": "."},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout == here.getvalue()


def test_another_seed_gives_another_world(make_world: MakeWorld, small_world: World) -> None:
    other = make_world(4, 1)
    assert other.travellers != small_world.travellers
    assert not {event.event_id for event in other.events} & {event.event_id for event in small_world.events}


def test_places_exist_in_the_tables_or_are_inserted_live(world: World) -> None:
    known = {row.id for rows in world.tables.values() for row in rows}
    live = {change.id for change in world.changes.changes if change.op == "insert"}
    for event in world.events:
        assert all(place in known or place in live for place in places_of(event))


def test_nobody_speaks_of_places_that_disappear_or_reopen(world: World) -> None:
    gone = {key for _, key in (*world.changes.deleted, *world.changes.recreated)}
    assert gone
    assert not gone & {place for event in world.events for place in places_of(event)}


def test_every_late_place_is_spoken_of(world: World) -> None:
    spoken = {place for event in world.events for place in places_of(event)}
    assert world.changes.late
    assert {row.id for row in world.changes.late} <= spoken


def test_everybody_is_a_row_of_the_table_of_users(world: World) -> None:
    users = {row.id for row in world.tables["users"]}
    assert users == {traveller.id for traveller in world.travellers}
    assert {event.user_id for event in (*world.events, *world.gps)} <= users


def test_friends_exist_and_a_friendship_ends_after_it_began(world: World) -> None:
    users = {traveller.id for traveller in world.travellers}
    since: dict[frozenset[str], datetime] = {}
    for event in world.events:
        if isinstance(event, FriendAdded):
            assert event.friend_id in users
            assert frozenset((event.user_id, event.friend_id)) not in since
            since[frozenset((event.user_id, event.friend_id))] = event.occurred_at
        elif isinstance(event, FriendRemoved):
            assert since[frozenset((event.user_id, event.friend_id))] < event.occurred_at


def test_friends_of_friends_are_often_friends_and_the_way_to_anybody_is_short() -> None:
    friends: dict[int, set[int]] = defaultdict(set)
    for one, other in friendships(Random(1), 300):
        friends[one].add(other)
        friends[other].add(one)
    assert len(friends) == 300
    closed = [len(friends[a] & own) / max(1, len(own) - 1) for own in friends.values() for a in own if len(own) > 1]
    assert sum(closed) / len(closed) > 0.15  # a random graph of this size: 0.01
    reached, steps = {0}, 0
    while len(reached) < 300 and steps < 20:
        reached |= {other for person in reached for other in friends[person]}
        steps += 1
    assert steps < 15  # a ring without short cuts: 75


def test_a_trip_is_planned_begun_and_ended_in_this_order(world: World) -> None:
    trips: dict[str, list[Event]] = defaultdict(list)
    for event in world.events:
        if isinstance(event, TripPlanned | TripStarted | TripEnded):
            trips[event.trip_id].append(event)
    assert trips
    for events in trips.values():
        kinds = [type(event) for event in events]
        started = kinds.index(TripStarted)
        assert set(kinds[:started]) == {TripPlanned}
        assert kinds[started + 1 :] in ([], [TripEnded])
        plan = events[started - 1]
        assert isinstance(plan, TripPlanned)
        assert plan.starts_on == events[started].occurred_at.date()
        if kinds[-1] is TripEnded:
            assert plan.ends_on == events[-1].occurred_at.date()
        else:
            assert plan.ends_on > NOW.date()
    assert any(kinds.count(TripPlanned) == 2 for kinds in ([type(e) for e in events] for events in trips.values()))


def test_planned_places_are_visited_between_start_and_end(world: World) -> None:
    for events in by_traveller(world).values():
        started = next((event for event in events if isinstance(event, TripStarted)), None)
        if started is None:
            continue
        *_, plan = (event for event in events if isinstance(event, TripPlanned))
        ended = next((event for event in events if isinstance(event, TripEnded)), None)
        visits = [event for event in events if isinstance(event, PlaceVisited)]
        assert [visit.place_id for visit in visits] == plan.place_ids
        for visit in visits:
            arrived = visit.occurred_at - timedelta(minutes=visit.minutes or 0)
            assert started.occurred_at <= arrived
            assert ended is None or visit.occurred_at < ended.occurred_at


def test_nobody_is_in_two_places_at_once_on_a_trip(world: World) -> None:
    for events in by_traveller(world).values():
        if any(isinstance(event, TripStarted) for event in events):
            visits = [event for event in events if isinstance(event, PlaceVisited)]
            for earlier, later in pairwise(visits):
                assert earlier.occurred_at <= later.occurred_at - timedelta(minutes=later.minutes or 0)


def test_what_names_a_trip_belongs_to_a_trip_of_that_traveller(world: World) -> None:
    owner = {event.trip_id: event.user_id for event in world.events if isinstance(event, TripPlanned)}
    named = [event for event in world.events if isinstance(event, MessageSent | BookingMade) and event.trip_id]
    assert {type(event) for event in named} == {MessageSent, BookingMade}
    assert all(owner[event.trip_id or ""] == event.user_id for event in named)


def test_bookings_begin_after_they_are_made_and_are_cancelled_before_they_begin(world: World) -> None:
    made: dict[str, BookingMade] = {}
    cancelled = 0
    for event in world.events:
        if isinstance(event, BookingMade):
            assert event.occurred_at < event.starts_at < (event.ends_at or NOW)
            made[event.booking_id] = event
        elif isinstance(event, BookingCancelled):
            cancelled += 1
            assert made[event.booking_id].user_id == event.user_id
            assert made[event.booking_id].occurred_at < event.occurred_at < made[event.booking_id].starts_at
    assert cancelled


def test_reviews_follow_a_visit_unless_the_place_is_too_new(world: World) -> None:
    late = {row.id for row in world.changes.late}
    visited: set[tuple[str, str]] = set()
    for event in world.events:
        if isinstance(event, PlaceVisited):
            visited.add((event.user_id, event.place_id))
        elif isinstance(event, PlaceReviewed) and event.place_id not in late:
            assert (event.user_id, event.place_id) in visited


def test_preferences_are_the_travellers_tastes(world: World) -> None:
    people = {traveller.id: traveller for traveller in world.travellers}
    for event in world.events:
        if isinstance(event, PreferenceStated) and event.category == "cuisine":
            assert event.strength == pytest.approx(people[event.user_id].tastes[event.value], abs=0.16)
        elif isinstance(event, PreferenceStated) and event.category == "diet":
            assert event.value == people[event.user_id].diet


def test_what_people_like_they_rate_higher(world: World) -> None:
    cuisines = {row.id: getattr(row, "cuisine", None) for rows in world.tables.values() for row in rows}
    people = {traveller.id: traveller for traveller in world.travellers}
    liked: list[int] = []
    others: list[int] = []
    for event in world.events:
        if isinstance(event, PlaceVisited) and event.rating:
            strength = people[event.user_id].tastes.get(cuisines.get(event.place_id) or "", 0)
            (liked if strength > 0.5 else others).append(event.rating)
    assert sum(liked) / len(liked) > 0.3 + sum(others) / len(others)


def test_after_an_erasure_nothing_is_heard_of_that_traveller(world: World) -> None:
    erased = {event.user_id for event in world.events if isinstance(event, ErasureRequested)}
    assert 2 <= len(erased) <= 8
    for user in erased:
        events = by_traveller(world)[user]
        assert isinstance(events[-1], ErasureRequested)
        assert len(events) > 3
    assert not erased & {fix.user_id for fix in world.gps}
    assert not erased & {change.id for change in world.changes.changes}
    friends = {e.friend_id for e in world.events if isinstance(e, FriendAdded | FriendRemoved)}
    assert not erased & friends


def test_photos_open_and_say_what_they_are(world: World) -> None:
    photos = [event for event in world.events if isinstance(event, PhotoTaken)]
    files = [photo for photo in photos if photo.data]
    for photo in files:
        image = Image.open(io.BytesIO(photo.data or b""))
        image.load()
        assert Image.MIME[image.format or ""] == photo.content_type
    assert {photo.content_type for photo in files} == {"image/png", "image/jpeg"}
    assert any(photo.object_uri for photo in photos)
    assert len({photo.photo_id for photo in photos}) == len(photos)


def test_messages_vary_and_name_real_places_in_several_languages(world: World) -> None:
    texts = [event.text for event in world.events if isinstance(event, MessageSent)]
    assert len(set(texts)) > 0.65 * len(texts)
    assert not [text for text in texts if "{" in text or "  " in text]
    assert any("추천해요" in text for text in texts)
    assert any("recomiendo" in text for text in texts)
    assert any("conseille" in text for text in texts)
    names = {spot.spoken for spot in known_spots()}
    assert sum(any(name in text for name in names) for text in texts[:200]) > 80


def test_conversations_begin_with_the_traveller_and_alternate(world: World) -> None:
    roles: dict[str, list[str]] = defaultdict(list)
    for event in world.events:
        if isinstance(event, MessageSent):
            roles[event.conversation_id].append(event.role)
    for spoken in roles.values():
        assert spoken == ["user", "assistant", "user", "assistant"][: len(spoken)]


def test_one_fix_is_late_and_all_others_are_in_order(world: World) -> None:
    late = [later for earlier, later in pairwise(world.gps) if later.occurred_at < earlier.occurred_at]
    assert len(late) == 1


def test_somebody_has_moved_within_the_last_hour(world: World) -> None:
    recent = [fix for fix in world.gps if fix.occurred_at > NOW - timedelta(hours=1)]
    assert len({fix.user_id for fix in recent}) > 5


def test_a_users_own_track_replaces_the_generated_journeys_and_keeps_its_times() -> None:
    own = [
        GpsUpdate(event_id=f"own-{n}", user_id="me", occurred_at=NOW - timedelta(days=400, seconds=-n), lat=1, lon=2)
        for n in range(5)
    ]
    world = generate(
        seed=3, now=NOW, count=1, restaurants=load_restaurants().rows, places=load_places().rows, fixes=iter(own)
    )
    assert world.gps == own
    assert len(world.events) == LEAST_EVENTS


def test_one_city_is_enough_and_none_is_refused() -> None:
    places = load_places().rows
    only = generate(seed=1, now=NOW, count=1, restaurants=[], places=places)
    assert {traveller.city for traveller in only.travellers} == {"Cambridge"}
    assert set(only.counts()) == set(EVENT_NAMES)
    with pytest.raises(ValueError, match="places of one city with a name and a position"):
        generate(seed=1, now=NOW, count=1, restaurants=[], places=places[:3])


@pytest.mark.parametrize("kind", ["restaurant", "hotel", "attraction"])
def test_a_few_places_of_one_kind_are_enough(kind: str) -> None:
    places = [row for row in load_places().rows if row.kind == kind][:6]
    assert set(generate(seed=1, now=NOW, count=1, restaurants=[], places=places).counts()) >= {"gps_update"}


def test_likes_lead_to_restaurants_of_that_cuisine() -> None:
    gazetteer = Gazetteer(known_spots())
    picked = [gazetteer.pick(Random(n), "New York", "restaurant", ["Korean"]) for n in range(100)]
    assert sum(spot.cuisine == "Korean" for spot in picked) > 60


def known_spots() -> list[Spot]:
    return spots(load_restaurants().rows, load_places().rows)
