"""The text of a column to JSON, by type, as Debezium's Postgres connector encodes it.

Snapshot and stream both read columns as text and both come through here, so one value has one form on either way. What
a type becomes, and with which schema, is one `Codec`; docs/cdc-types.md shows them all.
"""

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from connectors.cdc import decimals, geometry, hstore, intervals, times, vectors
from connectors.cdc.arrays import Element, parse_array
from connectors.cdc.encoding import DEFAULT, Encoding
from connectors.cdc.pg_types import PgType, without_domain
from connectors.cdc.scalars import (
    Encode,
    bit_boolean,
    bits_base64,
    boolean_json,
    bytes_base64,
    bytes_base64_url_safe,
    bytes_hex,
    float_json,
    integer_json,
    text_base64,
    text_json,
    uuid_json,
)
from connectors.cdc.schema_blocks import Schema, array_of, logical, placed, simple

NULL = b"null"
# Stands for a value that an update left alone and that Postgres keeps outside of the row. Debezium's constant.
UNAVAILABLE = "__debezium_unavailable_value"

# OIDs of built-in types, for those who describe columns by hand.
BOOL, BYTEA, INT8, INT2, INT4, TEXT, OID, JSON = 16, 17, 20, 21, 23, 25, 26, 114
FLOAT4, FLOAT8, BPCHAR, VARCHAR, DATE, TIME = 700, 701, 1042, 1043, 1082, 1083
TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB, NAME, CHAR = 1114, 1184, 1700, 2950, 3802, 19, 18

_PLACEHOLDER = text_json(UNAVAILABLE.encode())
_PLACEHOLDER_BYTES = b'"%b"' % b2a_base64(UNAVAILABLE.encode(), newline=False)
_PLACEHOLDER_CODES = b",".join(b"%d" % code for code in UNAVAILABLE.encode())
_PLACEHOLDER_UUID = b'"b68a35a7-17ad-35b3-af2a-ae46edb4545a"'  # Java's UUID.nameUUIDFromBytes of the constant
_PLACEHOLDER_MAP = b"{%b:%b}" % (_PLACEHOLDER, _PLACEHOLDER)


class Codec(NamedTuple):
    """How the values of a column become JSON.

    Attributes:
        encode: raises ValueError or KeyError for a text that the type does not print.
        schema: of Kafka Connect, without what its place adds.
        placeholder: stands for a value that is not in the stream, as Debezium 3.4 writes it; where that writes null,
            which nobody can tell from data, the constant in the form of the schema.
        maybe_null: whether a value that is not null in Postgres may become null.
        null: what stands for null: the mask of a masked column, so that nobody sees which rows have a value.
    """

    encode: Encode
    schema: Schema
    placeholder: bytes = _PLACEHOLDER
    maybe_null: bool = False
    null: bytes = NULL


def codec_of(kind: PgType, typmod: int, encoding: Encoding = DEFAULT) -> Codec | None:
    """Return how the values of a column are written; None when the options leave out columns of this type.

    Args:
        kind: of the column.
        typmod: of the column: precision and scale, digits after the second, length; -1 for none.
        encoding: the options.
    """
    kind, typmod = without_domain(kind, typmod)
    if kind.element is not None:
        element = codec_of(kind.element, typmod, encoding)
        return None if element is None else _array_of(element, kind.delimiter)
    if kind.labels:
        return Codec(text_json, logical("string", "io.debezium.data.Enum", allowed=",".join(kind.labels)))
    if kind.builtin_form:
        if kind.name in _FIXED:
            return _FIXED[kind.name]
        if kind.name in _BY_OPTION:
            return _BY_OPTION[kind.name](typmod, encoding)
    return _unknown(encoding)


def _text(name: str | None = None) -> Codec:
    return Codec(text_json, simple("string") if name is None else logical("string", f"io.debezium.data.{name}"))


def _unknown(encoding: Encoding) -> Codec | None:
    if encoding.unknown_types == "omit":
        return None
    if encoding.unknown_types == "text":
        return _text()
    return Codec(text_base64, simple("bytes"), _PLACEHOLDER_BYTES)


