"""Values of one piece to JSON: texts, numbers, booleans, bytes, bits. Each takes what Postgres printed."""

import re
from base64 import urlsafe_b64encode
from binascii import b2a_base64, unhexlify
from collections.abc import Callable
from math import isinf

import msgspec

Encode = Callable[[bytes], bytes]

_SPECIAL_FLOATS = {b"NaN": b'"NaN"', b"Infinity": b'"Infinity"', b"-Infinity": b'"-Infinity"'}
BOOLEANS = {b"t": b"true", b"f": b"false"}
_BITS = {b"1": b"true", b"0": b"false"}

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
_FLOAT = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[+-]\d+)?").fullmatch
_json = msgspec.json.Encoder()


def text_json(value: bytes) -> bytes:
    """Return a text as JSON."""
    # Not UTF-8 only when the database is SQL_ASCII, which stores whatever bytes it is given; JSON cannot hold those.
    return _json.encode(value.decode("utf-8", "replace"))


def uuid_json(value: bytes) -> bytes:
    """Return a UUID as JSON; ValueError when it is none."""
    if _UUID(value) is None:
        raise ValueError("no UUID")
    return b'"%b"' % value


def integer_json(value: bytes) -> bytes:
    """Return an integer as JSON; ValueError when it is none."""
    digits = value.removeprefix(b"-")
    if not digits.isdigit() or (digits[:1] == b"0" and len(digits) > 1):  # JSON has no zeros in front
        raise ValueError("no integer")
    return value


def boolean_json(value: bytes) -> bytes:
    """Return a boolean as JSON; KeyError when it is none."""
    return BOOLEANS[value]


def float_json(value: bytes) -> bytes:
    """Return a float as JSON, always with point or exponent; ValueError when it is none."""
    if value in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[value]
    if _FLOAT(value) is None:  # Python's float takes more: spaces, "1_0", "inf"
        raise ValueError("no float")
    if b"e" in value:
        if isinf(float(value)):
            raise ValueError("no float of 64 bits")
        return value
    # A whole number has to look like a float, or readers without a schema take it for an integer.
    return value if b"." in value else value + b".0"


def unhexed(value: bytes) -> bytes:
    """Return the bytes of a `bytea`; ValueError when it is not printed in hexadecimal."""
    if not value.startswith(b"\\x"):
        raise ValueError("no bytea in hexadecimal")
    return unhexlify(value[2:])


def bytes_base64(value: bytes) -> bytes:
    """Return a `bytea` in base64."""
    return b'"%b"' % b2a_base64(unhexed(value), newline=False)


def bytes_base64_url_safe(value: bytes) -> bytes:
    """Return a `bytea` in base64 for URLs."""
    return b'"%b"' % urlsafe_b64encode(unhexed(value))


def bytes_hex(value: bytes) -> bytes:
    """Return a `bytea` in hexadecimal."""
    return b'"%b"' % unhexed(value).hex().encode()


def text_base64(value: bytes) -> bytes:
    """Return a text in base64."""
    return b'"%b"' % b2a_base64(value, newline=False)


def bit_boolean(value: bytes) -> bytes:
    """Return a `bit(1)` as a boolean; KeyError when it is none."""
    return _BITS[value]


def bits_base64(value: bytes) -> bytes:
    """Return a string of bits as base64 of the number that it is, least significant byte first, without empty ones.

    As Debezium's Bits, which are those of Java's BitSet.
    """
    if value.translate(None, b"01"):
        raise ValueError("no bits")
    number = int(value, 2) if value else 0
    return b'"%b"' % b2a_base64(number.to_bytes((number.bit_length() + 7) >> 3, "little"), newline=False)
