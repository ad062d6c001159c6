"""The options that say how values are written, each as Debezium has it; docs/cdc-types.md shows every choice."""

from typing import Literal

from msgspec import Struct

Decimals = Literal["precise", "string", "double"]
Times = Literal["adaptive", "adaptive_time_microseconds", "connect", "isostring"]
Intervals = Literal["numeric", "string"]
Binary = Literal["bytes", "base64", "base64-url-safe", "hex"]
Hstore = Literal["json", "map"]
UnknownTypes = Literal["text", "bytes", "omit"]
Unavailable = Literal["fill", "placeholder"]
Nulls = Literal["keep", "default"]


class Encoding(Struct, frozen=True, kw_only=True):
    """How values are written.

    Attributes:
        decimals: `decimal.handling.mode`.
        times: `time.precision.mode`.
        intervals: `interval.handling.mode`.
        binary: `binary.handling.mode`; "bytes" is base64 in JSON.
        hstore: `hstore.handling.mode`.
        unknown_types: types that Debezium does not know: "text" as Postgres prints them, "bytes" the same in base64
            (`include.unknown.datatypes=true`), "omit" leaves their columns out (`false`).
        schemas: `schemas.enable` of Kafka Connect's JSON converter: each key and value brings its schema.
        unavailable: "fill" a large value that an update left alone from what the source has seen of the row;
            "placeholder": leave that to the reader, as Debezium does.
        nulls: "keep" null as it is; "default": in a column whose default is a constant write that in its place, as
            Kafka Connect's JSON converter does (`replace.null.with.default`).
    """

    decimals: Decimals = "string"
    times: Times = "adaptive"
    intervals: Intervals = "numeric"
    binary: Binary = "bytes"
    hstore: Hstore = "json"
    unknown_types: UnknownTypes = "text"
    schemas: bool = False
    unavailable: Unavailable = "fill"
    nulls: Nulls = "keep"


DEFAULT = Encoding()
