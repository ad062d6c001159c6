from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.clock import milliseconds
from schemas.events import GpsUpdate
from streams.enrichment.gps import advance, recall
from streams.enrichment.track import GpsFacts, GpsRules, GpsState

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = GpsRules()
DEGREE_M = 111_195.08


def fix(seconds: float, north_m: float = 0, east_m: float = 0, **more: Any) -> GpsUpdate:
    """A fix near the equator, where a degree is as long in both directions."""
    return GpsUpdate(
        event_id="e",
        user_id="u",
        occurred_at=START + timedelta(seconds=seconds),
        lat=north_m / DEGREE_M,
        lon=east_m / DEGREE_M,
        **more,
    )


def run(fixes: Sequence[GpsUpdate], state: GpsState | None = None) -> tuple[GpsState | None, list[GpsFacts]]:
    facts: list[GpsFacts] = []
    for one in fixes:
        state, said = advance(state, one, RULES)
        facts.append(said)
    return state, facts


tracks = st.lists(
    st.builds(
        fix,
        st.integers(0, 4 * 3_600).map(lambda seconds: seconds / 2),
        st.one_of(st.floats(-300, 300), st.floats(-2e6, 2e6)),
        st.one_of(st.floats(-300, 300), st.just(5_000.0)),
    ),
    max_size=40,
)


def test_the_first_fix_has_a_cell_and_nothing_to_measure_from() -> None:
    _, (facts,) = run([fix(0, heading=90.0)])

    assert facts == GpsFacts(cell="89754e64993ffff", heading=90.0)


def test_a_movement_has_distance_time_speed_and_heading() -> None:
    _, (_, facts) = run([fix(0), fix(10, north_m=100)])

    assert facts.distance_m == pytest.approx(100)
    assert facts.seconds == 10
    assert facts.speed_mps == pytest.approx(10)
    assert facts.heading == pytest.approx(0)
    assert not any((facts.jump, facts.late, facts.repeat, facts.gap))


def test_the_heading_of_the_device_is_believed_before_that_of_the_movement() -> None:
    _, (_, facts) = run([fix(0), fix(10, north_m=100, heading=45.0)])

    assert facts.heading == 45.0


def test_standing_still_has_no_heading() -> None:
    _, (_, facts) = run([fix(0), fix(10, north_m=0.5)])

    assert facts.heading is None
    assert facts.speed_mps == pytest.approx(0.05)


def test_a_repeated_fix_changes_nothing() -> None:
    state, _ = run([fix(0), fix(10, north_m=100)])
    after, (facts,) = run([fix(10, north_m=100)], state)

    assert after is state
    assert facts.repeat
    assert facts.distance_m is None


@pytest.mark.parametrize("late", [fix(5), fix(10, north_m=500), fix(-86_400)])
def test_a_fix_that_is_not_newer_changes_nothing(late: GpsUpdate) -> None:
    state, _ = run([fix(0), fix(10, north_m=100)])
    after, (facts,) = run([late], state)

    assert after is state
    assert facts.late
    assert facts.distance_m is None


def test_a_long_pause_is_a_gap() -> None:
    _, facts = run([fix(0), fix(3_600), fix(7_201)])

    assert [one.gap for one in facts] == [False, False, True]


def test_a_jump_is_marked_and_the_way_back_is_not() -> None:
    _, facts = run([fix(0), fix(10), fix(20, north_m=50_000), fix(30, north_m=20), fix(40, north_m=30)])

    assert [one.jump for one in facts] == [False, False, True, False, False]
    assert facts[2].distance_m == pytest.approx(50_000)
    assert facts[2].speed_mps == pytest.approx(5_000)
    assert facts[3].distance_m == pytest.approx(20)
    assert facts[3].seconds == 20  # measured from the last fix that was believed


def test_jumps_to_ever_other_places_are_all_marked() -> None:
    fixes = [fix(0), *(fix(seconds, east_m=seconds * 10_000) for seconds in (10, 20, 30)), fix(40)]

    assert [one.jump for one in run(fixes)[1]] == [False, True, True, True, False]


def test_two_fixes_that_agree_on_another_place_are_believed() -> None:
    _, facts = run([fix(0), fix(10, east_m=90_000), fix(20, east_m=90_100), fix(30, east_m=90_200)])

    assert [one.jump for one in facts] == [False, True, False, False]
    assert facts[2].distance_m == pytest.approx(100)
    assert facts[3].distance_m == pytest.approx(100)


def test_a_repeated_jump_does_not_agree_with_itself() -> None:
    state, _ = run([fix(0), fix(10, east_m=90_000)])
    after, (facts,) = run([fix(10, east_m=90_000)], state)

    assert after is state
    assert facts.repeat
    assert facts.jump  # and is no more the present position than the first time


def test_a_fix_between_the_last_one_and_a_jump_is_part_of_the_track() -> None:
    _, facts = run([fix(0), fix(20, east_m=90_000), fix(10, east_m=50), fix(21, east_m=90_010), fix(22, east_m=60)])

    assert [one.late for one in facts] == [False] * 5
    assert [one.jump for one in facts] == [False, True, False, True, False]


@given(tracks)
def test_the_last_fix_of_the_state_never_goes_back(fixes: list[GpsUpdate]) -> None:
    state: GpsState | None = None
    for one in fixes:
        before = state
        state, facts = advance(state, one, RULES)
        if before is not None:
            assert state.last.ms >= before.last.ms
            if facts.late or facts.repeat:
                assert state is before
            if facts.jump:
                assert (state.last, state.marks, state.leg) == (before.last, before.marks, before.leg)


@given(tracks, st.lists(st.integers(0, 40), max_size=4))
def test_a_track_says_the_same_however_it_is_cut_and_stored(fixes: list[GpsUpdate], cuts: list[int]) -> None:
    whole_state, whole = run(fixes)
    state, said = None, list[GpsFacts]()
    borders = [0, *sorted(cuts), len(fixes)]
    for start, end in pairwise(borders):
        state, facts = run(fixes[start:end], state)
        said += facts
        stored = msgspec.msgpack.encode(state)
        assert len(stored) < 1_500
        state = msgspec.msgpack.decode(stored, type=GpsState | None)

    assert state == whole_state
    assert said == whole


@settings(max_examples=50, deadline=None)
@given(tracks)
def test_a_track_with_every_fix_twice_says_the_same_once_more(fixes: list[GpsUpdate]) -> None:
    once_state, once = run(fixes)
    twice_state, twice = run([one for one in fixes for _ in range(2)])

    assert twice_state == once_state
    assert twice[::2] == once
    assert all(one.repeat or one.late for one in twice[1::2])


@settings(max_examples=50, deadline=None)
@given(tracks)
def test_what_is_known_of_a_replayed_fix_changes_nothing(fixes: list[GpsUpdate]) -> None:
    state, _ = run(fixes)
    for one in fixes:
        facts = recall(state, one, RULES)
        assert facts.cell == advance(None, one, RULES)[1].cell
        assert state is not None
        where = (milliseconds(one.occurred_at), one.lat, one.lon)
        assert facts.jump == (where[0] > state.last.ms)  # what was seen and is newer was put aside
        assert (facts.late or facts.jump) == (where != (state.last.ms, state.last.lat, state.last.lon))
