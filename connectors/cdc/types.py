"""The text of a column to JSON, by type, as Debezium's Postgres connector encodes it with its default options.

Snapshot and stream both read columns as text and both come through here, so one value has one form on either way.
An encoder takes what Postgres printed and returns a piece of JSON; what is neither in the table below nor an array of
it stays text.
"""

from binascii import b2a_base64, unhexlify
from collections.abc import Callable
from functools import partial

import msgspec

from connectors.cdc import times
from connectors.cdc.arrays import Element, parse_array
from connectors.cdc.config import Decimals

Encode = Callable[[bytes], bytes]

NULL = b"null"
# Stands for a value that an update left alone and that Postgres keeps outside of the row. Debezium's constant.
UNAVAILABLE = "__debezium_unavailable_value"

_SPECIAL_FLOATS = {b"NaN": b'"NaN"', b"Infinity": b'"Infinity"', b"-Infinity": b'"-Infinity"'}
# Debezium writes the names of an enum of its own here, other than for floats.
_SPECIAL_DECIMALS = {b"NaN": b'"NAN"', b"Infinity": b'"POSITIVE_INFINITY"', b"-Infinity": b'"NEGATIVE_INFINITY"'}
_BOOLEANS = {b"t": b"true", b"f": b"false"}

_json = msgspec.json.Encoder()


def _text(value: bytes) -> bytes:
    # Not UTF-8 only when the database is SQL_ASCII, which stores whatever bytes it is given; JSON cannot hold those.
    return _json.encode(value.decode("utf-8", "replace"))


def _quoted(value: bytes) -> bytes:
    """For types whose text needs no escaping in JSON."""
    return b'"%b"' % value


def _integer(value: bytes) -> bytes:
    if not value.removeprefix(b"-").isdigit():
        raise ValueError("no integer")
    return value


def _boolean(value: bytes) -> bytes:
    return _BOOLEANS[value]


def _float(value: bytes) -> bytes:
    if value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    float(value)
    # A whole number has to look like a float, or readers without a schema take it for an integer.
    return value if b"." in value or b"e" in value else value + b".0"


def _decimal(value: bytes) -> bytes:
    return _SPECIAL_DECIMALS.get(value) or b'"%b"' % value


def _decimal_as_double(value: bytes) -> bytes:
    return _SPECIAL_FLOATS.get(value) or repr(float(value)).encode()


def _bytea(value: bytes) -> bytes:
    if not value.startswith(b"\\x"):
        raise ValueError("no bytea in hexadecimal")
    return b'"%b"' % b2a_base64(unhexlify(value[2:]), newline=False)


def _date(value: bytes) -> bytes:
    return b"%d" % times.days(value)


def _timestamp_us(value: bytes) -> bytes:
    return b"%d" % times.microseconds(value)


def _timestamp_ms(value: bytes) -> bytes:
    return b"%d" % (times.microseconds(value) // 1000)


def _time_us(value: bytes) -> bytes:
    return b"%d" % times.time_microseconds(value)


def _time_ms(value: bytes) -> bytes:
    return b"%d" % (times.time_microseconds(value) // 1000)


def _instant(value: bytes, digits: int) -> bytes:
    return b'"%b"' % times.instant(value, digits)


def _array(value: bytes, encode: Encode) -> bytes:
    return _list(parse_array(value), encode)


def _list(elements: list[Element], encode: Encode) -> bytes:
    return b"[%b]" % b",".join(
        [
            NULL if element is None else _list(element, encode) if isinstance(element, list) else encode(element)
            for element in elements
        ]
    )


# OIDs of built-in types never change: PostgreSQL source, src/include/catalog/pg_type.dat.
BOOL, BYTEA, INT8, INT2, INT4, TEXT, OID, JSON = 16, 17, 20, 21, 23, 25, 26, 114
FLOAT4, FLOAT8, BPCHAR, VARCHAR, DATE, TIME = 700, 701, 1042, 1043, 1082, 1083
TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB, NAME, CHAR = 1114, 1184, 1700, 2950, 3802, 19, 18

_SIMPLE: dict[int, Encode] = {
    **dict.fromkeys((INT2, INT4, INT8, OID), _integer),
    **dict.fromkeys((FLOAT4, FLOAT8), _float),
    BOOL: _boolean,
    BYTEA: _bytea,
    DATE: _date,
    UUID: _quoted,
}

# Array type to the type of its elements.
ARRAYS = {
    **{1000: BOOL, 1001: BYTEA, 1002: CHAR, 1003: NAME, 1005: INT2, 1007: INT4, 1009: TEXT, 1014: BPCHAR},
    **{1015: VARCHAR, 1016: INT8, 1021: FLOAT4, 1022: FLOAT8, 1028: OID, 1115: TIMESTAMP, 1182: DATE, 1183: TIME},
    **{1185: TIMESTAMPTZ, 1231: NUMERIC, 2951: UUID, 199: JSON, 3807: JSONB},
}


def type_encoder(type_oid: int, typmod: int, decimals: Decimals) -> Encode:
    """Return what turns the text of a column of this type into JSON.

    The encoder raises ValueError or KeyError for a text that the type does not print.

    Args:
        type_oid: of the column.
        typmod: of the column; the number of digits after the second for the types of time, -1 for six.
        decimals: how `numeric` is written.
    """
    if type_oid in ARRAYS:
        return partial(_array, encode=type_encoder(ARRAYS[type_oid], typmod, decimals))
    digits = 6 if typmod < 0 else typmod
    # Debezium's time.precision.mode=adaptive: milliseconds where the type holds no more.
    if type_oid == TIMESTAMP:
        return _timestamp_ms if digits <= 3 else _timestamp_us
    if type_oid == TIME:
        return _time_ms if digits <= 3 else _time_us
    if type_oid == TIMESTAMPTZ:
        return partial(_instant, digits=digits)
    if type_oid == NUMERIC:
        return _decimal if decimals == "string" else _decimal_as_double
    return _SIMPLE.get(type_oid, _text)


def placeholder_of(type_oid: int) -> bytes:
    """Return what stands in a column of this type for a value that is not in the stream.

    As Debezium 3.4 writes it, but for arrays of floats, booleans, decimals, times and timestamps, where it writes null,
    which nobody can tell from data.
    """
    element = ARRAYS.get(type_oid)
    if element is None:
        return _PLACEHOLDER_BYTES if type_oid == BYTEA else _PLACEHOLDER
    if element in (INT2, INT4, INT8, OID, DATE):
        return b"[%b]" % b",".join(b"%d" % code for code in UNAVAILABLE.encode())
    if element == UUID:
        return b'["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]'  # Java's UUID.nameUUIDFromBytes of the constant
    return b"[%b]" % (_PLACEHOLDER_BYTES if element == BYTEA else _PLACEHOLDER)


_PLACEHOLDER = _text(UNAVAILABLE.encode())
_PLACEHOLDER_BYTES = b'"%b"' % b2a_base64(UNAVAILABLE.encode(), newline=False)
