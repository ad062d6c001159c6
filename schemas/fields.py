"""The field types that events share, with their units and ranges.

A range stands in the type, so that one pass of the decoder both reads and checks it, and the generated JSON Schema
says the same thing.
"""

from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta

# Python's `$` also matches before a final newline, JavaScript's does not: this end is the same for every reader.
END = r"(?![\s\S])"
NO_CONTROL_CHARACTERS = rf"^[^\x00-\x1f\x7f]+{END}"
NO_NUL = rf"^[^\x00]*{END}"  # Postgres text cannot hold U+0000; better refused here than by one store of five

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

Identifier = Annotated[
    str,
    Meta(
        min_length=1, max_length=128, pattern=NO_CONTROL_CHARACTERS, description="an identifier, unique among its kind"
    ),
]
Label = Annotated[
    str, Meta(min_length=1, max_length=256, pattern=NO_CONTROL_CHARACTERS, description="short text on one line")
]
Text = Annotated[str, Meta(min_length=1, max_length=32_768, pattern=NO_NUL, description="free text")]
Timestamp = Annotated[
    datetime, Meta(tz=True, description="RFC 3339 with an offset, from 1990-01-01 until before 2100-01-01")
]
Day = Annotated[date, Meta(description="ISO 8601 date, from 1990-01-01 until before 2100-01-01")]
Version = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="order within one source; for events a hybrid logical clock")
]

Latitude = Annotated[float, Meta(ge=-90, le=90, description="degrees north, WGS 84")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="degrees east, WGS 84")]
Accuracy = Annotated[float, Meta(ge=0, le=100_000, description="metres, radius of 68 % confidence")]
Altitude = Annotated[float, Meta(ge=-12_000, le=100_000, description="metres above the WGS 84 ellipsoid")]
Speed = Annotated[float, Meta(ge=0, le=1_000, description="metres per second over ground")]
Heading = Annotated[float, Meta(ge=0, le=360, description="degrees clockwise from true north")]

Rating = Annotated[int, Meta(ge=1, le=5, description="1 (worst) to 5 (best)")]
Strength = Annotated[float, Meta(ge=-1, le=1, description="-1 (dislikes) to 1 (loves)")]
Guests = Annotated[int, Meta(ge=1, le=1_000, description="people")]
Amount = Annotated[float, Meta(ge=0, le=1e9, description="in units of the currency")]
Currency = Annotated[str, Meta(pattern=rf"^[A-Z]{{3}}{END}", description="ISO 4217 code")]
Results = Annotated[int, Meta(ge=0, le=1_000_000, description="number of results shown")]


def check_time(name: str, value: datetime | None) -> None:
    """Refuse a time outside EARLIEST..LATEST.

    Clocks that lost their battery say 1970 or year 1 and careless sentinels say 9999; either would sort before or after
    every true fact for ever, because versions follow time.

    Raises:
        ValueError: names the field and the allowed range.
    """
    if value is None:
        return
    try:
        allowed = EARLIEST <= value < LATEST
    except TypeError:  # a struct built in code may hold a naive datetime, or none at all
        raise ValueError(f"Expected `{name}` as a datetime with a time zone, got {value!r}") from None
    if not allowed:
        raise ValueError(f"Expected `{name}` from 1990-01-01 until before 2100-01-01, got {value.isoformat()}")


def check_day(name: str, value: date) -> None:
    """Refuse a day outside the days of EARLIEST..LATEST.

    Raises:
        ValueError: names the field and the allowed range.
    """
    try:
        allowed = EARLIEST.date() <= value < LATEST.date()
    except TypeError:
        raise ValueError(f"Expected `{name}` as a date, got {value!r}") from None
    if not allowed:
        raise ValueError(f"Expected `{name}` from 1990-01-01 until before 2100-01-01, got {value}")