def _array_of(element: Codec, delimiter: bytes) -> Codec:
    if element.schema.get("name") == "io.debezium.data.Uuid":
        placeholder = _PLACEHOLDER_UUID
    else:
        placeholder = _PLACEHOLDER_CODES if element.schema["type"].startswith("int") else element.placeholder
    encode = partial(_array, delimiter=delimiter, encode=element.encode)
    return Codec(encode, array_of(element.schema), b"[%b]" % placeholder)


def _array(value: bytes, delimiter: bytes, encode: Encode) -> bytes:
    if (
        b'"' not in value
        and value.startswith(b"{")
        and value.endswith(b"}")
        and value.rfind(b"{") == 0
        and len(value) > 2
    ):
        elements = value[1:-1].split(delimiter)  # of one dimension, with nothing quoted
        return b"[%b]" % b",".join([NULL if element == b"NULL" else encode(element) for element in elements])
    return _list(parse_array(value, delimiter), encode)


def _list(elements: list[Element], encode: Encode) -> bytes:
    return b"[%b]" % b",".join(
        [
            NULL if element is None else _list(element, encode) if isinstance(element, list) else encode(element)
            for element in elements
        ]
    )


def _bytea(_: int, encoding: Encoding) -> Codec:
    if encoding.binary == "bytes":
        return Codec(bytes_base64, simple("bytes"), _PLACEHOLDER_BYTES)
    encode = {"base64": bytes_base64, "base64-url-safe": bytes_base64_url_safe, "hex": bytes_hex}[encoding.binary]
    return Codec(encode, simple("string"))


def _bit(typmod: int, _: Encoding) -> Codec:
    return Codec(bit_boolean, simple("boolean")) if typmod in (1, -1) else _bits(typmod, _)


def _bits(typmod: int, _: Encoding) -> Codec:
    length = typmod if typmod > 0 else 2**31 - 1
    return Codec(bits_base64, logical("bytes", "io.debezium.data.Bits", length=str(length)), _PLACEHOLDER_BYTES)


def _numeric(typmod: int, encoding: Encoding) -> Codec:
    if encoding.decimals == "string":
        return Codec(decimals.decimal_as_text, simple("string"))
    if encoding.decimals == "double":
        return Codec(decimals.decimal_as_double, simple("double"))
    if typmod < 0:
        placeholder = b'{"scale":0,"value":%b}' % _PLACEHOLDER_BYTES
        return Codec(decimals.decimal_of_its_own_scale, decimals.VARIABLE_SCALE, placeholder, maybe_null=True)
    scale = decimals.scale_of(typmod)
    schema = decimals.connect_decimal(scale, decimals.precision_of(typmod))
    return Codec(decimals.decimal_of_scale(scale), schema, _PLACEHOLDER_BYTES, maybe_null=True)


def _money(_: int, encoding: Encoding) -> Codec:
    if encoding.decimals == "string":
        return Codec(decimals.money_as_text, simple("string"))
    if encoding.decimals == "double":
        return Codec(decimals.money_as_double, simple("double"))
    return Codec(decimals.money_precise, decimals.connect_decimal(2))


def _date(_: int, encoding: Encoding) -> Codec:
    if encoding.times == "isostring":
        return _quoted(times.iso_date, "io.debezium.time.IsoDate")
    connect = encoding.times == "connect"
    return _number(times.days, "int32", "org.apache.kafka.connect.data.Date" if connect else "io.debezium.time.Date")


def _timestamp(typmod: int, encoding: Encoding) -> Codec:
    if encoding.times == "isostring":
        return _quoted(times.iso_timestamp, "io.debezium.time.IsoTimestamp")
    if encoding.times == "connect":
        return _number(_timestamp_ms, "int64", "org.apache.kafka.connect.data.Timestamp")
    if 0 <= typmod <= 3:
        return _number(_timestamp_ms, "int64", "io.debezium.time.Timestamp")
    return _number(times.microseconds, "int64", "io.debezium.time.MicroTimestamp")


def _timestamptz(typmod: int, _: Encoding) -> Codec:
    if typmod in (-1, 6):
        return Codec(times.instant_json, logical("string", "io.debezium.time.ZonedTimestamp"))
    return _quoted(partial(times.instant, digits=typmod), "io.debezium.time.ZonedTimestamp")


