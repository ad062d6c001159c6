"""What an example of a value is, and which types the examples need: for docs/cdc-types.md and the tests.

The JSON of the examples was compared with what Debezium 3.4.3 writes for the same literals, on PostgreSQL 15 and 18;
docs/cdc.md lists where it differs and why. Those of PostGIS follow its source; the differential test has their like.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from connectors.cdc.encoding import Encoding
from connectors.cdc.pg_types import BUILT_IN, PgType


class Example(Struct, frozen=True):
    """A value of a type.

    Attributes:
        type: as a column is declared.
        literal: as it is written in SQL.
        printed: as Postgres prints it for us.
        json: as it is written with the default options.
        otherwise: the same for each option that changes it, by "option=value"; None where the column is left out.
    """

    type: str
    literal: str
    printed: str
    json: str
    otherwise: Mapping[str, str | None] = {}


# The types that the examples need beside the built-in ones, in this order.
DEFINITIONS = (
    "CREATE TYPE mood AS ENUM ('happy', 'sad')",
    "CREATE DOMAIN price AS numeric(8,3)",
    "CREATE DOMAIN cheap_price AS price CHECK (value < 1)",
    "CREATE DOMAIN feeling AS mood",
    "CREATE TYPE pair AS (a int, b text)",
)
_MOOD = PgType("mood", labels=("happy", "sad"))
_PRICE = PgType("price", base=PgType("numeric"), base_typmod=(8 << 16 | 3) + 4)
_DEFINED = {
    "mood": _MOOD,
    "price": _PRICE,
    "cheap_price": PgType("cheap_price", base=_PRICE),
    "feeling": PgType("feeling", base=_MOOD),
    "pair": PgType("pair", builtin_form=False),
    "int4multirange": PgType("int4multirange", builtin_form=False),
}
# By extension. A server without it cannot show these.
EXTENSIONS: Mapping[str, tuple[str, ...]] = {
    "hstore": ("hstore",),
    "ltree": ("ltree",),
    "citext": ("citext",),
    "postgis": ("geometry", "geography"),
    "vector": ("vector", "halfvec", "sparsevec"),
}

OPTIONS: Mapping[str, Encoding] = {
    "decimals=precise": Encoding(decimals="precise"),
    "decimals=double": Encoding(decimals="double"),
    "times=adaptive_time_microseconds": Encoding(times="adaptive_time_microseconds"),
    "times=connect": Encoding(times="connect"),
    "times=isostring": Encoding(times="isostring"),
    "intervals=string": Encoding(intervals="string"),
    "binary=base64": Encoding(binary="base64"),
    "binary=base64-url-safe": Encoding(binary="base64-url-safe"),
    "binary=hex": Encoding(binary="hex"),
    "hstore=map": Encoding(hstore="map"),
    "unknown_types=bytes": Encoding(unknown_types="bytes"),
    "unknown_types=omit": Encoding(unknown_types="omit"),
}

_DECLARED = re.compile(r"(?P<name>[\w\"]+)(?:\((?P<first>-?\d+)(?:,(?P<second>-?\d+))?\))?(?P<array>\[\])?")


def name_of(declared: str) -> str:
    """Return the name of a type without its modifier and without what makes it an array."""
    match = _DECLARED.fullmatch(declared)
    assert match is not None, declared
    return match["name"].strip('"')


def type_of(declared: str) -> tuple[PgType, int]:
    """Return the type and the modifier of a column that is declared like this."""
    match = _DECLARED.fullmatch(declared)
    assert match is not None, declared
    name = name_of(declared)
    built_in = {kind.name: kind for kind in BUILT_IN.values()}
    kind = _DEFINED.get(name) or built_in.get(name) or PgType(name)
    typmod = int(match["first"] or -1)
    if name == "numeric" and typmod >= 0:
        typmod = (typmod << 16 | int(match["second"] or 0) & 0x7FF) + 4
    if match["array"]:
        kind = PgType(f"_{name}", element=kind, delimiter=b";" if name == "box" else b",")
    return kind, typmod
