"""docs/cdc-types.md, from the examples that the tests hold."""

from collections.abc import Iterable
from itertools import groupby

from connectors.cdc.examples_of_arrays import ARRAYS
from connectors.cdc.examples_of_values import VALUES
from connectors.cdc.schema_blocks import Schema
from connectors.cdc.type_examples import OPTIONS, Example, type_of
from connectors.cdc.types import codec_of

EXAMPLES: tuple[Example, ...] = (*VALUES, *ARRAYS)

INTRODUCTION = """<!-- Written by `python -m streams.documents` from connectors/cdc/examples_of_*.py. -->
# Types of Postgres in JSON

What `travelos cdc` writes for each type, in the snapshot and in the stream alike, and what with the options of
[`[source]`](configuration.md) that change it. Each option is one of Debezium's:

| option | Debezium |
|---|---|
| `decimals = "string"` (default), `"precise"`, `"double"` | `decimal.handling.mode` |
| `times = "adaptive"` (default), `"adaptive_time_microseconds"`, `"connect"`, `"isostring"` | `time.precision.mode` |
| `intervals = "numeric"` (default), `"string"` | `interval.handling.mode` |
| `binary = "bytes"` (default), `"base64"`, `"base64-url-safe"`, `"hex"` | `binary.handling.mode` |
| `hstore = "json"` (default), `"map"` | `hstore.handling.mode` |
| `unknown_types = "text"` (default), `"bytes"`, `"omit"` | none, `include.unknown.datatypes=true`, `=false` |
| `schemas = true` | `schemas.enable=true` of the JSON converter |

A domain is written as the type that it narrows. Types that a database has of its own are looked up in its catalogue
when a table is described, never for a row.

## With schemas
`schemas = true` sends key and value as `{"schema": ..., "payload": ...}`, as Kafka Connect's JSON converter does, with
Debezium's names: `<topic>.Key`, `<topic>.Value`, `<topic>.Envelope`, and those below. The text of a schema is made once
for each description of a table. Columns of the key are required, and NOT NULL columns of tables with
`REPLICA IDENTITY FULL`. Other NOT NULL columns are optional, other than in Debezium, because the old row of a delete
has null there; Debezium makes up values instead. Defaults that are constants are in the schema, in the form of the
values; a reader that puts them in the place of null does so by its own option (`replace.null.with.default`).

## Where Debezium 3.4.3 writes something else
Every example below was given to Debezium too, on PostgreSQL 15 and 18, except those of PostGIS, which follow its
source; [values like them](cdc-differences.md) were.

"""

# What, as Debezium writes it, as we do.
_DIFFERENCES = (
    ("`name`", "null in the stream", "text"),
    (
        "infinite `date`",
        "not the same in snapshot and stream",
        "the numbers that Postgres keeps, or its text",
    ),
    ("`date`, `timestamp`, `timestamptz` before 1582", "shifted by days in the snapshot", "as Postgres means them"),
    ("`timetz` with seconds in its offset", "the connector stops", "in UTC"),
    ("domains over enums", "the connector stops", "as the enum"),
    ("`numeric(5,-2)`", "scale 2046", "scale -2"),
    ("`money` with `decimals=string`", "`1.5` in the snapshot, `1.50` in the stream", "`1.50`"),
    ("arrays of `interval`, `money`, `point`, `xml`, `varbit`, domains", "left out", "arrays"),
    ("arrays of several dimensions", "null for each inner array, or the names of Java's objects", "nested arrays"),
    ("arrays of `bit`, of `numeric` with NaN, of enums with null", "null", "arrays"),
    ("`time[]`, `timetz[]`", "lose microseconds, or all below a second", "whole"),
    (
        "`line`, `box`, `path`, ... with `unknown_types=bytes`",
        "as Java prints them: `(1.0,2.0)`",
        "as Postgres: `(1,2)`",
    ),
    ("items of arrays of enums and `tsvector` in schemas", "required", "optional: an array may hold null"),
    (
        "unchanged large values of types that have no placeholder there",
        "null",
        "the constant, in the form of the schema",
    ),
)


def types_page() -> str:
    """Return the text of docs/cdc-types.md."""
    lines = [INTRODUCTION + "| | Debezium | here |", "|---|---|---|"]
    lines += [f"| {' | '.join(difference)} |" for difference in _DIFFERENCES]
    lines += ["", "## Values"]
    for declared, examples in groupby(EXAMPLES, key=lambda example: example.type):
        lines += ["", f"### `{declared}`", "", *_schemas(declared), "| in SQL | JSON | otherwise |", "|---|---|---|"]
        lines += [_row(example) for example in examples]
    return "\n".join(lines) + "\n"


def _schemas(declared: str) -> Iterable[str]:
    """Return a line that names the schemas of a type, by option where they differ."""
    kind, typmod = type_of(declared)
    default = codec_of(kind, typmod)
    assert default is not None
    named = [_name(default.schema)]
    for option, encoding in OPTIONS.items():
        codec = codec_of(kind, typmod, encoding)
        if codec is not None and codec.schema != default.schema:
            named.append(f"with `{option}` {_name(codec.schema)}")
    return (f"Schema: {'; '.join(named)}.", "")


def _name(schema: Schema) -> str:
    shape = f"`{schema['type']}`"
    if schema["type"] == "array":
        shape = f"array of {_name(schema['items'])}"
    elif schema["type"] == "map":
        shape = f"map of {_name(schema['keys'])} to {_name(schema['values'])}"
    if "name" in schema:
        shape += f" `{schema['name']}`"
    parameters = schema.get("parameters", {})
    return shape + "".join(f", {name} `{value}`" for name, value in parameters.items())


def _row(example: Example) -> str:
    otherwise = [
        f"{_code(option)}: {'left out' if form is None else _code(form)}" for option, form in example.otherwise.items()
    ]
    return f"| {_code(example.literal)} | {_code(example.json)} | {'; '.join(otherwise)} |"


def _code(text: str) -> str:
    shown = text.replace("\t", "\\t").replace("\n", "\\n").replace("|", "\\|")
    return f"`{shown}`" if shown else "(empty)"
