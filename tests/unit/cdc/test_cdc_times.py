"""Expected values were written by Debezium 3.4.3's stream, except infinite dates, which overflow there."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.times import days, instant, microseconds, time_microseconds, time_of_zone

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1970-01-01", 0),
        (b"1969-12-31", -1),
        (b"2024-02-29", 19_782),
        (b"1500-01-01", -171_664),
        (b"0044-03-15 BC", -735_160),
        (b"0001-12-31 BC", -719_163),
        (b"12000-01-01", 3_663_382),
        (b"infinity", 2**31 - 1),
        (b"-infinity", -(2**31)),
    ],
)
def test_a_date_is_days_since_1970(text: bytes, expected: int) -> None:
    assert days(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1970-01-01 00:00:00", 0),
        (b"2024-02-29 12:34:56.123456", 1_709_210_096_123_456),
        (b"2024-02-29 12:34:56.1", 1_709_210_096_100_000),
        (b"1969-12-31 23:59:59.999999", -1),
        (b"1500-01-01 00:00:00.5", -14_831_769_599_500_000),
        (b"0044-03-15 01:02:03 BC", -63_517_820_277_000_000),
        (b"12000-01-01 00:00:00", 316_516_204_800_000_000),
        (b"infinity", 9_223_372_036_825_200_000),
        (b"-infinity", -9_223_372_036_832_400_000),
    ],
)
def test_a_timestamp_is_microseconds_since_1970(text: bytes, expected: int) -> None:
    assert microseconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"00:00:00", 0),
        (b"00:00:00.000001", 1),
        (b"12:34:56.1", 45_296_100_000),
        (b"23:59:59.999999", 86_399_999_999),
        (b"24:00:00", 86_400_000_000),
    ],
)
def test_a_time_is_microseconds_of_the_day(text: bytes, expected: int) -> None:
    assert time_microseconds(text) == expected


@pytest.mark.parametrize(
    ("text", "digits", "expected"),
    [
        (b"2024-02-29 10:34:56.123456+00", 6, b"2024-02-29T10:34:56.123456Z"),
        (b"2024-02-29 10:34:56+00", 6, b"2024-02-29T10:34:56.000000Z"),
        (b"2024-02-29 10:34:56.12+00", 3, b"2024-02-29T10:34:56.120Z"),
        (b"2024-02-29 10:34:56.1+00", 1, b"2024-02-29T10:34:56.1Z"),
        (b"2024-02-29 10:34:56+00", 0, b"2024-02-29T10:34:56Z"),
        (b"1500-01-01 00:00:00.5+00", 6, b"1500-01-01T00:00:00.500000Z"),
        (b"0044-03-15 01:02:03+00 BC", 6, b"-0043-03-15T01:02:03.000000Z"),
        (b"0001-12-31 00:00:00+00 BC", 0, b"0000-12-31T00:00:00Z"),
        (b"12000-01-01 00:00:00+00", 6, b"+12000-01-01T00:00:00.000000Z"),
        (b"infinity", 6, b"infinity"),
        (b"-infinity", 0, b"-infinity"),
    ],
)
def test_an_instant_is_iso_8601_with_the_digits_of_its_type(text: bytes, digits: int, expected: bytes) -> None:
    assert instant(text, digits) == expected


@given(st.dates())
def test_days_agree_with_the_calendar_of_python(day: date) -> None:
    expected = (day - date(1970, 1, 1)).days
    assert days(day.isoformat().encode()) == expected


@given(st.datetimes())
def test_timestamps_and_instants_agree_with_the_clock_of_python(moment: datetime) -> None:
    text = moment.isoformat(" ").encode()
    assert microseconds(text) == (moment - EPOCH) // timedelta(microseconds=1)
    iso = moment.replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert instant(text + b"+00", 6) == iso.encode()


@given(st.times())
def test_times_of_day_agree_with_those_of_python(moment: time) -> None:
    expected = timedelta(
        hours=moment.hour, minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond
    )
    assert time_microseconds(moment.isoformat().encode()) == expected // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"12:34:56.789+02", b"10:34:56.789Z"),
        (b"00:30:00+02", b"22:30:00Z"),
        (b"24:00:00+00", b"00:00:00Z"),
        (b"00:00:00-05:30", b"05:30:00Z"),
        (b"12:34:56.123456+02:30:15", b"10:04:41.123456Z"),  # Debezium cannot read this one
    ],
)
def test_a_time_with_time_zone_is_a_time_in_utc(text: bytes, expected: bytes) -> None:
    assert time_of_zone(text) == expected


@pytest.mark.parametrize("text", [b"", b"12:34:56", b"12:34:56+2", b"x+02"])
def test_a_time_without_its_zone_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no time"):
        time_of_zone(text)


@given(st.integers(-4712 * 366, 290_000 * 365))
def test_years_that_python_does_not_have_follow_one_another_without_a_gap(offset: int) -> None:
    year, month = divmod(offset // 31, 12)
    first, second = (days(civil(year, month + 1, day)) for day in (27, 28))
    assert second - first == 1
    after = days(civil(year + month // 11, (month + 1) % 12 + 1, 1))
    assert after - second in (1, 2, 3, 4)


def civil(year: int, month: int, day: int) -> bytes:
    era = b"" if year > 0 else b" BC"
    return b"%04d-%02d-%02d%b" % (year if year > 0 else 1 - year, month, day, era)


@pytest.mark.parametrize("text", [b"", b"x", b"2024-13-01", b"2024-02-30x", b"2024-1-1", b"infinity ", b"NaN", b"\xff"])
def test_other_texts_are_refused(text: bytes) -> None:
    for read in (days, microseconds, time_microseconds):
        with pytest.raises(ValueError, match=r"."):
            read(text)
    with pytest.raises(ValueError, match=r"."):
        instant(text, 6)


def test_an_instant_of_another_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="UTC"):
        instant(b"2024-02-29 12:34:56+02", 6)
