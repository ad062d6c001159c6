# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import math

import h3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.reference import Place
from streams.enrichment.geo import EARTH_RADIUS_M, distance_m
from streams.enrichment.places import PlaceIndex

# Where cells are most distorted: the pentagons of H3; and where longitudes are: the poles and the antimeridian.
PENTAGONS: list[tuple[float, float]] = [h3.cell_to_latlng(pentagon) for pentagon in sorted(h3.get_pentagons(10))]
CENTRES: list[tuple[float, float]] = [(90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (52.2, 0.12), (40.7, -74.0), *PENTAGONS]


def place(place_id: str, lat: float | None = 52.2, lon: float | None = 0.12, lsn: int = 1) -> Place:
    return Place(id=place_id, name=place_id, kind="restaurant", city="Cambridge", lsn=lsn, lat=lat, lon=lon)


def moved(centre: tuple[float, float], metres: float, direction: float) -> tuple[float, float]:
    """The position so far from a centre, by vectors: angles lose their precision at the poles."""
    phi, theta, arc, way = (
        math.radians(centre[0]),
        math.radians(centre[1]),
        metres / EARTH_RADIUS_M,
        math.radians(direction),
    )
    out = (math.cos(phi) * math.cos(theta), math.cos(phi) * math.sin(theta), math.sin(phi))
    east = (-math.sin(theta), math.cos(theta), 0.0)
    north = (-math.sin(phi) * math.cos(theta), -math.sin(phi) * math.sin(theta), math.cos(phi))
    x, y, z = (
        math.cos(arc) * o + math.sin(arc) * (math.cos(way) * n + math.sin(way) * e)
        for o, n, e in zip(out, north, east, strict=True)
    )
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def brute_force(places: list[Place], lat: float, lon: float, radius_m: float) -> float | None:
    distances = [distance_m(lat, lon, p.lat, p.lon) for p in places if p.lat is not None and p.lon is not None]
    return min((metres for metres in distances if metres <= radius_m), default=None)


surroundings = st.tuples(st.floats(0, 2_500), st.floats(0, 360))


@given(
    st.sampled_from(CENTRES),
    st.lists(surroundings, max_size=12),
    st.lists(surroundings, min_size=1, max_size=8),
    st.sampled_from([1.0, 20.0, 75.0, 150.0, 200.0, 400.0, 999.0, 1_000.0]),
)
def test_the_nearest_place_is_the_one_that_a_comparison_with_all_finds(
    centre: tuple[float, float],
    around: list[tuple[float, float]],
    asked: list[tuple[float, float]],
    radius_m: float,
) -> None:
    places = [place(str(number), *moved(centre, *where)) for number, where in enumerate(around)]
    index = PlaceIndex(radius_m)
    for one in places:
        index.upsert(one)

    for where in asked:
        lat, lon = moved(centre, *where)
        found, expected = index.nearest(lat, lon), brute_force(places, lat, lon, radius_m)
        if expected is None or found is None:
            # At the very edge of the radius rounding decides.
            assert found is None or found.metres == pytest.approx(radius_m)
            assert expected is None or expected == pytest.approx(radius_m)
        else:
            assert found.metres == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("radius_m", [1.0, 42.0, 150.0, 204.0, 205.0, 540.0, 1_000.0])
@pytest.mark.parametrize("centre", CENTRES[:8])
def test_a_place_just_within_the_radius_is_found_from_every_side(centre: tuple[float, float], radius_m: float) -> None:
    index = PlaceIndex(radius_m)
    index.upsert(place("a", *centre))

    for direction in range(0, 360, 3):
        found = index.nearest(*moved(centre, radius_m * 0.999, direction))
        assert found is not None
        assert found.metres == pytest.approx(radius_m * 0.999, abs=1e-3)
        assert index.nearest(*moved(centre, radius_m * 1.001, direction)) is None


def test_of_two_at_one_position_the_smaller_id_is_nearest() -> None:
    for order in (["a", "b"], ["b", "a"]):
        index = PlaceIndex(150)
        for place_id in order:
            index.upsert(place(place_id))
        found = index.nearest(52.2, 0.12)
        assert found is not None
        assert found.place.id == "a"


def test_a_place_that_moved_is_only_where_it_is_now() -> None:
    index = PlaceIndex(150)
    index.upsert(place("a", lsn=1))
    index.upsert(place("a", lat=40.7, lon=-74.0, lsn=2))

    assert index.nearest(52.2, 0.12) is None
    assert index.nearest(40.7, -74.0) is not None


def test_a_place_without_coordinates_is_known_by_its_id_alone() -> None:
    index = PlaceIndex(150)
    index.upsert(place("a", lat=None, lon=None))
    index.upsert(place("b", lat=0.0, lon=None))

    assert index.get("a") is not None
    assert index.nearest(0.0, 0.0) is None
    assert index.delete("a")
    assert index.get("a") is None
    assert len(index) == 1


def test_an_older_row_changes_nothing() -> None:
    index = PlaceIndex(150)
    index.upsert(place("a", lsn=5))

    assert not index.upsert(place("a", lat=1.0, lsn=4))
    assert not index.delete("a", lsn=4)
    assert index.get("a") == place("a", lsn=5)


def test_an_older_row_does_not_bring_a_deleted_place_back() -> None:
    index = PlaceIndex(150)
    index.upsert(place("a", lsn=5))

    assert index.delete("a", lsn=6)
    assert not index.upsert(place("a", lsn=5))
    assert index.get("a") is None
    assert index.nearest(52.2, 0.12) is None
    assert index.upsert(place("a", lsn=7))


def test_an_older_deletion_does_not_weaken_a_newer_one() -> None:
    index = PlaceIndex(150)
    index.delete("a", lsn=9)

    assert not index.delete("a", lsn=3)
    assert not index.upsert(place("a", lsn=5))


def test_a_tombstone_without_version_deletes_what_is_there() -> None:
    index = PlaceIndex(150)
    index.upsert(place("a", lsn=5))

    assert index.delete("a")
    assert index.upsert(place("a", lsn=5))
    assert index.delete("unknown")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 6), st.sampled_from([(52.2, 0.12), (52.201, 0.12), None])),
        max_size=12,
    )
)
def test_the_index_is_empty_again_when_every_place_is_deleted(
    changes: list[tuple[str, int, tuple[float, float] | None]],
) -> None:
    index = PlaceIndex(150)
    for place_id, lsn, where in changes:
        index.upsert(place(place_id, *(where or (None, None)), lsn=lsn))
    for place_id in "abc":
        index.delete(place_id)

    assert len(index) == 0
    assert index.nearest(52.2, 0.12) is None


@pytest.mark.parametrize("radius_m", [0.0, -1.0, 1_000.1, math.nan, math.inf])
def test_a_radius_that_is_not_allowed_names_the_option(radius_m: float) -> None:
    with pytest.raises(ValueError, match=r"enrich\.nearest_place_metres"):
        PlaceIndex(radius_m)
