from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import GpsUpdate
from streams.enrichment.geo import distance_m
from streams.enrichment.gps import advance
from streams.enrichment.track import GpsFacts, GpsRules, GpsState, Segment, Stay

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEGREE_M = 111_195.08
RULES = GpsRules()

Where = tuple[float, float]  # metres to the north and to the east of the origin


def fix(minutes: float, where: Where, origin: Where = (0.0, 0.0)) -> GpsUpdate:
    lon = (origin[1] + where[1] / DEGREE_M + 180) % 360 - 180
    when = START + timedelta(minutes=minutes)
    return GpsUpdate(event_id="e", user_id="u", occurred_at=when, lat=origin[0] + where[0] / DEGREE_M, lon=lon)


def resting(start: float, end: float, where: Where = (0, 0), every: float = 1) -> list[GpsUpdate]:
    count = round((end - start) / every)
    return [fix(start + number * every, where) for number in range(count + 1)]


def walking(start: float, end: float, here: Where, there: Where) -> list[GpsUpdate]:
    """A fix a minute on the straight way, both ends left out."""
    count = round(end - start)
    return [
        fix(
            start + number,
            (here[0] + (there[0] - here[0]) * number / count, here[1] + (there[1] - here[1]) * number / count),
        )
        for number in range(1, count)
    ]


def ended(fixes: Iterable[GpsUpdate], rules: GpsRules = RULES) -> tuple[list[Stay], list[Segment], GpsState | None]:
    state: GpsState | None = None
    facts: list[GpsFacts] = []
    for one in fixes:
        state, said = advance(state, one, rules)
        facts.append(said)
    return [one.stay for one in facts if one.stay], [one.segment for one in facts if one.segment], state


def minutes(moment: datetime) -> float:
    return (moment - START).total_seconds() / 60


HOME, CAFE = (0.0, 0.0), (1_800.0, 0.0)  # 90 m a minute: the first step is within the radius of a stay
DAY = [
    *resting(0, 30, HOME),
    *walking(30, 50, HOME, CAFE),
    *resting(50, 110, CAFE),
    *walking(110, 130, CAFE, HOME),
    *resting(130, 200, HOME),
]


def test_a_day_is_stays_with_movement_between_them() -> None:
    stays, segments, state = ended(DAY)

    # The cafe's stay is measured from its first fix, 90 m before the cafe: 90 m behind it is still there.
    assert [(minutes(one.arrived), minutes(one.left)) for one in stays] == [(0, 31), (49, 112)]
    assert [(minutes(one.started), minutes(one.ended)) for one in segments] == [(31, 49), (112, 129)]
    assert state is not None
    assert state.staying  # at home again, and not over


def test_a_segment_has_its_length_and_speeds() -> None:
    _, (there, back), _ = ended(DAY)

    assert there.distance_m == pytest.approx(1_620)
    assert there.seconds == 18 * 60
    assert there.mean_speed_mps == pytest.approx(1.5)
    assert there.max_speed_mps == pytest.approx(1.5)
    assert there.fixes == 19
    assert (there.start_lat * DEGREE_M, there.end_lat * DEGREE_M) == pytest.approx((90, 1_710))
    assert (back.start_lat * DEGREE_M, back.end_lat * DEGREE_M) == pytest.approx((1_620, 90))


def test_a_stay_has_the_mean_of_its_positions() -> None:
    fixes = [fix(number, (10.0 * (number % 2), 20.0 * (number % 2))) for number in range(20)]

    (stay,), _, _ = ended([*fixes, fix(20, (500, 0))])

    assert (stay.lat * DEGREE_M, stay.lon * DEGREE_M) == pytest.approx((5, 10))
    assert stay.fixes == 20
    assert stay.seconds == 19 * 60


