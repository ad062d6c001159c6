"""The field types that events share, with their units and ranges.

A range stands in the type, so that one pass of the decoder both reads and checks it, and the generated JSON Schema
says the same thing.
"""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]+$"
NO_NUL = r"^[^\x00]*$"  # Postgres text cannot hold U+0000; better refused here than by one store of five

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

Identifier = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=NO_CONTROL_CHARACTERS, description="1 to 128 printable characters")
]
Label = Annotated[
    str, Meta(min_length=1, max_length=256, pattern=NO_CONTROL_CHARACTERS, description="1 to 256 printable characters")
]
Text = Annotated[str, Meta(min_length=1, max_length=32_768, pattern=NO_NUL, description="1 to 32,768 characters")]
Timestamp = Annotated[
    datetime, Meta(tz=True, description="RFC 3339 with an offset, from 1990-01-01 until before 2100-01-01")
]
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
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217 code")]
Results = Annotated[int, Meta(ge=0, le=1_000_000, description="number of results shown")]


def check_time(name: str, value: datetime | None) -> None:
    """Refuse a time outside EARLIEST..LATEST.

    Clocks that lost their battery say 1970 or year 1 and careless sentinels say 9999; either would sort before or after
    every true fact for ever, because versions follow time.

    Raises:
        ValueError: names the field and the allowed range.
    """
    if value is not None and not EARLIEST <= value < LATEST:
        raise ValueError(f"Expected `{name}` from 1990-01-01 until before 2100-01-01, got {value.isoformat()}")
