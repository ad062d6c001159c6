from collections import defaultdict

import pytest
from msgspec.json import decode, encode

from bench.runtime.mix import GPS_SHARE, Mix, mix
from schemas.events import Event, GpsUpdate
from streams.routing.meaning import text_of

COUNT = 100_000


@pytest.fixture(scope="module")
def given() -> Mix:
    return mix(COUNT)


def test_so_many_events_of_which_four_in_five_are_fixes(given: Mix) -> None:
    kinds = given.kinds()
    assert sum(kinds.values()) == COUNT
    assert kinds["gps_update"] == GPS_SHARE * COUNT


def test_no_id_comes_twice(given: Mix) -> None:
    ids = [event.event_id for event in (*given.fixes(), *given.events())]
    assert len(set(ids)) == COUNT


def test_the_fixes_of_a_traveller_are_those_of_one_journey_in_its_order(given: Mix) -> None:
    journeys: defaultdict[str, list[str]] = defaultdict(list)
    for fix in given.world.gps:
        journeys[fix.user_id].append(fix.event_id)
    copied: defaultdict[str, list[str]] = defaultdict(list)
    for fix in given.fixes():
        assert isinstance(fix, GpsUpdate)
        copied[fix.user_id].append(fix.event_id)
    for user_id, ids in copied.items():
        original = journeys[user_id.rpartition(".")[0]]
        assert [one.rpartition(".")[0] for one in ids] == original[: len(ids)]


def test_everybody_and_every_place_is_known(given: Mix) -> None:
    profiles = {profile.id for profile in given.profiles()}
    places = {place.id for place in given.places()}
    events: list[Event] = [*given.fixes(), *given.events()]
    assert {event.user_id for event in events} <= profiles
    assert {place for event in events if (place := getattr(event, "place_id", None)) is not None} <= places


def test_every_text_is_one_of_those_that_warm_the_cache(given: Mix) -> None:
    known = set(given.texts())
    assert {text for event in given.events() if (text := text_of(event)) is not None} <= known


def test_two_processes_have_the_same_events(given: Mix) -> None:
    again = mix(COUNT)
    assert again.texts() == given.texts()
    assert decode(encode(next(again.fixes()))) == decode(encode(next(given.fixes())))