def _time(typmod: int, encoding: Encoding) -> Codec:
    if encoding.times == "isostring":
        return _quoted(_iso_time, "io.debezium.time.IsoTime")
    if encoding.times == "connect":
        return _number(_time_ms, "int32", "org.apache.kafka.connect.data.Time")
    if 0 <= typmod <= 3 and encoding.times == "adaptive":
        return _number(_time_ms, "int32", "io.debezium.time.Time")
    return _number(times.time_microseconds, "int64", "io.debezium.time.MicroTime")


def _interval(_: int, encoding: Encoding) -> Codec:
    if encoding.intervals == "string":
        return Codec(intervals.interval_as_text, logical("string", "io.debezium.time.Interval"))
    return Codec(intervals.interval_as_microseconds, logical("int64", "io.debezium.time.MicroDuration"))


def _hstore(_: int, encoding: Encoding) -> Codec:
    if encoding.hstore == "json":
        return Codec(hstore.hstore_as_json, logical("string", "io.debezium.data.Json"), text_json(_PLACEHOLDER_MAP))
    schema = {
        "type": "map",
        "keys": placed(simple("string"), optional=False),
        "values": placed(simple("string"), optional=True),
    }
    return Codec(hstore.hstore_as_map, schema, _PLACEHOLDER_MAP)


def _quoted(convert: Callable[[bytes], bytes], name: str) -> Codec:
    def encode(value: bytes) -> bytes:
        return b'"%b"' % convert(value)

    return Codec(encode, logical("string", name))


def _number(convert: Callable[[bytes], int], kind: str, name: str) -> Codec:
    def encode(value: bytes) -> bytes:
        return b"%d" % convert(value)

    return Codec(encode, logical(kind, name))


def _timestamp_ms(value: bytes) -> int:
    return times.microseconds(value) // 1000


def _time_ms(value: bytes) -> int:
    return times.time_microseconds(value) // 1000


def _iso_time(value: bytes) -> bytes:
    return times.clock(times.time_microseconds(value))


def _shape(name: str) -> Codec:
    return Codec(geometry.shape, geometry.shape_schema(name), b'{"wkb":%b,"srid":null}' % _PLACEHOLDER_BYTES)


_RANGES = ("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange")
_TEXTS = ("text", "varchar", "bpchar", "name", "char", "citext", "inet", "cidr", "macaddr", "macaddr8", *_RANGES)

PLAIN_TEXT = _text()

# By `typname`, those that no option and no modifier changes.
_FIXED: Mapping[str, Codec] = {
    "bool": Codec(boolean_json, simple("boolean")),
    "int2": Codec(integer_json, simple("int16")),
    "int4": Codec(integer_json, simple("int32")),
    "int8": Codec(integer_json, simple("int64")),
    "oid": Codec(integer_json, simple("int64")),
    "float4": Codec(float_json, simple("float")),
    "float8": Codec(float_json, simple("double")),
    "uuid": Codec(uuid_json, logical("string", "io.debezium.data.Uuid")),
    **dict.fromkeys(_TEXTS, _text()),
    "json": _text("Json"),
    "jsonb": _text("Json"),
    "xml": _text("Xml"),
    "ltree": _text("Ltree"),
    "tsvector": _text("Tsvector"),
    "timetz": _quoted(times.time_of_zone, "io.debezium.time.ZonedTime"),
    "point": Codec(geometry.point, geometry.POINT),
    "geometry": _shape("Geometry"),
    "geography": _shape("Geography"),
    "vector": Codec(vectors.vector, vectors.VECTOR, b"[%b]" % _PLACEHOLDER),
    "halfvec": Codec(vectors.vector, vectors.HALF_VECTOR, b"[%b]" % _PLACEHOLDER),
    "sparsevec": Codec(vectors.sparse_vector, vectors.SPARSE_VECTOR),
}

_BY_OPTION: Mapping[str, Callable[[int, Encoding], Codec]] = {
    "bytea": _bytea,
    "bit": _bit,
    "varbit": _bits,
    "numeric": _numeric,
    "money": _money,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "time": _time,
    "interval": _interval,
    "hstore": _hstore,
}
