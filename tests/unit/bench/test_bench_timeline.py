import pytest

from bench.runtime.keyed import judge, key
from bench.runtime.timeline import Point, Sample, grown, percentile, slope, span, working


def test_the_rate_is_that_of_the_time_between_the_first_and_the_last_thing_that_was_finished() -> None:
    idle_before_and_after = [
        Sample(0.0, 0, 1.0),
        Sample(5.0, 0, 1.0),
        Sample(6.0, 100, 2.0, runs=1),
        Sample(8.0, 500, 4.0, runs=3),
        Sample(20.0, 500, 4.1, runs=3),
    ]
    found = span([idle_before_and_after])
    assert (found.start, found.end, found.done, found.cpu, found.runs) == (6.0, 8.0, 400.0, 2.0, 2.0)
    assert found.rate == 200.0


def test_workers_are_counted_together_while_all_of_them_have_work() -> None:
    first = [Sample(0.0, 0, 0.0), Sample(1.0, 100, 1.0), Sample(11.0, 1100, 11.0)]
    second = [Sample(5.0, 0, 0.0), Sample(6.0, 200, 1.0), Sample(8.0, 600, 3.0)]
    found = span([first, second])
    assert (found.start, found.end) == (6.0, 8.0)
    assert found.done == 200 + 400
    assert found.cpu == 2.0 + 2.0


@pytest.mark.parametrize(
    "timelines",
    [
        [],
        [[]],
        [[Sample(0.0, 0, 0.0)]],
        [[Sample(0.0, 5, 0.0), Sample(1.0, 6, 0.0)], [Sample(2.0, 5, 0.0), Sample(3.0, 6, 0.0)]],
    ],
)
def test_workers_that_never_worked_at_the_same_time_have_no_rate(timelines: list[list[Sample]]) -> None:
    with pytest.raises(ValueError, match="never worked at the same time"):
        span(timelines)


def test_nothing_is_cut_from_a_worker_that_was_busy_all_the_time() -> None:
    busy = [Sample(0.0, 1, 0.0), Sample(1.0, 2, 0.0), Sample(2.0, 3, 0.0)]
    assert working(busy) == busy


def test_growth_between_two_looks_is_taken_from_the_line_between_them() -> None:
    points = [Point(0.0, 0.0), Point(10.0, 100.0)]
    assert grown(points, 2.0, 5.0) == 30.0


def test_growth_outside_of_all_looks_is_none() -> None:
    points = [Point(0.0, 0.0), Point(10.0, 100.0)]
    assert grown(points, -5.0, 0.0) == 0.0
    assert grown(points, 10.0, 15.0) == 0.0


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_the_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope([Point(0.0, 1.0), Point(1.0, 3.0), Point(2.0, 5.0)]) == pytest.approx(2.0)
    assert slope([Point(0.0, 1.0)]) == 0.0


def test_memory_that_goes_up_and_down_counts_as_flat() -> None:
    found = judge([Point(float(at), 100.0 + at % 5) for at in range(100)])
    assert found["growth"] == pytest.approx(0.0)
    assert found["start_mib"] == 100.0
    assert found["most_mib"] == 104.0


def test_memory_that_keeps_growing_does_not() -> None:
    found = judge([Point(float(at), 100.0 + at) for at in range(100)])
    assert found["growth"] > 50
    assert found["slope_kib_per_minute"] == pytest.approx(60 * 1024)


def test_the_keys_of_the_large_table_differ() -> None:
    assert len({key(number) for number in range(10_000)}) == 10_000
    assert {len(key(number)) for number in range(100)} == {36}
