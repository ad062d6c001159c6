"""Random values of every type, as SQL. Pure: the same generator state gives the same values."""

from collections.abc import Callable, Mapping
from random import Random

Draw = Callable[[Random], str]

_HSTORES = ['a=>1, "b c"=>NULL', "", '"q\\"1"=>"x, y", "\u00e9"=>"=>"']

_LETTERS = "abcXYZ 0123'\"\\,{}[]()%:/\t\n\u00e9\u4e2d\U0001d11e"


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def text(draw: Random, longest: int = 12) -> str:
    """Return a random text with everything that needs quoting somewhere, not as SQL."""
    return "".join(draw.choices(_LETTERS, k=draw.randint(0, longest)))


def long_text(draw: Random, length: int = 6_000) -> str:
    """Return a text that is stored outside of its row, as SQL: it does not compress."""
    return quoted("".join(draw.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=length)))


def _one_of(*literals: str) -> Draw:
    return lambda draw: quoted(draw.choice(literals))


def _integer(bits: int) -> Draw:
    edge = 2 ** (bits - 1)
    return lambda draw: quoted(str(draw.choice([draw.randint(-edge, edge - 1), -edge, edge - 1, 0])))


def _text(draw: Random) -> str:
    return quoted(text(draw))


def _date(draw: Random) -> str:
    edges = ["infinity", "-infinity", "0044-03-15 BC", "0001-01-01", "1582-10-04", "1582-10-15", "12345-06-07"]
    return quoted(draw.choice([_day(draw), _day(draw), *edges]))


def _day(draw: Random) -> str:
    return f"{draw.randint(1900, 2100):04}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"


def _time(draw: Random) -> str:
    return f"{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:{draw.randint(0, 59):02}.{draw.randint(0, 999_999):06}"


def _moment(draw: Random) -> str:
    edges = ["infinity", "-infinity", "1500-02-03 04:05:06.789", "0044-03-15 12:00:00 BC", "1970-01-01 00:00:00"]
    return quoted(draw.choice([f"{_day(draw)} {_time(draw)}", f"{_day(draw)} {_time(draw)}", *edges]))


def _time_of_day(draw: Random) -> str:
    return quoted(draw.choice([_time(draw), _time(draw), "24:00:00", "00:00:00"]))


def _time_with_zone(draw: Random) -> str:
    return quoted(f"{_time(draw)}{draw.choice(['+00', '-08', '+05:30'])}")


def _interval(draw: Random) -> str:
    return quoted(
        f"{draw.randint(-5, 5)} years {draw.randint(-12, 12)} mons {draw.randint(-40, 40)} days {_time(draw)}"
    )


def _numeric(draw: Random) -> str:
    edges = ["NaN", "0", "-0.001", "123456789012345678901234567890.123456789"]
    return quoted(draw.choice([f"{draw.randint(-(10**12), 10**12)}.{draw.randint(0, 999_999):06}", *edges]))


def _fixed(draw: Random) -> str:
    return quoted(f"{draw.randint(-(10**9), 10**9)}.{draw.randint(0, 99):02}")


def _float(draw: Random) -> str:
    edges = ["NaN", "Infinity", "-Infinity", "0", "-0", "1e-30", "1e+30", "0.1"]
    return quoted(draw.choice([repr(draw.uniform(-1000, 1000)), repr(draw.uniform(-1e9, 1e9)), *edges]))


def _bytes(draw: Random) -> str:
    return quoted("\\x" + draw.randbytes(draw.randint(0, 20)).hex())


def _json(draw: Random) -> str:
    return _one_of('{"a": [1, 2.50, null], "b": {"c": "\\u00e9"}}', "[]", '"x"', "null", '{"b":1,  "a":2}')(draw)


