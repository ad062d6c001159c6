# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from math import pi

import h3
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.enrichment.geo import EARTH_RADIUS_M, bearing_deg, cell, distance_m, longitude

latitudes = st.floats(-90, 90)
longitudes = st.floats(-180, 180)
HALF_WAY_ROUND = pi * EARTH_RADIUS_M


@pytest.mark.parametrize(
    ("start", "end", "metres"),
    [
        ((0, 0), (0, 1), 111_195.08),  # a degree of the equator
        ((0, 0), (1, 0), 111_195.08),
        ((52.2054, 0.1132), (51.5007, -0.1246), 80_043),  # Cambridge to London
        ((-33.8688, 151.2093), (51.5074, -0.1278), 16_993_900),  # Sydney to London
        ((0, 179.999), (0, -179.999), 222.39),  # across the antimeridian
        ((89.999, 0), (89.999, 180), 222.39),  # across the pole
        ((90, 0), (90, 135), 0),  # a pole has every longitude
        ((0, 0), (0, 180), HALF_WAY_ROUND),
        ((90, 0), (-90, 77), HALF_WAY_ROUND),
    ],
)
def test_known_distances(start: tuple[float, float], end: tuple[float, float], metres: float) -> None:
    assert distance_m(*start, *end) == pytest.approx(metres, rel=1e-4, abs=1e-6)


@given(latitudes, longitudes, latitudes, longitudes)
def test_a_distance_is_the_same_both_ways_and_never_more_than_half_way_round(
    lat1: float, lon1: float, lat2: float, lon2: float
) -> None:
    metres = distance_m(lat1, lon1, lat2, lon2)

    assert metres == distance_m(lat2, lon2, lat1, lon1)
    assert 0 <= metres <= HALF_WAY_ROUND * (1 + 1e-12)
    assert distance_m(lat1, lon1, lat1, lon1) == 0


@given(latitudes, longitudes, latitudes, longitudes, latitudes, longitudes)
def test_no_detour_is_shorter(lat1: float, lon1: float, lat2: float, lon2: float, lat3: float, lon3: float) -> None:
    direct = distance_m(lat1, lon1, lat3, lon3)

    # Near the antipodes half an ulp of the sine is some centimetres of arc.
    assert direct <= distance_m(lat1, lon1, lat2, lon2) + distance_m(lat2, lon2, lat3, lon3) + 0.5


@given(latitudes, longitudes, latitudes, longitudes)
def test_a_distance_agrees_with_that_of_h3(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    expected = h3.great_circle_distance((lat1, lon1), (lat2, lon2), unit="m")

    assert distance_m(lat1, lon1, lat2, lon2) == pytest.approx(expected, rel=1e-6, abs=0.5)


@pytest.mark.parametrize(
    ("start", "end", "degrees"),
    [
        ((0, 0), (1, 0), 0),
        ((0, 0), (0, 1), 90),
        ((1, 0), (0, 0), 180),
        ((0, 0), (0, -1), 270),
        ((0, 179.5), (0, -179.5), 90),  # eastwards across the antimeridian
        ((0, -179.5), (0, 179.5), 270),
        ((52.2054, 0.1132), (51.5007, -0.1246), 191.87),
        ((90, 0), (0, 0), 180),  # from the pole everything is south
        ((-90, 0), (0, 0), 0),
        ((50, 8), (50, 8), 0),
    ],
)
def test_known_bearings(start: tuple[float, float], end: tuple[float, float], degrees: float) -> None:
    assert bearing_deg(*start, *end) == pytest.approx(degrees, abs=0.05)


@given(latitudes, longitudes, latitudes, longitudes)
def test_a_bearing_lies_within_the_circle(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    assert 0 <= bearing_deg(lat1, lon1, lat2, lon2) < 360


@given(st.floats(-80, 80), longitudes, st.floats(-80, 80), longitudes)
def test_a_short_way_goes_back_where_it_came_from(lat: float, lon: float, north: float, east: float) -> None:
    lat2, lon2 = lat + north * 1e-4, longitude(lon + east * 1e-4)
    assume(distance_m(lat, lon, lat2, lon2) > 10)

    there, back = bearing_deg(lat, lon, lat2, lon2), bearing_deg(lat2, lon2, lat, lon)

    assert abs((there - back) % 360 - 180) < 0.2


@given(st.floats(-1e4, 1e4))
def test_a_longitude_is_brought_into_range(degrees: float) -> None:
    assert -180 <= longitude(degrees) < 180
    assert distance_m(0, longitude(degrees), 0, degrees) < 0.01


@given(latitudes, longitudes, st.integers(0, 15))
def test_a_cell_is_h3s_own(lat: float, lon: float, resolution: int) -> None:
    found = cell(lat, lon, resolution)

    assert h3.is_valid_cell(found)
    assert h3.get_resolution(found) == resolution
