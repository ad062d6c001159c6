"""Distances and directions good enough for a walk through a city."""

import math
from typing import NamedTuple

METRES_PER_DEGREE = 111_320.0  # of latitude; the Earth as a sphere


class Point(NamedTuple):
    """Degrees, WGS 84."""

    lat: float
    lon: float


def offset(start: Point, end: Point) -> tuple[float, float]:
    """Return how far `end` is north and east of `start`, in metres; exact to a few in a thousand within a city."""
    east = (end.lon - start.lon) * METRES_PER_DEGREE * math.cos(math.radians(start.lat))
    return (end.lat - start.lat) * METRES_PER_DEGREE, east


def distance(start: Point, end: Point) -> float:
    """Return metres."""
    return math.hypot(*offset(start, end))


def heading(start: Point, end: Point) -> float:
    """Return degrees clockwise from north, 0 until below 360."""
    north, east = offset(start, end)
    return math.degrees(math.atan2(east, north)) % 360


def moved(start: Point, north: float, east: float) -> Point:
    """Return the point so many metres north and east of another."""
    lon = start.lon + east / (METRES_PER_DEGREE * math.cos(math.radians(start.lat)))
    return Point(start.lat + north / METRES_PER_DEGREE, lon)
