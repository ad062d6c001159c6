import base64
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc.geometry import point, shape
from connectors.cdc.vectors import sparse_vector, vector

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(FLOATS, FLOATS)
def test_a_point_brings_itself_as_well_known_binary(x: float, y: float) -> None:
    found = msgspec.json.decode(point(f"({x!r},{y!r})".encode()))
    assert (found["x"], found["y"], found["srid"]) == (x, y, None)
    assert base64.b64decode(found["wkb"]) == struct.pack("<BIdd", 1, 1, x, y)


@pytest.mark.parametrize(
    ("header", "srid"),
    [
        (struct.pack("<BII", 1, 1 | 0x2000_0000, 4326), 4326),
        (struct.pack(">BII", 0, 3 | 0x2000_0000, 27700), 27700),
        (struct.pack("<BII", 1, 7, 0), None),
    ],
)
def test_a_geometry_keeps_its_bytes_and_tells_its_reference_system(header: bytes, srid: int | None) -> None:
    ewkb = header + bytes(16)
    assert msgspec.json.decode(shape(ewkb.hex().upper().encode())) == {
        "wkb": base64.b64encode(ewkb).decode(),
        "srid": srid,
    }


def test_vectors_are_arrays_of_floats_and_sparse_ones_pairs() -> None:
    assert msgspec.json.decode(vector(b"[1,-2.5,3e-05]")) == [1.0, -2.5, 3e-05]
    assert msgspec.json.decode(sparse_vector(b"{1:1,3:2.5}/5")) == {"dimensions": 5, "vector": [[1, 1.0], [3, 2.5]]}
    assert msgspec.json.decode(sparse_vector(b"{}/70000")) == {"dimensions": 70_000, "vector": []}


@pytest.mark.parametrize(
    "text", [b"", b"x", b"(1)", b"(1,2,3)", b"(1,x)", b"01", b"zz", b"02" + b"0" * 20, b"[x]", b"{1}/2"]
)
def test_other_texts_are_refused(text: bytes) -> None:
    for convert in (point, shape, vector, sparse_vector):
        with pytest.raises(ValueError, match=r"."):
            convert(text)
