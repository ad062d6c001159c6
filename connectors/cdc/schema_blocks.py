"""The schemas that Kafka Connect's JSON converter sends with each key and value when `schemas.enable` is on.

Format: Kafka Connect, JsonConverter; the order of the members is the converter's, the names are Debezium's.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

# A schema without what its place adds: whether it is optional, and the name of the field.
Schema = Mapping[str, Any]

_SHAPE = ("type", "items", "keys", "values", "fields")
_SNAPSHOT_MARKERS = "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"


def simple(kind: str) -> Schema:
    """Return the schema of a type of Kafka Connect: "int32", "string", ..."""
    return {"type": kind}


def logical(kind: str, name: str, **parameters: str) -> Schema:
    """Return the schema of a logical type: what it is in JSON, and what that means."""
    schema = {"type": kind, "name": name, "version": 1}
    return {**schema, "parameters": parameters} if parameters else schema


def placed(schema: Schema, *, optional: bool, field: str | None = None, default: bytes | None = None) -> dict[str, Any]:
    """Return a schema in its place, with the members in the converter's order; `default` is JSON."""
    shape = {name: schema[name] for name in _SHAPE if name in schema}
    rest = {name: value for name, value in schema.items() if name not in _SHAPE}
    more = {} if default is None else {"default": msgspec.Raw(default)}
    return {**shape, "optional": optional, **rest, **more, **({} if field is None else {"field": field})}


def array_of(schema: Schema, *, optional: bool = True) -> Schema:
    """Return the schema of an array; `optional` tells whether it may hold null."""
    return {"type": "array", "items": placed(schema, optional=optional)}


def struct_of(fields: Iterable[dict[str, Any]], **more: Any) -> Schema:
    """Return the schema of an object with these fields, which are placed."""
    return {"type": "struct", "fields": list(fields), **more}


def key_schema(topic: str, fields: Iterable[dict[str, Any]]) -> bytes:
    """Return the schema of the keys of a topic, as JSON."""
    return msgspec.json.encode(placed(struct_of(fields, name=f"{topic}.Key"), optional=False))


def envelope_schema(topic: str, fields: Iterable[dict[str, Any]]) -> bytes:
    """Return the schema of the values of a topic whose rows have these fields, as JSON."""
    row = struct_of(fields, name=f"{topic}.Value")
    envelope = struct_of(
        [
            placed(row, optional=True, field="before"),
            placed(row, optional=True, field="after"),
            placed(SOURCE, optional=False, field="source"),
            placed(TRANSACTION, optional=True, field="transaction"),
            placed(simple("string"), optional=False, field="op"),
            *(placed(simple("int64"), optional=True, field=name) for name in ("ts_ms", "ts_us", "ts_ns")),
        ],
        name=f"{topic}.Envelope",
        version=2,
    )
    return msgspec.json.encode(placed(envelope, optional=False))


def wrapped(schema: bytes, payload: bytes) -> bytes:
    """Return a payload with its schema, both JSON."""
    return b'{"schema":%b,"payload":%b}' % (schema, payload)


def _source() -> Schema:
    string, number = simple("string"), simple("int64")
    snapshot = {**logical("string", "io.debezium.data.Enum", allowed=_SNAPSHOT_MARKERS), "default": "false"}
    required, optional = partial(placed, optional=False), partial(placed, optional=True)
    return struct_of(
        [
            *(required(string, field=name) for name in ("version", "connector", "name")),
            required(number, field="ts_ms"),
            optional(snapshot, field="snapshot"),
            required(string, field="db"),
            optional(string, field="sequence"),
            *(optional(number, field=name) for name in ("ts_us", "ts_ns")),
            *(required(string, field=name) for name in ("schema", "table")),
            *(optional(number, field=name) for name in ("txId", "lsn", "xmin")),
        ],
        name="io.debezium.connector.postgresql.Source",
        version=1,
    )


SOURCE = _source()
TRANSACTION = struct_of(
    [
        placed(simple("string"), optional=False, field="id"),
        *(placed(simple("int64"), optional=False, field=name) for name in ("total_order", "data_collection_order")),
    ],
    name="event.block",
    version=1,
)
