"""`numeric` and `money` to JSON: as text, as numbers, or as the unscaled integers of Kafka Connect's Decimal."""

import re
from binascii import b2a_base64
from collections.abc import Callable
from decimal import Decimal
from functools import partial

from connectors.cdc.schema_blocks import Schema, logical, placed, simple, struct_of

NULL = b"null"

SPECIAL_FLOATS = {b"NaN": b'"NaN"', b"Infinity": b'"Infinity"', b"-Infinity": b'"-Infinity"'}
# Debezium writes the names of an enum of its own here, other than for floats.
_SPECIAL_TEXTS = {b"NaN": b'"NAN"', b"Infinity": b'"POSITIVE_INFINITY"', b"-Infinity": b'"NEGATIVE_INFINITY"'}
_NO_FLOATS = {"inf": b'"Infinity"', "-inf": b'"-Infinity"', "nan": b'"NaN"'}

VARIABLE_SCALE: Schema = struct_of(
    [
        placed(simple("int32"), optional=False, field="scale"),
        placed(simple("bytes"), optional=False, field="value"),
    ],
    name="io.debezium.data.VariableScaleDecimal",
    version=1,
    doc="Variable scaled decimal",
)
_DECIMAL = re.compile(rb"-?\d+(?:\.\d+)?").fullmatch
_INT_DIGITS = 4_000  # int() refuses more digits than 4,300, of which Postgres allows 131,072


def decimal_as_text(value: bytes) -> bytes:
    """Return a decimal as JSON text with every digit that Postgres prints.

    Raises:
        ValueError: it is no decimal. All functions here that take one raise it.
    """
    if value in _SPECIAL_TEXTS:
        return _SPECIAL_TEXTS[value]
    return b'"%b"' % _checked(value)


def decimal_as_double(value: bytes) -> bytes:
    """Return a decimal as the nearest float, as JSON; what is too large for one is infinite."""
    if value not in SPECIAL_FLOATS:
        _checked(value)
    text = repr(float(value))
    return _NO_FLOATS.get(text) or text.encode()


def decimal_of_scale(scale: int) -> Callable[[bytes], bytes]:
    """Return what makes of a decimal the base64 of its unscaled integer, two's complement, most significant byte first.

    NaN and the infinities have no such form and become null, as in Debezium.
    """
    return partial(_of_scale, scale=scale)


def decimal_of_its_own_scale(value: bytes) -> bytes:
    """Return a decimal as Debezium's VariableScaleDecimal: the fewest digits after the point that keep its value."""
    if value in SPECIAL_FLOATS:
        return NULL
    whole, _, fraction = _checked(value).partition(b".")
    fraction = fraction.rstrip(b"0")
    return b'{"scale":%d,"value":"%b"}' % (len(fraction), _base64(_integer(whole + fraction)))


def money_as_text(value: bytes) -> bytes:
    """Return an amount of money, as the locale "C" prints it, as a plain decimal."""
    return b'"%b"' % _amount(value)


def money_as_double(value: bytes) -> bytes:
    """Return an amount of money as a float."""
    return decimal_as_double(_amount(value))


def money_precise(value: bytes) -> bytes:
    """Return an amount of money as the base64 of its hundredths."""
    return _of_scale(_amount(value), 2)


def connect_decimal(scale: int, precision: int | None = None) -> Schema:
    """Return the schema of a decimal of fixed scale."""
    more = {} if precision is None else {"connect.decimal.precision": str(precision)}
    return logical("bytes", "org.apache.kafka.connect.data.Decimal", scale=str(scale), **more)


def scale_of(typmod: int) -> int:
    """Return the scale in the modifier of a `numeric`: 11 bits, two's complement. Source: numeric.c of PostgreSQL."""
    return ((typmod - 4 & 0x7FF) ^ 1024) - 1024


def precision_of(typmod: int) -> int:
    """Return the precision in the modifier of a `numeric`."""
    return typmod - 4 >> 16 & 0xFFFF


def _of_scale(value: bytes, scale: int) -> bytes:
    if value in SPECIAL_FLOATS:
        return NULL
    whole, _, fraction = _checked(value).partition(b".")
    if len(fraction) > max(scale, 0):
        raise ValueError("a decimal of another scale")
    # With a negative scale Postgres prints the zeros that the integer does not have.
    digits = whole + fraction.ljust(scale, b"0") if scale >= 0 else whole[:scale] or b"0"
    return b'"%b"' % _base64(_integer(b"0" if digits == b"-" else digits))


def _integer(digits: bytes) -> int:
    return int(digits) if len(digits) < _INT_DIGITS else int(Decimal(digits.decode()))


def _base64(number: int) -> bytes:
    # One bit for the sign; -128 fits into one byte.
    size = ((number if number >= 0 else ~number).bit_length() >> 3) + 1
    return b2a_base64(number.to_bytes(size, signed=True), newline=False)


def _amount(value: bytes) -> bytes:
    return _checked(value.replace(b"$", b"", 1).replace(b",", b""))


def _checked(value: bytes) -> bytes:
    """Return a decimal that is neither NaN nor infinite. Raises ValueError when it is none."""
    if _DECIMAL(value) is None:
        raise ValueError("no decimal")
    return value
