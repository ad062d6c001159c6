"""`interval` as Postgres prints it (IntervalStyle postgres) to Debezium's microseconds or ISO 8601 text."""

import re

_INTERVAL = re.compile(
    rb"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?"
    rb"(?:([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?",
    re.ASCII,
)
_DAY_US = 86_400_000_000
_MONTH_US = 2_629_800_000_000  # a twelfth of 365.25 days, as Debezium counts
# PostgreSQL 17 and newer; the numbers are what it keeps for them.
_INFINITE = {b"infinity": 2**63 - 1, b"-infinity": -(2**63)}


def interval_as_microseconds(value: bytes) -> bytes:
    """Return an interval as microseconds; a month has 30.4375 days.

    Raises:
        ValueError: it is no interval.
    """
    if value in _INFINITE:
        return b"%d" % _INFINITE[value]
    years, months, days, sign, hours, minutes, seconds, micros = _parts(value)
    clock = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros
    return b"%d" % ((years * 12 + months) * _MONTH_US + days * _DAY_US + sign * clock)


def interval_as_text(value: bytes) -> bytes:
    """Return an interval as ISO 8601 with all of its parts: "P1Y2M-3DT4H5M6.7S"; infinite ones as Postgres prints them.

    Raises:
        ValueError: it is no interval.
    """
    if value in _INFINITE:
        return b'"%b"' % value
    years, months, days, sign, hours, minutes, seconds, micros = _parts(value)
    fraction = (b".%06d" % micros).rstrip(b"0") if micros else b""
    minus = b"-" if sign < 0 and (seconds or micros) else b""
    return b'"P%dY%dM%dDT%dH%dM%b%d%bS"' % (
        *(years, months, days, sign * hours, sign * minutes),
        *(minus, seconds, fraction),
    )


def _parts(value: bytes) -> tuple[int, int, int, int, int, int, int, int]:
    match = _INTERVAL.fullmatch(value)
    if match is None or not value:
        raise ValueError("no interval")
    years, months, days, sign, hours, minutes, seconds, fraction = match.groups()
    return (
        *(int(years or 0), int(months or 0), int(days or 0), -1 if sign == b"-" else 1),
        *(int(hours or 0), int(minutes or 0), int(seconds or 0), int((fraction or b"0").ljust(6, b"0"))),
    )
