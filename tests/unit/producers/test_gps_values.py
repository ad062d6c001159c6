from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.producers.gps_values import moment, number
from schemas.events import InvalidEvent

MOMENT = datetime(2008, 10, 23, 2, 53, 4, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)).map(  # noqa: DTZ001 - the zone is put on
    lambda drawn: drawn.replace(tzinfo=UTC)
)


@pytest.mark.parametrize(
    "text",
    [
        "2008-10-23T02:53:04Z",
        "2008-10-23t02:53:04z",
        "2008-10-23T02:53:04",
        "2008-10-23 02:53:04",
        "2008-10-23 02:53:04 UTC",
        "2008-10-23 02:53:04 gmt",
        "2008-10-23T04:53:04+02:00",
        "2008-10-23 04:53:04 +0200",
        "2008-10-22T18:53:04-08",
        "2008/10/23 02:53:04",
        "2008/10/23 2:53:04",
        "2008-10-23T02:53:04.000000000Z",
        "20081023T025304Z",
        "20081023025304",
        "20081023 025304",
        " 1224730384 ",
        "1224730384.0",
        "1.224730384E9",
        "1224730384000",
        "1224730384000000",
        "1224730384000000000",
    ],
)
def test_times_are_read_in_all_their_usual_forms(text: str) -> None:
    assert moment(text) == MOMENT
    assert moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "noon", "2008-10-23", "2008/10/23", "23/10/2008 02:53:04", "10/23/08 2:53 AM", "1e99", "9" * 5_000]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent, match="`time`"):
        moment(text)


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_iso_8601_is_read_exactly_whatever_its_zone(drawn: datetime, minutes: int) -> None:
    assert moment(drawn.astimezone(timezone(timedelta(minutes=minutes))).isoformat()) == drawn


@given(MOMENTS, st.sampled_from([1_000, 1_000_000, 1_000_000_000]))
def test_whole_numbers_since_1970_are_read_exactly_whatever_their_unit(drawn: datetime, units: int) -> None:
    microseconds = (drawn - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    expected = drawn if units > 1_000 else drawn.replace(microsecond=drawn.microsecond // 1_000 * 1_000)
    assert moment(str(microseconds * units // 1_000_000)) == expected


@given(st.text())
def test_no_text_breaks_the_reading_of_a_number_or_time(text: str) -> None:
    for read in (moment, partial(number, "lat")):
        try:
            read(text)
        except InvalidEvent as error:
            assert len(str(error)) <= 1_000  # noqa: PT017 - refused is as good as read
