from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import GpsUpdate, TripEnded, TripStarted
from streams.enrichment.gps import advance
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import (
    MAX_ENDS,
    TravellerState,
    TripState,
    active_trip,
    apply_trip,
    decode_state,
    encode_state,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)

Trip = TripStarted | TripEnded


def start(trip: str, version: int) -> TripStarted:
    return TripStarted(event_id=f"s{trip}{version}", user_id="u", occurred_at=NOW, version=version, trip_id=trip)


def end(trip: str, version: int) -> TripEnded:
    return TripEnded(event_id=f"e{trip}{version}", user_id="u", occurred_at=NOW, version=version, trip_id=trip)


def after(events: list[Trip]) -> TripState:
    state = TripState()
    for event in events:
        state = apply_trip(state, event)
    return state


def active(events: list[Trip]) -> str | None:
    state = after(events)
    return None if state.ended else state.trip_id


def test_nothing_is_active_at_first() -> None:
    assert active([]) is None


def test_a_started_trip_is_active_until_it_ends() -> None:
    assert active([start("a", 1)]) == "a"
    assert active([start("a", 1), end("a", 2)]) is None


def test_another_start_replaces_and_its_end_brings_nothing_back() -> None:
    assert active([start("a", 1), start("b", 2)]) == "b"
    assert active([start("a", 1), start("b", 2), end("b", 3)]) is None


def test_the_end_of_a_trip_that_is_not_the_active_one_changes_nothing() -> None:
    assert active([start("a", 1), start("b", 2), end("a", 3)]) == "b"


def test_a_late_start_does_not_reopen_an_ended_trip() -> None:
    assert active([start("a", 1), end("a", 5), start("a", 1)]) is None
    assert active([end("a", 5), start("a", 1)]) is None


def test_a_late_start_does_not_replace_a_newer_one() -> None:
    assert active([start("b", 5), start("a", 1)]) == "b"


def test_a_late_end_of_an_earlier_leg_does_not_end_a_restarted_trip() -> None:
    assert active([start("a", 1), start("a", 9), end("a", 5)]) == "a"


trips, versions = st.sampled_from("abc"), st.integers(1, 12)
trip_events = st.lists(st.builds(start, trips, versions) | st.builds(end, trips, versions), max_size=8)


@given(trip_events.flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_the_order_of_arrival_does_not_matter(orders: tuple[list[Trip], list[Trip]]) -> None:
    one, other = orders

    assert after(one) == after(other)


@given(trip_events)
def test_the_active_trip_is_the_newest_start_without_an_end_as_new(events: list[Trip]) -> None:
    starts = [(one.version, one.trip_id) for one in events if isinstance(one, TripStarted)]
    newest = max(starts, default=None)
    over = newest is None or any(
        isinstance(one, TripEnded) and one.trip_id == newest[1] and one.version >= newest[0] for one in events
    )

    assert active(events) == (None if newest is None or over else newest[1])


@given(trip_events)
def test_the_same_events_again_change_nothing(events: list[Trip]) -> None:
    state = after(events)

    for event in events:
        assert apply_trip(state, event) is state


def test_the_ends_of_unknown_trips_do_not_pile_up() -> None:
    state = after([end(f"trip {number}", number) for number in range(1, 200)])

    assert len(state.ends) == MAX_ENDS
    assert "trip 199" in state.ends


@pytest.mark.parametrize(("version", "expected"), [(4, None), (5, "a"), (6, "a")])
def test_an_event_older_than_the_start_is_not_part_of_the_trip(version: int, expected: str | None) -> None:
    fix = GpsUpdate(event_id="g", user_id="u", occurred_at=NOW, version=version, lat=0.0, lon=0.0)

    assert active_trip(after([start("a", 5)]), fix) == expected


def test_a_state_survives_storage() -> None:
    fix = GpsUpdate(event_id="g", user_id="u", occurred_at=NOW, lat=52.2, lon=0.12)
    gps, _ = advance(None, fix, GpsRules())
    for state in (TravellerState(), TravellerState(after([start("a", 2**62), end("b", 2**62 + 1)]), gps)):
        assert decode_state(encode_state(state)) == state