def outbox_payload(draw: Random) -> str:
    """Return the payload of an outbox message, as SQL: what Debezium can expand, and what it leaves as text."""
    expandable = '{"id": %d, "big": 12345678901, "f": 1.50, "o": {"b": true, "none": null}, "a": [1, 2], "e": []}'
    return draw.choice(
        [
            "NULL",
            *(quoted(one) for one in ("7", '"x"', "null", '{"mixed": [1, "a"]}', '{"a": [{"x": 1}, {"x": 2}]}', "{}")),
            *[quoted(expandable % draw.randrange(100))] * 3,
        ]
    )


def _uuid(draw: Random) -> str:
    digits = draw.randbytes(16).hex()
    return quoted(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")


def _bits(draw: Random) -> str:
    return "B'" + "".join(draw.choices("01", k=12)) + "'"


def long_array(draw: Random) -> str:
    """Return an array of numbers that lies outside of large rows; Debezium has no placeholder for its type."""
    count = 40 if draw.random() < 0.7 else 3
    return "'{" + ",".join(f"{draw.randint(0, 10**9) / 100:.2f}" for _ in range(count)) + "}'"


def _array(draw_element: Draw) -> Draw:
    def draw_array(draw: Random) -> str:
        elements = ["NULL" if draw.random() < 0.2 else draw_element(draw) for _ in range(draw.randint(0, 3))]
        return f"ARRAY[{', '.join(elements)}]"

    return draw_array


_SCALARS: Mapping[str, Draw] = {
    "boolean": _one_of("t", "f"),
    "smallint": _integer(16),
    "integer": _integer(32),
    "bigint": _integer(64),
    "real": _float,
    "double precision": _float,
    "numeric": _numeric,
    "numeric(12,2)": _fixed,
    "text": _text,
    "varchar(20)": _text,
    "char(8)": lambda draw: quoted(text(draw, 8)),
    "uuid": _uuid,
    "bytea": _bytes,
    "json": _json,
    "jsonb": _json,
    "date": _date,
    "timestamp": _moment,
    "timestamp(3)": _moment,
    "timestamptz": _moment,
    "time": _time_of_day,
    "inet": _one_of("10.1.2.3", "10.1.0.0/16", "::1", "2001:db8::/32"),
}
# What is in no array here.
_OTHERS: Mapping[str, Draw] = {
    "name": _text,
    "oid": _one_of("0", "1", "4294967295"),
    "timestamp(0)": _moment,
    "timestamptz(2)": _moment,
    "time(3)": _time_of_day,
    "timetz": _time_with_zone,
    "interval": _interval,
    "money": _one_of("12.34", "-1234567.89", "0"),
    "cidr": _one_of("10.1.0.0/16", "2001:db8::/32"),
    "macaddr": _one_of("08:00:2b:01:02:03"),
    "macaddr8": _one_of("08:00:2b:01:02:03:04:05"),
    "bit(12)": _bits,
    "varbit(20)": _bits,
    "bit(1)": lambda draw: draw.choice(["B'0'", "B'1'"]),
    "tsvector": _one_of("a fat cat", "'quoted word':3A other:1"),
    "point": _one_of("(1,2)", "(-1.5,1e10)"),
    "int4range": _one_of("[1,5)", "empty", "(,10]", "[7,)"),
    "int8range": _one_of("[1,5)", "empty"),
    "numrange": _one_of("[1.5,2.5]", "(,)"),
    "daterange": _one_of("[2024-01-01,2024-02-01)"),
    "tsrange": _one_of("[2024-01-01 10:00,2024-02-01 11:00)"),
    "tstzrange": _one_of("[2024-01-01 10:00+00,)"),
    "workload.colour": _one_of("red", "deep blue", "it's"),
    "workload.amount": _fixed,
    "workload.pair": _one_of("(1,x)", '(,"a ""b"" c")'),
    "workload.sum": _fixed,
    '"char"': _one_of("x", "7"),
    "box": _one_of("((3,4),(1,2))"),
    "pg_lsn": _one_of("16/B374D848"),
}
# In arrays that Debezium treats other than those above.
_ODD_ARRAYS: Mapping[str, Draw] = {
    "interval": _interval,
    "money": _one_of("12.34", "-1.50"),
    "timetz": _time_with_zone,
    "time(3)": _time_of_day,
    "bit(3)": _one_of("101", "000"),
    "varbit(9)": _one_of("10110", "0"),
    "point": _one_of("(1,2)"),
    "cidr": _one_of("10.1.0.0/16", "2001:db8::/32"),
    "macaddr": _one_of("08:00:2b:01:02:03"),
    "name": _one_of("a", "b c"),
    "oid": _one_of("1", "4294967295"),
    "int4range": _one_of("[1,5)", "empty"),
    "daterange": _one_of("[2024-01-01,2024-02-01)"),
    "workload.amount": _fixed,
}


def _arrays(elements: Mapping[str, Draw]) -> dict[str, Draw]:
    return {
        f"{name}[]": _array(lambda draw, name=name, draw_one=draw_one: f"{draw_one(draw)}::{name}")
        for name, draw_one in elements.items()
    }


BUILT_IN: Mapping[str, Draw] = {
    **_SCALARS,
    **_OTHERS,
    **_arrays(_SCALARS),
    **_arrays(_ODD_ARRAYS),
    "workload.colour[]": _array(_one_of("red", "deep blue")),
    "integer[][]": _one_of("{{1,2},{3,NULL}}", "[0:1]={4,5}", "{}"),
    "text[][]": _one_of("{{a,b},{c,NULL}}", "{x}"),
}
# What not every server has: types of newer versions, XML, and the types of extensions.
OF_FEATURES: Mapping[str, Mapping[str, Draw]] = {
    "multirange": {"int4multirange": _one_of("{[1,5),[7,9)}", "{}")},
    "negative scale": {"numeric(6,-2)": lambda draw: quoted(str(draw.randint(-(10**7), 10**7)))},
    "vector": {
        "vector(3)": _one_of("[1,2,3]", "[-0.5,1e-3,0]"),
        "halfvec(3)": _one_of("[1,2,3]", "[-0.5,0.25,0]"),
        "sparsevec(5)": _one_of("{1:1.5,3:-2}/5", "{}/5"),
    },
    "hstore": {
        "hstore": lambda draw: quoted(draw.choice(_HSTORES)),
        "hstore[]": _array(_one_of("a=>1", "")),
    },
    "ltree": {"ltree": _one_of("Top.Science", ""), "ltree[]": _array(lambda _: "'a.b'::ltree")},
    "citext": {"citext": _text, "citext[]": _array(lambda draw: f"{_text(draw)}::citext")},
    "xml": {"xml": _one_of('<a b="c">&amp;d</a>', "text"), "xml[]": _array(lambda _: "'<a/>'::xml")},
    "postgis": {
        "geometry": _one_of("POINT(1 2)", "SRID=4326;LINESTRING(0 0,1 1)", "POINT Z (1 2 3)", "POLYGON EMPTY"),
        "geometry(Point,4326)": _one_of("SRID=4326;POINT(1 2)", "SRID=4326;POINT EMPTY"),
        "geometry[]": _array(lambda _: "'POINT(1 2)'::geometry"),
        "geography": _one_of("POINT(1 2)"),
    },
}
TYPES: Mapping[str, Draw] = {**BUILT_IN, **{name: draw for some in OF_FEATURES.values() for name, draw in some.items()}}


def column_of(type_name: str) -> str:
    """Return the name of the column that holds a type: "c_numeric_12_2"."""
    plain = type_name.removeprefix("workload.").replace("[]", "_array")
    return "c_" + "_".join("".join(letter if letter.isalnum() else " " for letter in plain).split())


def literal(draw: Random, type_name: str) -> str:
    """Return a random value of a type as SQL, every now and then NULL."""
    return "NULL" if draw.random() < 0.1 else f"{TYPES[type_name](draw)}::{type_name}"
