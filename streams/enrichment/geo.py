# pyright: reportUnknownVariableType=false
"""Distances and directions on the earth, taken as a sphere, and H3 cells.

On a sphere a distance is off by up to 0.56 % against the WGS 84 ellipsoid: between two fixes of a track that is less
than a receiver is off. The formulas hold across the antimeridian and at the poles.
"""

from math import asin, atan2, cos, degrees, pi, sin, sqrt

from h3 import latlng_to_cell

EARTH_RADIUS_M = 6_371_008.8  # mean radius R1 of the IUGG
RADIANS = pi / 180  # a product costs half of a call of `math.radians`


def distance_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Return the great-circle distance in metres of two positions in degrees (haversine formula)."""
    north = sin((lat2 - lat1) * RADIANS / 2)
    east = sin((lon2 - lon1) * RADIANS / 2)
    half = north * north + cos(lat1 * RADIANS) * cos(lat2 * RADIANS) * (east * east)
    return 2 * EARTH_RADIUS_M * asin(sqrt(half) if half < 1 else 1.0)  # rounding can exceed 1 between antipodes


def bearing_deg(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Return the initial bearing from the first position to the second: degrees clockwise from north, 0 <= b < 360.

    Between equal positions it is 0. At a pole, where every direction is south or north, it is relative to the meridian
    that `lon1` names.
    """
    phi1, phi2, dlon = lat1 * RADIANS, lat2 * RADIANS, (lon2 - lon1) * RADIANS
    east = sin(dlon) * cos(phi2)
    north = cos(phi1) * sin(phi2) - sin(phi1) * cos(phi2) * cos(dlon)
    bearing = degrees(atan2(east, north)) % 360.0
    return bearing if bearing < 360.0 else 0.0  # -1e-20 % 360 is 360


def longitude(degrees_east: float) -> float:
    """Return a longitude, or a difference of two, brought into -180 <= x < 180."""
    return (degrees_east + 180.0) % 360.0 - 180.0


def cell(lat: float, lon: float, resolution: int) -> str:
    """Return the H3 cell of a position as its usual 15 hexadecimal digits."""
    return latlng_to_cell(lat, lon, resolution)
