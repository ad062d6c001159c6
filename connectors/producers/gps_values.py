"""What GPS files of all kinds have in common: numbers, times, units, and a fix made of them."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.events import GpsUpdate, InvalidEvent
from schemas.reasons import shortened

METRES_PER_FOOT = 0.3048
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What loggers write, in any letter case, where they know nothing.
UNKNOWN = frozenset({"", "-", "--", "nan", "null", "none", "nil", "na", "n/a", "\\n", "unknown"})
_COMPACT_TIME = re.compile(r"(?:19|20)\d{12}")  # 20081023025304
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DATE_ONLY = re.compile(r"\d{4}\D\d{1,2}\D\d{1,2}")
_ZONE_NAME = re.compile(r"\s*(?:UTC|GMT)$")
_ZONE_AFTER_SPACE = re.compile(r"\s+([+-]\d\d:?\d\d)$")
_YEAR_FIRST = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})[T\s]+(\d{1,2})(:.+)")
# Between 1990 and 2100 the same number cannot be a time in two of these units.
_UNITS_PER_SECOND = (1, 1_000, 1_000_000, 1_000_000_000)
_MOST_SECONDS = 4_102_444_800  # 2100-01-01

# An id repeats only for points as near to each other in the file as this; it bounds the memory of a large file.
_REMEMBERED_POINTS = 250_000


class Fix(NamedTuple):
    """The values of one point, in the units of GpsUpdate."""

    user: str
    at: datetime
    lat: float
    lon: float
    accuracy: float | None = None
    speed: float | None = None
    heading: float | None = None
    altitude: float | None = None


class Fixes:
    """Makes events of the fixes of one file.

    The id of an event follows from the user, the time, the position, and how often the file had the same before. So a
    file sent twice gives the same ids, and a point that stands in a file twice gives two.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def event(self, fix: Fix) -> GpsUpdate:
        """Return the event of a fix, checked.

        Raises:
            InvalidEvent: a value is out of range; names the field.
        """
        known = {name: value for name, value in fix._asdict().items() if value is not None}
        fields = {
            "event_id": self._event_id(fix),
            "user_id": known.pop("user"),
            "occurred_at": known.pop("at"),
            **known,
        }
        try:
            return msgspec.convert(fields, GpsUpdate)
        except msgspec.ValidationError as error:
            raise InvalidEvent(shortened(str(error))) from error

    def _event_id(self, fix: Fix) -> str:
        same = "\0".join((fix.user, fix.at.isoformat(), repr(fix.lat), repr(fix.lon))).encode("utf-8", "replace")
        if len(self._seen) >= _REMEMBERED_POINTS:
            self._seen.clear()
        key = blake2b(same, digest_size=8).digest()
        occurrence = self._seen[key] = self._seen.get(key, 0) + 1
        return "gps-" + blake2b(b"%b\0%d" % (same, occurrence), digest_size=16).hexdigest()


def number(name: str, text: str) -> float:
    """Return a number.

    Raises:
        InvalidEvent: names the field.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text) is None:
        raise _unexpected("a number", name, text)
    return float(text)


def known_number(name: str, text: str | None, *, unknown: Iterable[float] = ()) -> float | None:
    """Return a number, or None where the file says that it is not known; `unknown` are numbers that say so."""
    if text is None or text.strip().lower() in UNKNOWN:
        return None
    value = number(name, text)
    return None if value in unknown else value


def moment(text: str) -> datetime:
    """Return the time that a text says, in UTC.

    ISO 8601 with an offset, or without one (then it is UTC); the same with a space or with slashes; YYYYMMDDHHMMSS; and
    seconds, milliseconds, microseconds or nanoseconds since 1970.

    Raises:
        InvalidEvent: it is none of these, or has no time of day.
    """
    text = text.strip()
    if _DATE_ONLY.fullmatch(text):
        raise _unexpected("a time of day with the date", "time", text)
    try:
        if _COMPACT_TIME.fullmatch(text):
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        if _NUMBER.fullmatch(text):
            return _since_1970(text)
        plain = _ZONE_AFTER_SPACE.sub(r"\1", _ZONE_NAME.sub("+00:00", text.upper()))
        parsed = datetime.fromisoformat(_YEAR_FIRST.sub(_padded, plain))
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _unexpected("ISO 8601 or a number since 1970", "time", text) from error


def _unexpected(wanted: str, name: str, text: str) -> InvalidEvent:
    return InvalidEvent(shortened(f"Expected {wanted} - at `{name}`, got {text!r}") if text else f"`{name}` is missing")


def _padded(found: re.Match[str]) -> str:
    year, month, day, hour, rest = found.groups()
    return f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}{rest}"


def _since_1970(text: str) -> datetime:
    for units in _UNITS_PER_SECOND:
        value = int(text) if text.isdigit() else float(text)
        if abs(value) < _MOST_SECONDS * units:
            # Whole units are divided as integers: a float would round the microseconds of a time in nanoseconds.
            microseconds = value * 1_000_000 // units if isinstance(value, int) else round(value * 1_000_000 / units)
            return EPOCH + timedelta(microseconds=microseconds)
    raise ValueError(f"{text} is after 2100 in every unit")
