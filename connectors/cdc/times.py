"""Dates and times as Postgres prints them (DateStyle ISO, TimeZone UTC) to the numbers and texts of Debezium.

All calendars are proleptic Gregorian, as Postgres's is. Python's own types end at the years 1 and 9999 and know no
infinity, so they serve only the common case.
"""

import re
from datetime import date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a timestamp without time zone has none
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH_TEXT = "1970-01-01 "
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = 86_400_000_000

_DATE = re.compile(rb"(\d{4,})-(\d\d)-(\d\d)( BC)?", re.ASCII)
_TIME = re.compile(rb"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII)
_ZONE = re.compile(rb"([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?\Z", re.ASCII)

# What Postgres keeps for infinity in a date.
DATE_INFINITY = {b"infinity": 2**31 - 1, b"-infinity": -(2**31)}
# Debezium's numbers for infinity in a timestamp, in microseconds.
TIMESTAMP_INFINITY_US = {b"infinity": 9_223_372_036_825_200_000, b"-infinity": -9_223_372_036_832_400_000}
_TIMESTAMP_INFINITY_ISO = {b"infinity": b"+294247-01-10T04:00:25.2Z", b"-infinity": b"-290308-12-21T19:59:27.6Z"}


def days(text: bytes) -> int:
    """Return a date as days since 1970-01-01.

    Raises:
        ValueError: it is no date.
    """
    if len(text) == 10:
        try:
            return date.fromisoformat(text.decode()).toordinal() - _EPOCH_DAY
        except ValueError:
            pass  # the regular expression below tells a wrong text from a strange year
    if text in DATE_INFINITY:
        return DATE_INFINITY[text]
    year, month, day = _civil(text)
    return _days_from_civil(year, month, day)


def microseconds(text: bytes) -> int:
    """Return a timestamp without time zone as microseconds since 1970-01-01 00:00.

    Raises:
        ValueError: it is no timestamp.
    """
    try:
        return (datetime.fromisoformat(text.decode()) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError):
        pass  # a strange year, infinity, or wrong
    if text in TIMESTAMP_INFINITY_US:
        return TIMESTAMP_INFINITY_US[text]
    year, month, day, clock = _split(text)
    return _days_from_civil(year, month, day) * _DAY_US + time_microseconds(clock)


def time_microseconds(text: bytes) -> int:
    """Return a time of day as microseconds; 24:00:00 is a day.

    Raises:
        ValueError: it is no time.
    """
    if len(text) in (8, 15) and text[2:3] == b":":
        try:
            return (datetime.fromisoformat(_EPOCH_TEXT + text.decode()) - _EPOCH) // _MICROSECOND
        except (ValueError, TypeError):
            pass  # 24:00:00, or wrong
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("no time of day")
    hours, minutes, seconds, fraction = match.groups()
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * 1_000_000 + (int(fraction.ljust(6, b"0")) if fraction else 0)


_WHOLE_SECONDS = [b"%bT%bZ", *(b"%bT%b." + b"0" * digits + b"Z" for digits in range(1, 7))]


def instant(text: bytes, digits: int) -> bytes:
    """Return a timestamp with time zone as ISO 8601 in UTC, with so many digits after the second; or "infinity".

    Years after 9999 get a plus sign, and the year before 1 is 0, as ISO 8601 and Java write them.

    Raises:
        ValueError: it is no timestamp in UTC.
    """
    if (
        len(text) == 22 and text.translate(None, b"0123456789") == b"-- ::+" and text[19:] == b"+00"
    ):  # a whole second of the years 1 to 9999, as most are
        return _WHOLE_SECONDS[digits] % (text[:10], text[11:19])
    if text in TIMESTAMP_INFINITY_US:
        return text
    if not text.endswith((b"+00", b"+00 BC")):
        raise ValueError("no timestamp in UTC")
    if text[10:11] == b" " and text.endswith(b"+00"):
        day, clock = text[:10], text[11:-3]  # all of the years 1 to 9999
        _civil(day)
    else:
        year, month, of_month, clock = _split(text.replace(b"+00", b"", 1))
        day = _iso_day(year, month, of_month)
    if _TIME.fullmatch(clock) is None:
        raise ValueError("no time of day")
    seconds, _, fraction = clock.partition(b".")
    if digits == 0:
        return b"%bT%bZ" % (day, seconds)
    return b"%bT%b.%bZ" % (day, seconds, fraction.ljust(digits, b"0"))


def instant_json(value: bytes) -> bytes:
    """Return a timestamp with time zone as JSON, in microseconds; ValueError when it is none in UTC."""
    # What nearly all are like, in a third of the time.
    signs = value.translate(None, b"0123456789")
    if len(value) == 22 and signs == b"-- ::+" and value.endswith(b"+00") and value[10:11] == b" ":
        return b'"%b.000000Z"' % value[:19].replace(b" ", b"T", 1)
    if len(value) == 29 and signs == b"-- ::.+" and value.endswith(b"+00") and value[10:11] == b" ":
        return b'"%bZ"' % value[:26].replace(b" ", b"T", 1)
    return b'"%b"' % instant(value, 6)


def time_of_zone(text: bytes) -> bytes:
    """Return a time of day with time zone as ISO 8601 in UTC: "10:34:56.789Z", with no more digits than it needs.

    The day is lost: 24:00:00 is 00:00:00, and what another zone moves past midnight is a time of day again.

    Raises:
        ValueError: it is no time with time zone.
    """
    match = _ZONE.search(text)
    if match is None:
        raise ValueError("no time with time zone")
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    east = (hours * 60 + minutes) * 60 + seconds
    offset = -east if match[1] == b"-" else east
    return clock(time_microseconds(text[: match.start()]) - offset * 1_000_000)


def clock(microseconds_of_day: int) -> bytes:
    """Return a time of day as ISO 8601 in UTC, with no more digits than it needs; 24:00:00 is 00:00:00."""
    seconds, micros = divmod(microseconds_of_day % _DAY_US, 1_000_000)
    fraction = (b".%06d" % micros).rstrip(b"0") if micros else b""
    return b"%02d:%02d:%02d%bZ" % (seconds // 3600, seconds // 60 % 60, seconds % 60, fraction)


def iso_date(text: bytes) -> bytes:
    """Return a date as Debezium's IsoDate: "2024-02-29Z"; infinite ones as Postgres prints them.

    Raises:
        ValueError: it is no date.
    """
    return text if text in DATE_INFINITY else b"%bZ" % _iso_day(*_civil(text))


def iso_timestamp(text: bytes) -> bytes:
    """Return a timestamp as Debezium's IsoTimestamp: "2024-02-29T12:34:56.5Z", with no more digits than it needs.

    Infinite ones are the moments that Debezium writes for them.

    Raises:
        ValueError: it is no timestamp.
    """
    if text in _TIMESTAMP_INFINITY_ISO:
        return _TIMESTAMP_INFINITY_ISO[text]
    year, month, day, time_of_day = _split(text)
    return b"%bT%b" % (_iso_day(year, month, day), clock(time_microseconds(time_of_day)))


def _iso_day(year: int, month: int, day: int) -> bytes:
    sign = b"-" if year < 0 else b"+" if year > 9999 else b""
    return b"%b%04d-%02d-%02d" % (sign, abs(year), month, day)


def _split(text: bytes) -> tuple[int, int, int, bytes]:
    era = b" BC" if text.endswith(b" BC") else b""
    day, _, clock = text.removesuffix(b" BC").partition(b" ")
    return *_civil(day + era), clock


def _civil(text: bytes) -> tuple[int, int, int]:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("no date")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError("no date")
    return (1 - year if match[4] else year), month, day


def _days_from_civil(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 for any year.

    Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468
