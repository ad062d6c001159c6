"""Expected values were written by Debezium 3.4.3 (decimal.handling.mode=string), unless a test says otherwise."""

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cdc import types
from connectors.cdc.types import ARRAYS, UNAVAILABLE, placeholder_of, type_encoder

UNKNOWN_TYPE = 999_999


def encoded(type_oid: int, text: bytes, *, typmod: int = -1) -> str:
    return type_encoder(type_oid, typmod, "string")(text).decode()


@pytest.mark.parametrize(
    ("type_oid", "text", "expected"),
    [
        (types.INT2, b"-5", "-5"),
        (types.INT8, b"9223372036854775807", "9223372036854775807"),
        (types.OID, b"4000000000", "4000000000"),
        (types.BOOL, b"t", "true"),
        (types.BOOL, b"f", "false"),
        (types.FLOAT8, b"1.1", "1.1"),
        (types.FLOAT8, b"100", "100.0"),
        (types.FLOAT8, b"1e+300", "1e+300"),
        (types.FLOAT8, b"-0", "-0.0"),
        (types.FLOAT4, b"NaN", '"NaN"'),
        (types.FLOAT8, b"-Infinity", '"-Infinity"'),
        (types.NUMERIC, b"1.10", '"1.10"'),
        (types.NUMERIC, b"0.0000000001", '"0.0000000001"'),
        (types.NUMERIC, b"NaN", '"NAN"'),
        (types.NUMERIC, b"Infinity", '"POSITIVE_INFINITY"'),
        (types.NUMERIC, b"-Infinity", '"NEGATIVE_INFINITY"'),
        (types.TEXT, 'é"\\/ \x01\u2028 <&>'.encode(), '"é\\"\\\\/ \\u0001\u2028 <&>"'),
        (types.BPCHAR, b"ab   ", '"ab   "'),
        (types.UUID, b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),
        (types.JSON, b'{"a": 1,  "b":[1]}', '"{\\"a\\": 1,  \\"b\\":[1]}"'),
        (types.BYTEA, b"\\xdeadbeef", '"3q2+7w=="'),
        (types.BYTEA, b"\\x", '""'),
        (types.DATE, b"2024-02-29", "19782"),
        (types.TIMESTAMP, b"2024-02-29 12:34:56.123456", "1709210096123456"),
        (types.TIMESTAMPTZ, b"2024-02-29 10:34:56.123456+00", '"2024-02-29T10:34:56.123456Z"'),
        (types.TIME, b"24:00:00", "86400000000"),
        (1007, b"{1,NULL,3}", "[1,null,3]"),
        (1009, b'{NULL,"",\xc3\xa9}', '[null,"","é"]'),
        (1001, b'{"\\\\x00ff",NULL}', '["AP8=",null]'),
        (3807, b'{"{\\"a\\": 1}",[1]}', '["{\\"a\\": 1}","[1]"]'),
        (1022, b"{1.5,NaN,1e+300}", '[1.5,"NaN",1e+300]'),
        (1185, b'{"2024-02-29 10:34:56.123456+00"}', '["2024-02-29T10:34:56.123456Z"]'),
        (UNKNOWN_TYPE, b"10.0.0.1", '"10.0.0.1"'),
    ],
)
def test_a_value_has_the_form_of_debezium(type_oid: int, text: bytes, expected: str) -> None:
    assert encoded(type_oid, text) == expected


@pytest.mark.parametrize(
    ("type_oid", "typmod", "text", "expected"),
    [
        (types.TIMESTAMP, 0, b"2024-02-29 12:34:56", "1709210096000"),
        (types.TIMESTAMP, 3, b"2024-02-29 12:34:56.123", "1709210096123"),
        (types.TIMESTAMP, 4, b"2024-02-29 12:34:56.1", "1709210096100000"),
        (types.TIME, 3, b"12:34:56.123", "45296123"),
        (types.TIME, 5, b"12:34:56.1", "45296100000"),
        (types.TIMESTAMPTZ, 0, b"2024-02-29 12:34:56+00", '"2024-02-29T12:34:56Z"'),
        (types.TIMESTAMPTZ, 4, b"2024-02-29 12:34:56.1+00", '"2024-02-29T12:34:56.1000Z"'),
        (1115, 3, b'{"2024-02-29 12:34:56.123"}', "[1709210096123]"),
    ],
)
def test_times_of_at_most_milliseconds_are_milliseconds(type_oid: int, typmod: int, text: bytes, expected: str) -> None:
    assert encoded(type_oid, text, typmod=typmod) == expected


@pytest.mark.parametrize(
    ("type_oid", "text", "expected"),
    [
        (1007, b"{{1,2},{3,4}}", "[[1,2],[3,4]]"),  # Debezium: [null,null]
        (1231, b"{1.10,NaN}", '["1.10","NAN"]'),  # Debezium: null
        (1183, b"{12:34:56.123456}", "[45296123456]"),  # Debezium: 45296123000
        (types.DATE, b"infinity", "2147483647"),  # Debezium: another number in the snapshot than in the stream
    ],
)
def test_where_debezium_goes_wrong_the_value_is_right(type_oid: int, text: bytes, expected: str) -> None:
    assert encoded(type_oid, text) == expected


@pytest.mark.parametrize(("text", "expected"), [(b"1.10", b"1.1"), (b"100", b"100.0"), (b"NaN", b'"NaN"')])
def test_decimals_may_be_doubles(text: bytes, expected: bytes) -> None:
    assert type_encoder(types.NUMERIC, -1, "double")(text) == expected


@given(st.sampled_from([*ARRAYS, *ARRAYS.values(), UNKNOWN_TYPE]), st.binary(max_size=40))
def test_whatever_the_text_is_it_becomes_json_or_a_value_error(type_oid: int, text: bytes) -> None:
    if type_oid in (types.UUID, types.NUMERIC, 2951, 1231):
        text = text.replace(b'"', b"").replace(b"\\", b"")  # these are quoted as they are: the server prints no others
        text = bytes(byte for byte in text if 32 <= byte < 127)
    try:
        encoded_text = type_encoder(type_oid, -1, "string")(text)
    except (ValueError, KeyError):
        return
    msgspec.json.decode(encoded_text)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_text_arrives_as_it_is(text: str) -> None:
    assert msgspec.json.decode(type_encoder(types.TEXT, -1, "string")(text.encode())) == text


def test_bytes_that_are_no_text_arrive_as_replacement_characters() -> None:
    assert encoded(types.TEXT, b"caf\xe9") == '"caf\ufffd"'


@pytest.mark.parametrize(
    ("type_oid", "expected"),
    [
        (types.TEXT, UNAVAILABLE),
        (types.JSONB, UNAVAILABLE),
        (types.NUMERIC, UNAVAILABLE),
        (types.BYTEA, base64.b64encode(UNAVAILABLE.encode()).decode()),
        (1009, [UNAVAILABLE]),
        (1007, list(UNAVAILABLE.encode())),
        (2951, ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
        (1022, [UNAVAILABLE]),  # Debezium: null
    ],
)
def test_a_value_that_is_not_in_the_stream_has_the_placeholder_of_its_type(type_oid: int, expected: object) -> None:
    assert msgspec.json.decode(placeholder_of(type_oid)) == expected
