"""JSON in a text to JSON in a message, with the schema that Kafka Connect needs for it. Pure.

What Debezium's outbox event router makes with `table.expand.json.payload` (`io.debezium.transforms.outbox.
JsonSchemaData`): the schema follows from the value. Members that are null or an empty array have no type, so they are
left out; arrays hold values of one type, or the payload stays text.
"""

from typing import Any, NamedTuple, cast

import msgspec

from connectors.cdc.schema_blocks import Schema, array_of, placed, simple, struct_of

NAME = "payload"  # of the schema; those of objects inside are "payload.<member>"

_INT32, _INT64 = 2**31, 2**63


class Expanded(NamedTuple):
    """A payload as JSON, and its schema without what its place adds."""

    value: bytes
    schema: Schema


def expand(text: str) -> Expanded | None:
    """Return what a text holds; None when that is neither an object nor an array, or has no schema."""
    if not text.startswith(("{", "[")):
        return None
    try:
        value: Any = msgspec.json.decode(text)
        schema = _schema_of(value, NAME)
        if schema is None:
            return None
        return Expanded(msgspec.json.encode(_shaped(value, schema)), schema)
    except (msgspec.DecodeError, ValueError):
        return None


def _schema_of(value: Any, name: str | None) -> Schema | None:
    """Return the schema of a value; None when nothing tells its type. Raises ValueError when it can have none."""
    if isinstance(value, dict):
        return _of_object(cast("dict[str, Any]", value), name)
    if isinstance(value, list):
        return _of_array(cast("list[Any]", value), name)
    if isinstance(value, str):
        return simple("string")
    if isinstance(value, bool):
        return simple("boolean")
    if isinstance(value, int):
        return simple(_integer(value))
    return simple("double") if isinstance(value, float) else None


def _integer(value: int) -> str:
    if not -_INT64 <= value < _INT64:
        raise ValueError("an integer of more than 64 bits")  # a double would not be the same number
    return "int32" if -_INT32 <= value < _INT32 else "int64"


def _of_object(value: dict[str, Any], name: str | None) -> Schema:
    fields: list[dict[str, Any]] = []
    for member, inner in value.items():
        schema = _schema_of(inner, member if name is None else f"{name}.{member}")
        if schema is not None:
            fields.append(placed(schema, optional=True, field=member))
    return struct_of(fields, **({} if name is None else {"name": name}))


def _of_array(value: list[Any], name: str | None) -> Schema | None:
    if not value:
        return None
    elements = [element for element in value if element is not None]
    # Only objects inside have a name: that of the member which holds the array.
    found = [_schema_of(element, name if isinstance(element, dict) else None) for element in elements]
    merged: Schema | None = None
    for schema in found:
        if schema is None:
            raise ValueError("an array of empty arrays")
        merged = schema if merged is None else _merged(merged, schema)
    if merged is None:
        raise ValueError("an array of null")
    return array_of(merged)


def _merged(left: Schema, right: Schema) -> Schema:
    """Return the schema of elements that are like one or the other: objects may differ in their members."""
    if left == right:
        return left
    if left["type"] != right["type"] or left["type"] not in ("struct", "array"):
        raise ValueError("an array of different types")
    if left["type"] == "array":
        return array_of(_merged(left["items"], right["items"]))
    fields: dict[str, dict[str, Any]] = {field["field"]: field for field in left["fields"]}
    for field in right["fields"]:
        member = field["field"]
        known = fields.get(member)
        fields[member] = (
            field if known is None else placed(_merged(_bare(known), _bare(field)), optional=True, field=member)
        )
    return {**left, "fields": list(fields.values())}


def _bare(field: dict[str, Any]) -> Schema:
    return {name: value for name, value in field.items() if name not in ("field", "optional")}


def _shaped(value: Any, schema: Schema) -> Any:
    """Return a value with the members of its schema, in their order; null where it has none."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {field["field"]: _shaped(members.get(field["field"]), field) for field in schema["fields"]}
    if isinstance(value, list):
        return [_shaped(element, schema["items"]) for element in cast("list[Any]", value)]
    return value
