"""Which positions of a table file are believed. A place without a position is found by name; a wrong one misleads."""

from typing import Any

from msgspec import Struct


class Box(Struct, frozen=True):
    """A rectangle of degrees, WGS 84."""

    south: float
    west: float
    north: float
    east: float

    def holds(self, lat: float, lon: float) -> bool:
        """Whether the position lies within."""
        return self.south <= lat <= self.north and self.west <= lon <= self.east


# The five boroughs (the city's own bounding box is 40.477..40.918, -74.259..-73.700), and the CB postcode area.
NEW_YORK = Box(40.47, -74.27, 40.93, -73.69)
CAMBRIDGE = Box(51.95, -0.25, 52.55, 0.65)


def position(lat: Any, lon: Any, *, expected: Box, certain: bool) -> tuple[float, float] | None:
    """Return (lat, lon), or None when they cannot be the place's.

    Refused are, in this order: what is no number; what is out of range; 0, 0, which is what a failed look-up leaves
    behind; a pair that lies in the expected area only when swapped; and, when `certain`, whatever lies outside that
    area. The last rule meets about one in a hundred of New York's restaurants: their addresses were looked up without
    the city and found in Iowa, England or Australia.

    Args:
        lat: degrees north, as it stands in the file.
        lon: degrees east, as it stands in the file.
        expected: where the table's places lie.
        certain: the row's address says that it lies there.
    """
    if not (_is_number(lat) and _is_number(lon)):
        return None
    north, east = float(lat), float(lon)
    if not (-90 <= north <= 90 and -180 <= east <= 180):  # also refuses NaN and infinities
        return None
    if north == 0 and east == 0:
        return None
    if expected.holds(north, east):
        return north, east
    if certain or expected.holds(east, north):
        return None
    return north, east


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
