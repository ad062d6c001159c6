"""The nearest places beside a comparison of each with all others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.reference import PlaceVector
from streams.enrichment.similar import SimilarPlaces

COUNT = 5
CORNERS = [np.asarray(one, "<f4") / 2 for one in np.ndindex(2, 2, 2, 2)]
# Length 1, and products in quarters: exact in floating point, so that equal ones are equal.
DIRECTIONS = [(2 * corner - np.float32(0.5)).astype("<f4") for corner in CORNERS]


def place(direction: int, lsn: int, model: str = "one") -> PlaceVector:
    return PlaceVector(lsn=lsn, model=model, values=DIRECTIONS[direction].tobytes())


def brute_force(places: dict[str, PlaceVector], count: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, one in places.items():
        mine = np.frombuffer(one.values, "<f4")
        others = [
            (-float(mine @ np.frombuffer(other.values, "<f4")), other_name)
            for other_name, other in places.items()
            if other_name != name and other.model == one.model
        ]
        found[name] = [other_name for _, other_name in sorted(others)[:count]]
    return found


CHANGES = st.dictionaries(
    st.sampled_from([f"p{number:02}" for number in range(40)]),
    st.one_of(st.none(), st.tuples(st.integers(0, 15), st.sampled_from(["one", "one", "two"]))),
    max_size=12,
)


@given(rounds=st.lists(CHANGES, max_size=12))
@settings(max_examples=150, deadline=None)
def test_after_any_changes_the_neighbours_are_those_of_a_comparison_with_all(
    rounds: list[dict[str, tuple[int, str] | None]],
) -> None:
    index, places, known = SimilarPlaces(COUNT), dict[str, PlaceVector](), dict[str, list[str]]()
    for lsn, changes in enumerate(rounds):
        given_ = {name: None if one is None else place(one[0], lsn, one[1]) for name, one in changes.items()}
        found = index.settle(given_)
        for name, one in given_.items():
            if one is None:
                places.pop(name, None)
                known.pop(name, None)
            else:
                places[name] = one
        known |= {name: [other.id for other in near] for name, near in found.items()}
        assert known == brute_force(places, COUNT)


def test_many_places_change_one_by_one_as_all_at_once() -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(600, 32)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = {f"p{n}": PlaceVector(lsn=n, model="one", values=row.tobytes()) for n, row in enumerate(vectors)}
    at_once = {name: [one.id for one in near] for name, near in SimilarPlaces(COUNT).settle(places).items()}
    index, known = SimilarPlaces(COUNT), dict[str, list[str]]()
    for name, vector in places.items():
        known |= {one: [other.id for other in near] for one, near in index.settle({name: vector}).items()}
    assert known == at_once == brute_force(places, COUNT)


def test_a_change_concerns_few() -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(2_000, 32)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = SimilarPlaces(COUNT)
    index.settle({f"p{n}": PlaceVector(lsn=1, model="one", values=row.tobytes()) for n, row in enumerate(vectors)})
    found = index.settle({"p0": PlaceVector(lsn=2, model="one", values=vectors[1].tobytes())})
    assert found["p0"][0].id == "p1"
    assert found["p0"][0].similarity == pytest.approx(1.0)
    assert 2 <= len(found) < 100


def test_an_older_row_and_the_same_one_again_change_nothing() -> None:
    index = SimilarPlaces(COUNT)
    index.settle({"a": place(0, 5), "b": place(1, 5)})
    assert index.settle({"a": place(3, 4)}) == {}
    assert index.settle({"a": place(0, 5)}) == {}
    assert index.settle({}) == {}


def test_vectors_of_two_models_have_nothing_to_do_with_each_other() -> None:
    index = SimilarPlaces(COUNT)
    index.settle({"a": place(0, 1), "b": place(0, 1)})
    found = index.settle({"b": place(0, 2, "two")})
    assert found == {"a": [], "b": []}
