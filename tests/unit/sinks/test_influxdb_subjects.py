"""What a batch is about, found out for all writes together, is what each of them is about by itself."""

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.influxdb.lines import EARLIEST, LATEST, Point, Series, Unfit, place_of, series_key
from connectors.sinks.influxdb.queries import times_of
from connectors.sinks.influxdb.subjects import subjects_of
from schemas.writes import TimeSeriesWrite
from tests.unit.sinks.test_influxdb_lines import write

BATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "measurement": st.sampled_from(["gps", "speed", "gps", "", "_x", "bad\n"]),
            "tags": st.sampled_from(
                [{"a": "1"}, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1", "b": ""}, {"time": "1"}]
            ),
            "time_ns": st.sampled_from([1, 2, 3, EARLIEST - 1, LATEST + 1]),
        }
    ),
    max_size=8,
)


def alone(one: TimeSeriesWrite) -> Point | str:
    try:
        return place_of(one)
    except Unfit as error:
        return str(error)


@given(BATCHES)
def test_what_a_batch_is_about_is_what_its_writes_are_about_one_by_one(given: list[dict[str, Any]]) -> None:
    batch = [write(**one) for one in given]
    subjects = subjects_of(batch)
    expected = [alone(one) for one in batch]
    assert [subjects.refused.get(place) or subjects.point(place) for place in range(len(batch))] == expected
    places: defaultdict[Point, list[int]] = defaultdict(list)
    for place, point in enumerate(expected):
        if isinstance(point, Point):
            places[point].append(place)
            assert subjects.keys[place] == series_key(point.measurement, point.tags)
    assert subjects.several == {point: some for point, some in places.items() if len(some) > 1}
    assert subjects.times == times_of(point for point in expected if isinstance(point, Point))


def test_two_orders_of_the_same_tags_are_one_series() -> None:
    subjects = subjects_of([write(tags={"b": "2", "a": "1"}), write(tags={"a": "1", "b": "2"}, time_ns=6)])
    assert subjects.times == {Series("gps", (("a", "1"), ("b", "2"))): [5, 6]}
