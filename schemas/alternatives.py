"""A JSON Schema as the list of plain alternatives that it allows, for the subset that msgspec generates.

References are followed, `anyOf` and lists of types are spread out, `enum` and `const` become single values. What is
left is a type with its constraints, by which two schemas can be compared.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import Struct

Schema = Mapping[str, Any] | bool

ANNOTATIONS = frozenset(
    {
        *("$schema", "$id", "$defs", "$comment", "title", "description"),
        *("default", "examples", "deprecated", "discriminator"),
    }
)
CONSTRAINTS = frozenset(
    {
        *("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format", "contentEncoding"),
        *("items", "minItems", "maxItems", "uniqueItems"),
        *("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    }
)
_TYPES = ("null", "boolean", "number", "string", "array", "object")


class NotUnderstood(ValueError):  # noqa: N818 - reads as a statement
    """A schema uses a keyword outside the subset; the message names it."""


class Alternative(Struct, frozen=True, kw_only=True):
    """One thing a schema allows: a single value (kind "value"), or all values of a type within constraints.

    `tag` is the value of the discriminator where the alternative is a member of a tagged union.
    """

    kind: str
    constraints: Mapping[str, Any] = {}
    value: Any = None
    tag: str | None = None


def is_unrestricted(schema: Schema, root: Schema) -> bool:
    """Whether every JSON value is allowed."""
    schema = resolve(schema, root)
    return schema is True or (isinstance(schema, Mapping) and not set(schema) - ANNOTATIONS)


def resolve(schema: Schema, root: Schema) -> Schema:
    """Return the schema itself, or the one in `root` that it refers to.

    Raises:
        NotUnderstood: the reference leaves the document, leads nowhere or has constraints beside it.
    """
    while isinstance(schema, Mapping) and "$ref" in schema:
        _only(schema, {"$ref"})
        schema = _pointed(str(schema["$ref"]), root)
    return schema


def alternatives(schema: Schema, root: Schema) -> list[Alternative]:
    """Return what a schema allows; an empty list when it allows nothing.

    Raises:
        NotUnderstood: the schema is outside the subset.
    """
    schema = resolve(schema, root)
    if isinstance(schema, bool):
        return [Alternative(kind=kind) for kind in _TYPES] if schema else []
    if "anyOf" in schema:
        _only(schema, {"anyOf"})
        return _members(schema, root)
    constraints = {name: value for name, value in schema.items() if name in CONSTRAINTS}
    _only(schema, CONSTRAINTS | {"type", "enum", "const"})
    declared = schema.get("type", _TYPES)
    kinds = cast(Sequence[str], (declared,) if isinstance(declared, str) else declared)
    typed = [Alternative(kind=kind, constraints=constraints) for kind in kinds]
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is None:
        return typed
    found = [Alternative(kind="value", value=value) for value in values]
    return [one for one in found if any(accepts(each, one.value) for each in typed)]


def accepts(alternative: Alternative, value: Any) -> bool:
    """Whether a single value is allowed; False also where that is hard to say, as for formats.

    Raises:
        NotUnderstood: the value is an array or an object.
    """
    if isinstance(value, (list, dict)):
        raise NotUnderstood("enum of arrays or objects")
    if alternative.kind == "value":
        return value == alternative.value and isinstance(value, bool) == isinstance(alternative.value, bool)
    if kind_of(value) != alternative.kind and (kind_of(value), alternative.kind) != ("integer", "number"):
        return False
    limits = alternative.constraints
    if isinstance(value, str):
        return (
            limits.get("minLength", 0) <= len(value) <= limits.get("maxLength", len(value))
            and re.search(limits.get("pattern", ""), value) is not None
            and not {"format", "contentEncoding"} & limits.keys()
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (
            limits.get("minimum", value) <= value <= limits.get("maximum", value)
            and limits.get("exclusiveMinimum", value - 1) < value < limits.get("exclusiveMaximum", value + 1)
            and "multipleOf" not in limits
        )
    return True


def kind_of(value: Any) -> str:
    """Return the JSON type of a scalar, "integer" being one of them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def tag_of(schema: Schema, name: str, root: Schema) -> str | None:
    """Return the one value that an object's property `name` may have; None when there is no such value."""
    schema = resolve(schema, root)
    if isinstance(schema, bool):
        return None
    field: Mapping[str, Any] = schema.get("properties", {}).get(name, {})
    values: list[Any] = field.get("enum", [field.get("const")])
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _members(schema: Mapping[str, Any], root: Schema) -> list[Alternative]:
    name = schema.get("discriminator", {}).get("propertyName")
    found: list[Alternative] = []
    for member in schema["anyOf"]:
        tag = None if name is None else tag_of(member, name, root)
        found += [
            Alternative(kind=one.kind, constraints=one.constraints, value=one.value, tag=tag or one.tag)
            for one in alternatives(member, root)
        ]
    return found


def _only(schema: Mapping[str, Any], known: set[str] | frozenset[str]) -> None:
    for keyword in schema:
        if keyword not in known and keyword not in ANNOTATIONS and not keyword.startswith("x-"):
            raise NotUnderstood(f"`{keyword}`")


def _pointed(reference: str, root: Schema) -> Schema:
    if not reference.startswith("#"):
        raise NotUnderstood(f"a reference to another document ({reference})")
    here: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        here = cast(Mapping[str, Any], here).get(name) if isinstance(here, Mapping) else None
    if not isinstance(here, (Mapping, bool)):
        raise NotUnderstood(f"a reference that leads nowhere ({reference})")
    return cast(Schema, here)
