"""Which column of a CSV file of GPS points is what, told by its header. Pure."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from connectors.producers.gps_values import METRES_PER_FOOT
from connectors.producers.input_files import UnreadableFile

# The names of each field in order of preference: a file with both `lat` and `y` means latitude by the first.
_NAMES: dict[str, tuple[str, ...]] = {
    field: tuple(names.split())
    for field, names in {
        "lat": "lat latitude gps_lat gps_latitude location_lat position_lat y",
        "lon": "lon lng long longitude gps_lon gps_lng gps_long gps_longitude "
        "location_lon location_lng location_long position_lon position_lng position_long x",
        "time": "timestamp datetime date_time time time_stamp utc gps_time epoch "
        "unix_time unix_timestamp recorded_at occurred_at measured_at ts",
        "date": "date day gps_date",
        "user": "user_id user userid uid traveller person device_id device",
        "accuracy": "accuracy horizontal_accuracy h_accuracy hacc acc",
        "speed": "speed velocity ground_speed gps_speed",
        "heading": "heading bearing course cog",
        "altitude": "altitude alt elevation ele height gps_altitude",
    }.items()
}
_NO_UNIT = {"": 1.0}
_LENGTHS = {**_NO_UNIT, "m": 1.0, "meters": 1.0, "metres": 1.0, "ft": METRES_PER_FOOT, "feet": METRES_PER_FOOT}
_SPEEDS = {
    **_NO_UNIT,
    **dict.fromkeys(("mps", "m_s", "ms"), 1.0),
    **dict.fromkeys(("kmh", "km_h", "kph", "kmph"), 1 / 3.6),
    **dict.fromkeys(("kn", "kt", "kts", "knots"), 1852 / 3600),
    "mph": 0.44704,
}
_DEGREES = {**_NO_UNIT, "deg": 1.0, "degrees": 1.0}
# Times tell their own unit, so that the header's word for it says nothing more.
_TIMES: dict[str, float] = {
    **_NO_UNIT,
    **dict.fromkeys(("utc", "gmt", "iso", "iso8601", "s", "sec", "seconds", "ms", "millis", "us", "ns"), 1.0),
}
# What may follow a name, with the factor to the unit of GpsUpdate.
_UNITS: dict[str, dict[str, float]] = {
    "lat": _DEGREES,
    "lon": _DEGREES,
    "time": _TIMES,
    "date": _TIMES,
    "user": _NO_UNIT,
    "accuracy": _LENGTHS,
    "speed": _SPEEDS,
    "heading": _DEGREES,
    "altitude": _LENGTHS,
}


class Column(NamedTuple):
    """Where a field stands, and what its numbers are multiplied by."""

    place: int
    factor: float


def find_columns(header: Sequence[str]) -> dict[str, Column]:
    """Return the column of each field that the header has.

    Letter case, spaces and punctuation do not matter; a unit may follow: `Speed (km/h)`, `altitude_ft`.

    Raises:
        UnreadableFile: latitude, longitude or time is missing; says which names are understood.
    """
    plain = [_plain(name) for name in header]
    found = {field: column for field in _NAMES if (column := _find(field, plain)) is not None}
    if "time" not in found and "date" in found:
        found["time"] = found.pop("date")  # a column that is called date and holds both
    for field in ("lat", "lon", "time"):
        if field not in found:
            names = ", ".join(_NAMES[field][:5])
            raise UnreadableFile(f"no column for `{field}` (such as {names}) in the header: {', '.join(header)[:200]}")
    return found


def _find(field: str, plain: Sequence[str]) -> Column | None:
    for name in _NAMES[field]:
        for unit, factor in _UNITS[field].items():
            wanted = {f"{name}_{unit}" if unit else name}
            if field in ("time", "date"):
                wanted |= {f"{unit}_{name}", f"{name}{unit}"}  # utc_time, timeutc
            for place, given in enumerate(plain):
                if given in wanted:
                    return Column(place, factor)
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
