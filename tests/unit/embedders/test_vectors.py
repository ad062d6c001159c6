import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from connectors.embedders import to_bytes
from connectors.embedders.contract import encodable, no_meaning, unit_rows

any_rows = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(4)), elements=st.floats(width=32))


@given(any_rows)
def test_rows_have_length_one_whatever_they_were(rows: np.ndarray) -> None:
    unit = unit_rows(rows)

    assert unit.dtype == np.float32
    assert unit.shape == rows.shape
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)


def test_a_row_without_a_direction_becomes_the_vector_of_no_meaning() -> None:
    rows = np.array([[0, 0, 0], [np.nan, 1, 1], [np.inf, 0, 0], [0, 3, 4]], dtype=np.float32)

    assert unit_rows(rows).tolist() == [*[no_meaning(3).tolist()] * 3, pytest.approx([0, 0.6, 0.8])]


def test_bytes_are_little_endian_float32() -> None:
    assert to_bytes(np.array([0.6, -0.8], dtype=np.float32)) == struct.pack("<2f", 0.6, -0.8)


@pytest.mark.parametrize("vector", [np.zeros(3), np.ones(3), np.array([np.nan, 1.0]), np.ones((1, 1))])
def test_what_is_no_unit_vector_is_not_written(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one vector of length 1"):
        to_bytes(vector.astype(np.float32))


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_every_text_can_be_encoded(text: str) -> None:
    assert len(encodable(text).encode()) >= len(text)
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert encodable(text) == text
