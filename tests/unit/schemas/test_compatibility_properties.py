"""Which changes of a schema keep its records readable, against JSON Schema's own validator."""

import copy
from typing import Any, cast

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from jsonschema import Draft202012Validator

from schemas.compatibility import incompatibilities

Schema = dict[str, Any]

NAMES = st.sampled_from("abcd")
PATTERNS: dict[str, SearchStrategy[str]] = {
    "^[a-z]+$": st.text("abc", min_size=1, max_size=4),
    "^[0-9]{2}$": st.text("0123456789", min_size=2, max_size=2),
}
SCALARS: SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc", max_size=3)
VALUES: SearchStrategy[Any] = st.recursive(
    SCALARS | st.floats(-9, 9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=3,
)


def bounded(kind: str, low: str, high: str, values: SearchStrategy[int]) -> SearchStrategy[Schema]:
    def with_bounds(drawn: tuple[list[int], bool, bool]) -> Schema:
        bounds, has_low, has_high = drawn
        return {"type": kind} | ({low: min(bounds)} if has_low else {}) | ({high: max(bounds)} if has_high else {})

    return st.tuples(st.lists(values, min_size=2, max_size=2), st.booleans(), st.booleans()).map(with_bounds)


BOUNDS = {
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
}
NUMERIC = st.one_of(
    [
        bounded(kind, low, high, st.integers(-5, 5))
        for kind in ("integer", "number")
        for low in ("minimum", "exclusiveMinimum")
        for high in ("maximum", "exclusiveMaximum")
    ]
)
LEAVES: SearchStrategy[Schema] = st.one_of(
    NUMERIC,
    bounded("string", "minLength", "maxLength", st.integers(0, 4)),
    st.sampled_from(sorted(PATTERNS)).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.just({"type": "boolean"}),
    st.lists(SCALARS, min_size=1, max_size=3, unique_by=repr).map(lambda values: {"enum": values}),
    SCALARS.map(lambda value: {"const": value}),
    st.lists(
        st.sampled_from(["null", "string", "integer", "number", "boolean"]), min_size=1, max_size=3, unique=True
    ).map(lambda kinds: {"type": kinds}),
    st.just({}),
)


def structs(fields: dict[str, Schema], required: list[str], closed: bool) -> Schema:
    schema: Schema = {"type": "object", "properties": fields, "required": [one for one in required if one in fields]}
    return {**schema, "additionalProperties": False} if closed else schema


def nested(inner: SearchStrategy[Schema]) -> SearchStrategy[Schema]:
    fields = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    return st.one_of(
        st.builds(structs, fields, st.lists(NAMES, max_size=2, unique=True), st.booleans()),
        inner.map(lambda schema: {"type": "object", "additionalProperties": schema}),
        st.tuples(bounded("array", "minItems", "maxItems", st.integers(0, 3)), inner).map(
            lambda drawn: {**drawn[0], "items": drawn[1]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda schemas: {"anyOf": schemas}),
    )


SCHEMAS: SearchStrategy[Schema] = st.recursive(LEAVES, nested, max_leaves=6)


@st.composite
def written_with(draw: DrawFn, schema: Schema) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """Draw what a writer with this schema writes: structs send their own fields only. Bounds may be missed."""
    if "anyOf" in schema:
        return draw(written_with(draw(st.sampled_from(schema["anyOf"]))))
    if "enum" in schema or "const" in schema:
        return draw(st.sampled_from(schema["enum"])) if "enum" in schema else schema["const"]
    if "type" not in schema:
        return draw(VALUES)
    kind = schema["type"] if isinstance(schema["type"], str) else draw(st.sampled_from(schema["type"]))
    match kind:
        case "object" if "properties" in schema:
            sent = [name for name in schema["properties"] if name in schema["required"] or draw(st.booleans())]
            return {name: draw(written_with(schema["properties"][name])) for name in sent}
        case "object":
            return draw(st.dictionaries(NAMES, written_with(schema.get("additionalProperties", {})), max_size=2))
        case "array":
            return draw(st.lists(written_with(schema.get("items", {})), max_size=3))
        case "string":
            return draw(PATTERNS.get(schema.get("pattern", ""), st.text("abc", max_size=5)))
        case "integer":
            return draw(st.integers(-6, 6))
        case "number":
            return draw(st.integers(-6, 6) | st.floats(-6, 6))
        case "boolean":
            return draw(st.booleans())
        case _:
            return None


@st.composite
def edited(draw: DrawFn, schema: Schema) -> Schema:
    """Draw a schema with one difference somewhere, that may or may not matter."""
    new = copy.deepcopy(schema)
    fields: dict[str, Schema] = new.get("properties", {})
    members: list[Schema] = new.get("anyOf", [])
    inner = cast(Schema | bool | None, new.get("items", new.get("additionalProperties")))
    if draw(st.booleans()):  # further down
        if fields:
            name = draw(st.sampled_from(sorted(fields)))
            return {**new, "properties": {**fields, name: draw(edited(fields[name]))}}
        if members:
            return {"anyOf": [*members[1:], draw(edited(members[0]))]}
        if isinstance(inner, dict):
            return {**new, "items" if "items" in new else "additionalProperties": draw(edited(inner))}
    edits: list[Schema] = [{"anyOf": [{"type": "null"}, new]}, {"type": "string", "pattern": "^[a-z]+$"}, draw(SCHEMAS)]
    if "enum" in new or "const" in new:
        values: list[Any] = new.get("enum", [new.get("const")])
        edits += [{"enum": values[1:] or [1]}, {"enum": [1 if one is True else one for one in values]}]
        edits += [{"enum": [0 if one is False else one for one in values]}, {"type": ["string", "boolean", "null"]}]
    if "type" in new:
        edits += [
            {**new, "type": "integer"},
            {**new, "type": "number"},
            {**new, "type": ["boolean", "string", "integer"]},
        ]
        edits += [{**new, "enum": [True, "a", 1]}]
    edits += [{**new, bound: new[bound] + draw(st.integers(-1, 1))} for bound in BOUNDS & new.keys()]
    if "items" in new:
        edits += [{**new, "items": {}}, {**new, "maxItems": 1}]
    if new.get("type") == "object":
        edits += [{**new, "additionalProperties": one} for one in (False, True, {"type": "string"})]
        edits += [{**new, "properties": {**fields, draw(NAMES): draw(LEAVES)}}, {**new, "required": ["a"]}]
        edits += [{**new, "properties": {name: fields[name] for name in sorted(fields)[1:]}, "required": []}]
    return draw(st.sampled_from([*edits, {"anyOf": members[1:]}] if members else edits))


@st.composite
def widened(draw: DrawFn, schema: Schema) -> Schema:
    """Draw a schema that allows all that `schema` allows to its writers, and maybe more."""
    new = copy.deepcopy(schema)
    for name, step in (("minimum", -1), ("exclusiveMinimum", -1), ("maximum", 1), ("exclusiveMaximum", 1)):
        if name in new and draw(st.booleans()):
            new[name] += step
    for name in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"):
        if draw(st.booleans()):
            new.pop(name, None)
    if new.get("type") == "integer" and draw(st.booleans()):
        new["type"] = "number"
    if "enum" in new:
        new["enum"].append("another value")
    if "anyOf" in new:
        new["anyOf"] = [draw(widened(one)) for one in new["anyOf"]]
        new["anyOf"].insert(draw(st.integers(0, len(new["anyOf"]))), draw(SCHEMAS))
    if "items" in new:
        new["items"] = draw(widened(new["items"]))
    if "properties" in new:
        new["properties"] = {name: draw(widened(field)) for name, field in new["properties"].items()}
        new["required"] = new["required"][1:]
        new["properties"]["optional and new"] = {"type": "string"}
        if draw(st.booleans()):
            new.pop("additionalProperties", None)
            del new["properties"][sorted(new["properties"])[0]]
            new["required"] = [name for name in new["required"] if name in new["properties"]]
    elif isinstance(new.get("additionalProperties"), dict):
        new["additionalProperties"] = draw(widened(new["additionalProperties"]))
    return {"anyOf": [{"type": "null"}, new]} if draw(st.booleans()) else new


def is_valid(schema: Schema, instance: Any) -> bool:
    validator: Any = Draft202012Validator(schema)
    return validator.is_valid(instance)


def reasons(old: Schema, new: Schema) -> list[str]:
    return [str(one) for one in incompatibilities(old, new)]


@given(SCHEMAS)
def test_a_schema_is_compatible_with_itself(schema: Schema) -> None:
    assert reasons(schema, schema) == []


@given(st.data(), SCHEMAS)
def test_widening_is_compatible(data: st.DataObject, schema: Schema) -> None:
    assert reasons(schema, data.draw(widened(schema))) == []


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.data(), SCHEMAS)
def test_what_is_called_compatible_reads_what_was_written(data: st.DataObject, old: Schema) -> None:
    new = data.draw(edited(old))
    assume(not incompatibilities(old, new))
    for written in data.draw(st.lists(written_with(old), min_size=5, max_size=5)):
        assert is_valid(new, written) or not is_valid(old, written)


@given(st.data(), NUMERIC)
def test_a_number_that_is_no_longer_allowed_is_noticed(data: st.DataObject, old: Schema) -> None:
    new = data.draw(NUMERIC)
    written = data.draw(written_with(old))
    if is_valid(old, written) and not is_valid(new, written):
        assert incompatibilities(old, new)
