"""Distances on the Earth, and the boxes that hold everything within one."""

from math import asin, cos, degrees, pi, radians, sin, sqrt
from typing import NamedTuple

EARTH_RADIUS = 6_371_008.8  # metres, IUGG's mean radius


class Box(NamedTuple):
    """A box in degrees, edges included."""

    south: float
    north: float
    west: float
    east: float


def distance(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Return metres along the great circle between two points in degrees (haversine; within 0.6 % of the ellipsoid)."""
    north, east = radians(lat2 - lat1), radians(lon2 - lon1)
    half = sin(north / 2) ** 2 + cos(radians(lat1)) * cos(radians(lat2)) * sin(east / 2) ** 2
    return 2 * EARTH_RADIUS * asin(sqrt(min(1.0, half)))


def boxes_around(lat: float, lon: float, metres: float) -> list[Box]:
    """Return boxes that hold every point within a distance: one, or two where the date line lies between.

    Source: J. P. Matuschek, "Finding Points Within a Distance of a Latitude/Longitude Using Bounding Coordinates".
    """
    angle = metres / EARTH_RADIUS
    south, north = lat - degrees(angle), lat + degrees(angle)
    if south <= -90 or north >= 90 or angle >= pi / 2:  # a pole is within: every meridian is
        return [Box(max(south, -90.0), min(north, 90.0), -180.0, 180.0)]
    reach = degrees(asin(min(1.0, sin(angle) / cos(radians(lat)))))
    west, east = lon - reach, lon + reach
    if west < -180:
        return [Box(south, north, west + 360, 180.0), Box(south, north, -180.0, east)]
    if east > 180:
        return [Box(south, north, west, 180.0), Box(south, north, -180.0, east - 360)]
    return [Box(south, north, west, east)]