@pytest.mark.parametrize("origin", [(0.0, 180.0), (-17.7, -180.0), (70.0, 179.9999)])
def test_a_stay_on_the_antimeridian_is_where_its_fixes_are(origin: Where) -> None:
    fixes = [fix(number, (0, 15.0 * (-1) ** number), origin) for number in range(20)]

    (stay,), _, _ = ended([*fixes, fix(20, (500, 0), origin)])

    assert all(distance_m(stay.lat, stay.lon, one.lat, one.lon) < 16 for one in fixes)


def test_ids_follow_the_traveller_and_the_start_alone() -> None:
    stays, segments, _ = ended(DAY)
    again, segments_again, _ = ended(DAY)

    assert stays[0].id == f"u:{int(START.timestamp() * 1000)}"
    assert [one.id for one in stays + segments] == [one.id for one in again + segments_again]


def test_a_short_stop_is_part_of_the_segment() -> None:
    fixes = [
        *resting(0, 20, HOME),
        *walking(20, 40, HOME, CAFE),
        *resting(40, 50, CAFE),
        *walking(50, 70, CAFE, (3_600.0, 0)),
        *resting(70, 90, (3_600.0, 0)),
    ]

    stays, segments, _ = ended(fixes)

    assert len(stays) == 1
    assert [(minutes(one.started), minutes(one.ended)) for one in segments] == [(21, 69)]


def test_a_gap_ends_the_segment_before_it() -> None:
    fixes = [*walking(0, 10, HOME, (1_000.0, 0)), *walking(100, 110, (5_000.0, 0), (6_000.0, 0)), fix(200, HOME)]

    stays, segments, _ = ended(fixes)

    assert stays == []
    assert [(minutes(one.started), minutes(one.ended), one.fixes) for one in segments] == [(1, 9, 9), (101, 109, 9)]


def test_hours_without_a_fix_at_one_place_are_a_stay() -> None:
    """Receivers are silent in buildings."""
    fixes = [*walking(0, 10, HOME, (900.0, 0)), fix(10, (900.0, 0)), fix(200, (890.0, 0)), fix(201, CAFE)]

    (stay,), (segment,), _ = ended(fixes)

    assert (minutes(stay.arrived), minutes(stay.left)) == (9, 200)
    assert (minutes(segment.started), minutes(segment.ended)) == (1, 9)


def test_rare_fixes_at_one_place_are_a_stay_even_when_every_pause_is_a_gap() -> None:
    rules = GpsRules(stay_minutes=30, gap_minutes=5)

    stays, segments, _ = ended([*resting(0, 60, every=10), fix(61, CAFE), fix(62, (2_100.0, 0)), fix(80, HOME)], rules)

    assert [(minutes(one.arrived), minutes(one.left)) for one in stays] == [(0, 60)]
    assert [(minutes(one.started), minutes(one.ended)) for one in segments] == [(60, 62)]


def test_a_jump_during_a_stay_does_not_end_it() -> None:
    fixes = [*resting(0, 10), fix(10.1, (50_000.0, 0)), *resting(11, 30), fix(31, CAFE)]

    (stay,), _, _ = ended(fixes)

    assert (minutes(stay.arrived), minutes(stay.left), stay.fixes) == (0, 30, 31)


def test_being_somewhere_else_all_at_once_ends_what_was() -> None:
    there = (900_000.0, 0.0)
    fixes = [*resting(0, 20), fix(21, there), *walking(21, 31, there, (900_900.0, 0)), *resting(31, 50, (900_900.0, 0))]

    stays, segments, _ = ended([*fixes, fix(51, (910_000.0, 0))])

    assert [(minutes(one.arrived), minutes(one.left)) for one in stays] == [(0, 20), (30, 50)]
    assert [(minutes(one.started), minutes(one.ended)) for one in segments] == [(21, 30)]


