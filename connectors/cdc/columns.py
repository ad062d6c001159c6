"""The values of one column of many rows to JSON, which costs a fraction of doing it for one value after the other.

What the values of a column have in common is looked at once: joined, they are one text, which the library's loops check
and change from end to end. A column that is not quite usual goes value by value; both ways give the same.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from connectors.cdc.decimals import decimal_as_text
from connectors.cdc.pgoutput import Value
from connectors.cdc.scalars import BOOLEANS, Encode, boolean_json, integer_json, text_json
from connectors.cdc.times import instant_json

_DIGITS = b"0123456789"
# What JSON escapes; one of them stands between values, for one that holds it is not joined.
_ESCAPED = bytes(range(32)) + b'"\\'
_BETWEEN = b"\n"
_APART = b'"%b"' % _BETWEEN
_INSTANT = len(b"2026-01-01 00:00:00+00")
_json = msgspec.json.Encoder()
_integers = msgspec.json.Decoder(list[int])
_decimals = msgspec.json.Decoder(list[float])


def encoded_column(encode: Encode, null: bytes, values: Sequence[Value]) -> Iterable[bytes]:
    """Return each value as JSON, in order.

    Args:
        encode: what makes JSON of one value.
        null: what stands for null.
        values: as Postgres prints them, None for null; all of them are known.

    Raises:
        ValueError, KeyError: one is not what its type prints. Some iterables raise it only when they are read.
    """
    if None in values:
        return [null if value is None else encode(value) for value in values]  # pyright: ignore[reportArgumentType]
    at_once = _AT_ONCE.get(encode)
    if at_once is None or not values:
        return map(encode, values)  # pyright: ignore[reportArgumentType]
    return at_once(values)  # pyright: ignore[reportArgumentType]


def _texts(values: Sequence[bytes]) -> Iterable[bytes]:
    joined = _BETWEEN.join(values)
    try:
        joined.decode()
    except UnicodeDecodeError:  # the database is SQL_ASCII
        return map(text_json, values)
    # What holds nothing that is escaped is the same in JSON.
    if len(joined.translate(None, _ESCAPED)) == len(joined) - len(values) + 1:
        return (b'"%b"' % joined.replace(_BETWEEN, _APART)).split(_BETWEEN)
    return map(_json.encode, map(bytes.decode, values))


def _whole_numbers(values: Sequence[bytes]) -> Iterable[bytes]:
    joined = b",".join(values)
    if joined.translate(None, b"-,0123456789"):
        return map(integer_json, values)
    return values if _is_json(_integers, joined, len(values)) else map(integer_json, values)


def _texts_of_decimals(values: Sequence[bytes]) -> Iterable[bytes]:
    joined = b",".join(values)
    if joined.translate(None, b"-.,0123456789") or not _is_json(_decimals, joined, len(values)):
        return map(decimal_as_text, values)
    return b'"%b"'.__mod__(joined.replace(b",", b'","')).split(b",")


def _instants(values: Sequence[bytes]) -> Iterable[bytes]:
    joined, count = b",".join(values), len(values)
    step = _INSTANT + 1
    usual = (
        len(joined) == count * step - 1
        and joined[10::step] == b" " * count
        and joined[19::step] == b"+" * count
        and joined[20::step] == b"0" * count == joined[21::step]
        and joined[22::step] == b"," * (count - 1)
        and joined.translate(None, _DIGITS) == b",".join([b"-- ::+"] * count)
    )
    if not usual:  # whole seconds are
        return map(instant_json, values)
    return (b'"%b"' % joined.replace(b"+00", b".000000Z").replace(b",", b'","').replace(b" ", b"T")).split(b",")


def _is_json(
    decoder: msgspec.json.Decoder[list[int]] | msgspec.json.Decoder[list[float]], joined: bytes, count: int
) -> bool:
    try:
        return len(decoder.decode(b"[%b]" % joined)) == count
    except msgspec.DecodeError:
        return False


_AT_ONCE: dict[Encode, Callable[[Sequence[bytes]], Iterable[bytes]]] = {
    text_json: _texts,
    integer_json: _whole_numbers,
    decimal_as_text: _texts_of_decimals,
    instant_json: _instants,
    boolean_json: lambda values: map(BOOLEANS.__getitem__, values),
}
