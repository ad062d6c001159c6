import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.changes import Change, InvalidChange, PlaceRow, RestaurantRow, decode_change, decode_row

# As Debezium 3.4 writes it with schemas.enable=false.
UPDATE: dict[str, Any] = {
    "before": None,
    "after": {"id": "r1", "name": "Chez Panisse", "lat": 37.88},
    "source": {
        "version": "3.4.0.Final",
        "connector": "postgresql",
        "name": "cdc.travel",
        "ts_ms": 1_760_000_000_000,
        "snapshot": "false",
        "db": "travel",
        "sequence": '["1","2"]',
        "schema": "public",
        "table": "restaurants",
        "txId": 7,
        "lsn": 42,
        "xmin": None,
    },
    "transaction": None,
    "op": "u",
    "ts_ms": 1_760_000_000_123,
}


def reason(data: bytes) -> str:
    with pytest.raises(InvalidChange) as caught:
        decode_change(data)
    return str(caught.value)


def as_json(**changed: Any) -> bytes:
    return json.dumps({**UPDATE, **changed}).encode()


@given(st.from_type(Change))
def test_a_change_survives_encoding_and_decoding(change: Change) -> None:
    assert decode_change(msgspec.json.encode(change)) == change


def test_both_forms_of_debeziums_json_give_the_same_change() -> None:
    wrapped = json.dumps({"schema": {"type": "struct"}, "payload": UPDATE}).encode()
    change = decode_change(as_json())
    assert change is not None
    assert change.source.lsn == 42
    assert decode_change(wrapped) == change


def test_a_payload_of_null_is_a_tombstone() -> None:
    assert decode_change(b'{"schema": null, "payload": null}') is None


def test_a_bad_field_is_named_in_both_forms() -> None:
    assert "$.op" in reason(as_json(op="x"))
    assert "$.payload.op" in reason(json.dumps({"schema": None, "payload": {**UPDATE, "op": "x"}}).encode())
    assert "`source`" in reason(b'{"op": "c"}')


def test_a_row_that_talks_of_a_payload_is_not_taken_for_the_wrapped_form() -> None:
    assert "$.op" in reason(as_json(op="x", after={"id": '"payload"'}))


@given(st.binary(max_size=100))
def test_any_bytes_are_a_change_or_invalid(data: bytes) -> None:
    with contextlib.suppress(InvalidChange):
        decode_change(data)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"\xff", b"[" * 200_000, b'{"payload": ' + b"[" * 200_000])
def test_bytes_that_are_no_envelope_are_invalid(data: bytes) -> None:
    assert reason(data)


def test_columns_that_the_struct_does_not_know_are_left_out() -> None:
    row = decode_row({"id": "r1", "name": "A", "added_later": 1}, RestaurantRow)
    assert row == RestaurantRow(id="r1", name="A")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidChange, match="`kind`"):
        decode_row({"id": "p1", "name": "A"}, PlaceRow)


def test_a_column_of_another_type_is_named() -> None:
    with pytest.raises(InvalidChange, match=r"\$\.lat"):
        decode_row({"id": "p1", "name": "A", "lat": "north"}, RestaurantRow)
