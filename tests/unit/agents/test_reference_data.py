"""What every worker knows of places and travellers, from the records of two compacted topics."""

import msgspec
import pytest

from schemas.reference import Place, PlaceVector, Profile
from streams.agents.ingest import Reference
from streams.enrichment.places import PlaceIndex

CAFE = Place(id="cafe", name="Cafe", kind="restaurant", city="Cambridge", lsn=1)
ANN = Profile(id="ann", name="Ann", lsn=1)


@pytest.fixture
def reference() -> Reference:
    return Reference(PlaceIndex(150), {})


def test_places_and_travellers_come_change_and_go(reference: Reference) -> None:
    older = msgspec.structs.replace(CAFE, name="Old cafe", lsn=0)
    reference.apply_places([(b"cafe", msgspec.json.encode(CAFE)), (b"cafe", msgspec.json.encode(older))])
    reference.apply_profiles([(b"ann", msgspec.json.encode(ANN))])
    assert reference.places.get("cafe") == CAFE
    assert reference.profiles == {"ann": ANN}
    reference.apply_places([(b"cafe", None), (b"nobody", None)])
    reference.apply_profiles([(b"ann", None), (b"nobody", None)])
    assert reference.places.get("cafe") is None
    assert reference.profiles == {}


@pytest.mark.parametrize(
    "bad",
    [
        (b"x", b"garbage"),
        (b"x", b'{"id": "\xff"}'),
        (b"\xff", None),
        pytest.param((b"x", b"[" * 100_000), id="nested"),
        (b"x", b'{"id": "x"}'),
    ],
)
def test_a_record_that_cannot_be_read_costs_only_itself(reference: Reference, bad: tuple[bytes, bytes | None]) -> None:
    reference.apply_places([bad, (b"cafe", msgspec.json.encode(CAFE))])
    reference.apply_profiles([bad, (b"ann", msgspec.json.encode(ANN))])
    assert reference.places.get("cafe") == CAFE
    assert reference.profiles["ann"] == ANN


def test_the_vector_of_a_place_that_cannot_be_read_costs_only_itself(reference: Reference) -> None:
    odd = msgspec.json.encode(PlaceVector(lsn=1, model="one", values=b"odd"))
    good = PlaceVector(lsn=1, model="one", values=b"four")
    taken = reference.apply_vectors(
        [(b"bad", b"{"), (b"\xff", odd), (b"odd", odd), (b"gone", None), (b"cafe", msgspec.json.encode(good))]
    )
    assert taken == {"gone": None, "cafe": good}
    assert reference.vectors == {"cafe": good}


def test_a_place_out_of_the_range_of_coordinates_is_not_taken_in(reference: Reference) -> None:
    value = msgspec.json.encode(msgspec.structs.replace(CAFE, lat=95.0, lon=0.0))
    reference.apply_places([(b"cafe", value)])
    assert reference.places.get("cafe") is None
