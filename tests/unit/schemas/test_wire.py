from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.wire import (
    VALUE_SCHEMA_ID,
    Framed,
    IncompleteFrame,
    InvalidFrame,
    RegistryNotConfigured,
    UnknownSchema,
    UnsupportedSchema,
    read_frame,
    unframe_without_registry,
)

GUID = UUID("89791762-2336-4186-9674-299b90a802e2")


@given(st.integers(0, 2**32 - 1), st.binary(max_size=20))
def test_an_id_in_front_of_the_value_is_taken_off(schema_id: int, payload: bytes) -> None:
    assert read_frame(b"\x00" + schema_id.to_bytes(4) + payload) == Framed(schema_id, payload)


@given(st.uuids(), st.binary(max_size=20))
def test_a_guid_in_front_of_the_value_is_taken_off(guid: UUID, payload: bytes) -> None:
    assert read_frame(b"\x01" + guid.bytes + payload) == Framed(guid, payload)


@given(st.uuids(), st.binary(max_size=20))
def test_with_a_guid_in_the_header_the_value_is_the_payload(guid: UUID, value: bytes) -> None:
    headers = [("ce_id", b"e"), (VALUE_SCHEMA_ID, b"\x01" + guid.bytes)]
    assert read_frame(value, headers) == Framed(guid, value)


def test_an_id_in_the_header_is_read_as_well() -> None:
    assert read_frame(b"{}", [(VALUE_SCHEMA_ID, b"\x00\x00\x00\x00\x2a")]) == Framed(42, b"{}")


@pytest.mark.parametrize("value", [b"", b"{}", b"[1]", b"null", b' {"a": 1}', b"\xef\xbb\xbf{}", b"\x02rest", b"\xff"])
def test_a_value_without_a_magic_byte_has_no_frame(value: bytes) -> None:
    assert read_frame(value) is None
    assert unframe_without_registry(value) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x00", "incomplete frame: 1 byte"),
        (b"\x00\x00\x01", "incomplete frame: 3 bytes"),
        (b"\x00\x00\x00\x01", "incomplete frame: 4 bytes"),
        (b"\x01" + GUID.bytes[:-1], "incomplete frame: 16 bytes"),
    ],
)
def test_an_incomplete_frame_says_how_much_there_is(value: bytes, reason: str) -> None:
    with pytest.raises(IncompleteFrame) as caught:
        read_frame(value)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    "header", [None, b"", b"42", b"\x01", b"\x01" + GUID.bytes + b"x", b"\x00\x00\x00\x2a", b"\x02" + GUID.bytes]
)
def test_a_header_that_holds_no_schema_id_is_named(header: bytes | None) -> None:
    with pytest.raises(InvalidFrame, match=VALUE_SCHEMA_ID):
        read_frame(b"{}", [(VALUE_SCHEMA_ID, header)])


@given(
    st.binary(max_size=30),
    st.lists(st.tuples(st.just(VALUE_SCHEMA_ID), st.none() | st.binary(max_size=20)), max_size=2),
)
def test_any_bytes_are_framed_or_not_or_invalid(value: bytes, headers: list[tuple[str, bytes | None]]) -> None:
    try:
        frame = read_frame(value, headers)
    except InvalidFrame:
        return
    assert frame is None or value.endswith(frame.payload)


def test_a_framed_value_without_a_registry_names_the_option() -> None:
    with pytest.raises(RegistryNotConfigured) as caught:
        unframe_without_registry(b"\x00\x00\x00\x00\x2a{}")
    assert str(caught.value) == "value is framed (schema id 42) but no Schema Registry is configured (registry.url)"


def test_reasons_name_the_schema() -> None:
    assert str(UnknownSchema(42)) == "schema id 42 is not in the registry"
    assert str(UnknownSchema(GUID)) == f"schema GUID {GUID} is not in the registry"
    assert str(UnsupportedSchema(42, "AVRO")) == "schema id 42 is of type AVRO; only JSON is read"
