import contextlib
import json
from typing import cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.receipts import InvalidReceipt, Receipt, decode_receipt, encode_receipt
from schemas.writes import (
    STORES,
    WRITE_TYPES,
    BaseWrite,
    InvalidWrite,
    Write,
    decode_write,
    encode_write,
    store_of,
)

WRITES = st.one_of([st.from_type(cast(type[BaseWrite], kind)) for kind in get_args(Write)])


@given(WRITES)
def test_a_write_survives_encoding_and_decoding(write: BaseWrite) -> None:
    assert decode_write(encode_write(write)) == write


@given(WRITES)
def test_a_write_names_its_store(write: BaseWrite) -> None:
    assert json.loads(encode_write(write))["store"] == store_of(write)


def test_every_store_has_one_kind_of_write() -> None:
    assert tuple(WRITE_TYPES) == STORES
    assert set(WRITE_TYPES.values()) == set(get_args(Write))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_write_or_invalid(data: bytes) -> None:
    with contextlib.suppress(InvalidWrite):
        decode_write(data)


@pytest.mark.parametrize("data", [b"", b"null", b"\xff", b"[" * 200_000, b'{"store": "shelf"}', b"{}"])
def test_bytes_that_are_no_write_are_invalid(data: bytes) -> None:
    with pytest.raises(InvalidWrite):
        decode_write(data)


@given(WRITES)
def test_a_missing_version_is_named(write: BaseWrite) -> None:
    fields = json.loads(encode_write(write))
    del fields["version"]
    with pytest.raises(InvalidWrite, match="`version`"):
        decode_write(json.dumps(fields).encode())


@given(st.from_type(Receipt))
def test_a_receipt_survives_encoding_and_decoding(receipt: Receipt) -> None:
    assert decode_receipt(encode_receipt(receipt)) == receipt


@pytest.mark.parametrize("data", [b"", b"null", b"\xff", b"[" * 200_000, b"{}"])
def test_bytes_that_are_no_receipt_are_invalid(data: bytes) -> None:
    with pytest.raises(InvalidReceipt):
        decode_receipt(data)