def published(fixes: Sequence[GpsUpdate], rules: GpsRules) -> list[tuple[datetime, datetime, int]]:
    """The algorithm of Li et al. (2008), on the whole track; a stay at its end is not finished."""
    found: list[tuple[datetime, datetime, int]] = []
    i = 0
    while i < len(fixes):
        j = i + 1
        while j < len(fixes) and _metres(fixes[i], fixes[j]) <= rules.stay_metres:
            j += 1
        if fixes[j - 1].occurred_at - fixes[i].occurred_at >= timedelta(minutes=rules.stay_minutes):
            if j < len(fixes):
                found.append((fixes[i].occurred_at, fixes[j - 1].occurred_at, j - i))
            i = j
        else:
            i += 1
    return found


def _metres(a: GpsUpdate, b: GpsUpdate) -> float:
    return distance_m(a.lat, a.lon, b.lat, b.lon)


def tracks(pauses: st.SearchStrategy[float]) -> st.SearchStrategy[list[GpsUpdate]]:
    near = st.floats(-70, 70)
    steps = st.lists(
        st.tuples(pauses, st.one_of(st.tuples(near, near), st.tuples(st.floats(-900, 900), near))), max_size=60
    )

    def track(taken: list[tuple[float, Where]]) -> list[GpsUpdate]:
        now, north, east, fixes = 0.0, 0.0, 0.0, list[GpsUpdate]()
        for pause, (to_north, to_east) in taken:
            now, north, east = now + pause, north + to_north, east + to_east
            fixes.append(fix(now, (north, east)))
        return fixes

    return steps.map(track)


@given(tracks(st.one_of(st.floats(1, 6), st.sampled_from([59.0, 61.0, 300.0]))))
def test_with_a_fix_a_minute_stays_are_those_of_the_published_algorithm(fixes: list[GpsUpdate]) -> None:
    stays, _, _ = ended(fixes)

    assert [(one.arrived, one.left, one.fixes) for one in stays] == published(_in_milliseconds(fixes), RULES)


@given(tracks(st.one_of(st.floats(0.02, 0.5), st.floats(1, 40), st.sampled_from([61.0, 300.0]))))
def test_stays_and_segments_follow_each_other_without_overlap(fixes: list[GpsUpdate]) -> None:
    stays, segments, _ = ended(fixes)
    spans = sorted([(one.arrived, one.left) for one in stays] + [(one.started, one.ended) for one in segments])

    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert len({one.id for one in stays}) == len(stays)
    assert len({one.id for one in segments}) == len(segments)
    for stay in stays:
        assert stay.seconds >= RULES.stay_minutes * 60
        assert 2 <= stay.fixes <= len(fixes)
    for segment in segments:
        straight = distance_m(segment.start_lat, segment.start_lon, segment.end_lat, segment.end_lon)
        assert segment.fixes >= 2
        assert segment.distance_m >= straight - 1e-6
        assert segment.max_speed_mps >= segment.mean_speed_mps - 1e-9
        assert segment.distance_m == pytest.approx(segment.mean_speed_mps * segment.seconds)


@settings(max_examples=50, deadline=None)
@given(tracks(st.floats(0.1, 30)))  # too slow for jumps, which are not counted
def test_every_movement_within_a_segment_is_counted_once(fixes: list[GpsUpdate]) -> None:
    _, segments, _ = ended(fixes)
    times = [one.occurred_at for one in _in_milliseconds(fixes)]

    for segment in segments:
        inside = [one for one, when in zip(fixes, times, strict=True) if segment.started <= when <= segment.ended]
        assert segment.fixes == len(inside)
        assert segment.distance_m == pytest.approx(sum(_metres(a, b) for a, b in pairwise(inside)))


def _in_milliseconds(fixes: list[GpsUpdate]) -> list[GpsUpdate]:
    """The track as the state sees it: times are whole milliseconds."""
    return [
        GpsUpdate(
            event_id="e",
            user_id="u",
            occurred_at=one.occurred_at.replace(microsecond=one.occurred_at.microsecond // 1_000 * 1_000),
            lat=one.lat,
            lon=one.lon,
        )
        for one in fixes
    ]
