"""Points and PostGIS geometries to Debezium's structs.

Formats: PostgreSQL documentation, "Geometric Types"; PostGIS documentation, "EWKB": well-known binary whose type number
says by one bit that a spatial reference system follows.
"""

from binascii import b2a_base64, unhexlify
from struct import Struct as Layout

from connectors.cdc.scalars import float_json
from connectors.cdc.schema_blocks import Schema, placed, simple, struct_of

_WKB_POINT = Layout("<BIdd")
_POINT, _LITTLE_ENDIAN = 1, 1
_TYPE, _SRID = slice(1, 5), slice(5, 9)
_HAS_SRID = 0x2000_0000

POINT: Schema = struct_of(
    [
        *(placed(simple("double"), optional=False, field=name) for name in ("x", "y")),
        placed(simple("bytes"), optional=True, field="wkb"),
        placed(simple("int32"), optional=True, field="srid"),
    ],
    name="io.debezium.data.geometry.Point",
    version=1,
    doc="Geometry (POINT)",
)


def shape_schema(name: str) -> Schema:
    """Return the schema of a PostGIS value; `name` is "Geometry" or "Geography"."""
    return struct_of(
        [
            placed(simple("bytes"), optional=False, field="wkb"),
            placed(simple("int32"), optional=True, field="srid"),
        ],
        name=f"io.debezium.data.geometry.{name}",
        version=1,
        doc=name,
    )


def point(value: bytes) -> bytes:
    """Return a point "(x,y)" as JSON: its coordinates, and itself as well-known binary.

    Raises:
        ValueError: it is no point.
    """
    if not (value.startswith(b"(") and value.endswith(b")")):
        raise ValueError("no point")
    x, y = value[1:-1].split(b",")
    wkb = _WKB_POINT.pack(_LITTLE_ENDIAN, _POINT, float(x), float(y))
    return b'{"x":%b,"y":%b,"wkb":"%b","srid":null}' % (float_json(x), float_json(y), b2a_base64(wkb, newline=False))


def shape(value: bytes) -> bytes:
    """Return a PostGIS value, printed as hexadecimal EWKB, as JSON: the EWKB in base64, and its reference system.

    Raises:
        ValueError: it is no EWKB.
    """
    ewkb = unhexlify(value)
    if len(ewkb) < _SRID.stop or ewkb[0] > _LITTLE_ENDIAN:
        raise ValueError("no EWKB")
    order = "little" if ewkb[0] == _LITTLE_ENDIAN else "big"
    srid = b"null"
    if int.from_bytes(ewkb[_TYPE], order) & _HAS_SRID:
        srid = b"%d" % int.from_bytes(ewkb[_SRID], order, signed=True)
    return b'{"wkb":"%b","srid":%b}' % (b2a_base64(ewkb, newline=False), srid)
