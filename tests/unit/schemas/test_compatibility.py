"""Which changes of a schema are refused, field by field, and with which reason."""

import copy
from typing import Any

import pytest

from schemas.compatibility import incompatibilities
from schemas.generate import SUBJECTS, json_schema

Schema = dict[str, Any]


def reasons(old: Schema, new: Schema) -> list[str]:
    return [str(one) for one in incompatibilities(old, new)]


OBJECT: Schema = {
    "type": "object",
    "properties": {
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "count": {"type": "integer", "minimum": 0},
        "name": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^a"},
        "role": {"enum": ["a", "b"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        "at": {"type": "string", "format": "date-time"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "body": {},
    },
    "required": ["lat", "role"],
}


def changed(name: str, **keywords: Any) -> Schema:
    """Return OBJECT with keywords of one field changed; None removes a keyword."""
    new = copy.deepcopy(OBJECT)
    field = {**new["properties"][name], **keywords}
    new["properties"][name] = {keyword: value for keyword, value in field.items() if value is not None}
    return new


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (changed("lat", maximum=80), "lat: maximum lowered from 90 to 80"),
        (changed("lat", minimum=-80), "lat: minimum raised from -90 to -80"),
        (changed("lat", maximum=None, exclusiveMaximum=90), "lat: maximum lowered from 90 to below 90"),
        (changed("lat", type="integer"), "lat: type changed from number to integer"),
        (changed("count", maximum=5), "count: maximum 5 added"),
        (changed("count", minimum=None, exclusiveMinimum=0), "count: minimum raised from 0 to 1"),
        (changed("name", minLength=2), "name: minLength raised from 1 to 2"),
        (changed("name", maxLength=8), "name: maxLength lowered from 9 to 8"),
        (changed("name", pattern="^b"), "name: pattern changed from ^a to ^b"),
        (changed("name", type="integer"), "name: type changed from string to integer"),
        (changed("at", format="date"), "at: format changed from date-time to date"),
        (changed("role", enum=["a"]), 'role: value "b" is no longer allowed, only "a"'),
        (changed("note", anyOf=[{"type": "string"}]), "note: type null is no longer allowed, only string"),
        (changed("note", anyOf=[{"type": "null"}]), "note: type string is no longer allowed, only null"),
        (changed("tags", maxItems=2), "tags: maxItems lowered from 3 to 2"),
        (changed("tags", minItems=1), "tags: minItems raised from 0 to 1"),
        (changed("tags", items={"type": "string", "maxLength": 4}), "tags[]: maxLength lowered from 5 to 4"),
        (changed("scores", additionalProperties={"type": "integer"}), "scores.*: type changed from number to integer"),
        (changed("scores", additionalProperties=False), "scores.*: type changed from number to nothing"),
        (
            changed("data", contentEncoding=None),
            "data: contentEncoding base64 removed, bytes would be read as their encoded text",
        ),
        (changed("body", type="object"), "body: anything was allowed, now only object"),
        (changed("body", oneOf=[{"type": "object"}]), "body: uses `oneOf`, which this check cannot compare"),
        (
            {**OBJECT, "required": ["lat", "role", "name"]},
            "name: became required, older records may lack it; give it a default",
        ),
        ({**OBJECT, "type": "array"}, "type changed from object to array"),
        (
            {**OBJECT, "required": ["lat", "role", "new"], "properties": {**OBJECT["properties"], "new": {}}},
            "new: new required field, older records may lack it; give it a default",
        ),
    ],
)
def test_what_cannot_be_read_any_longer_is_named_with_the_reason(new: Schema, reason: str) -> None:
    assert reasons(OBJECT, new) == [reason]


@pytest.mark.parametrize(
    "new",
    [
        changed("lat", maximum=91),
        changed("lat", maximum=None),
        changed("count", type="number"),
        changed("count", minimum=None, exclusiveMinimum=-1),
        changed("name", pattern=None),
        changed("at", format=None),
        changed("role", enum=["a", "b", "c"]),
        changed("role", enum=None, type="string"),
        changed("note", default="x", description="other words", title="Note"),
        changed("note", anyOf=[{"type": "null"}, {"type": "integer"}, {"type": "string"}]),
        changed("tags", items={}),
        {**OBJECT, "required": []},
        {**OBJECT, "properties": {**OBJECT["properties"], "new": {"type": "string"}}},
        {**OBJECT, "properties": {name: field for name, field in OBJECT["properties"].items() if name != "lat"}},
        {"anyOf": [{"type": "null"}, OBJECT]},
        {},
        True,
    ],
)
def test_what_still_reads_everything_is_compatible(new: Any) -> None:
    assert reasons(OBJECT, new) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"type": "boolean"}, {"enum": [True]}, "type changed from boolean to true"),
        ({"type": "boolean"}, {"enum": [0, 1]}, "type changed from boolean to 0 or 1"),
        ({"enum": ["a", "b"]}, {"type": "string", "pattern": "^a"}, 'value "b" is no longer allowed, only string'),
        ({"enum": ["a", "bcd"]}, {"type": "string", "maxLength": 2}, 'value "bcd" is no longer allowed, only string'),
        ({"enum": ["a"]}, {"type": "string", "format": "date"}, 'value "a" is no longer allowed, only string'),
        ({"const": 1}, {"const": True}, "value 1 is no longer allowed, only true"),
        ({"const": 7}, {"type": "integer", "exclusiveMaximum": 7}, "value 7 is no longer allowed, only integer"),
        ({"enum": [["a"]]}, {"enum": [["b"]]}, "uses enum of arrays or objects, which this check cannot compare"),
        (True, False, "anything was allowed, now only nothing"),
    ],
)
def test_single_values_are_compared_one_by_one(old: Any, new: Any, reason: str) -> None:
    assert reasons(old, new) == [reason]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "boolean"}, {"enum": [False, True]}),
        ({"type": ["null", "boolean"]}, {"anyOf": [{"const": None}, {"enum": [True, False, 0]}]}),
        ({"enum": ["a", 1, None]}, {"type": ["string", "number", "null"]}),
        (False, {"type": "string"}),
    ],
)
def test_values_that_are_all_still_allowed_are_compatible(old: Any, new: Any) -> None:
    assert reasons(old, new) == []


def test_a_removed_field_is_incompatible_where_unknown_fields_are_refused() -> None:
    kept: Schema = {"lat": {}, "role": {}}
    new = {**OBJECT, "properties": kept, "additionalProperties": False}
    assert "name: removed, and unknown fields are refused" in reasons(OBJECT, new)


def test_a_removed_event_type_is_named_and_a_new_one_is_fine() -> None:
    new = json_schema("event")
    new["anyOf"] = [one for one in new["anyOf"] if not one["$ref"].endswith("GpsUpdate")]
    assert reasons(json_schema("event"), new) == ["gps_update: removed, records of this type can no longer be read"]
    assert reasons(new, json_schema("event")) == []


def test_a_field_of_an_event_is_named_with_its_type() -> None:
    new = json_schema("waiting_event")
    new["$defs"]["GpsUpdate"]["properties"]["lat"]["maximum"] = 80
    assert reasons(json_schema("waiting_event"), new) == ["event.gps_update.lat: maximum lowered from 90 to 80"]


def test_one_type_may_become_a_union_of_several() -> None:
    event = json_schema("event")
    alone = {"$ref": "#/$defs/GpsUpdate", "$defs": event["$defs"]}
    assert reasons(alone, event) == []
    assert reasons(event, alone) != []


def test_a_recursive_type_is_compared_once() -> None:
    tree: Schema = {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "maximum": 9},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                },
            }
        },
    }
    smaller = copy.deepcopy(tree)
    smaller["$defs"]["Node"]["properties"]["size"]["maximum"] = 8
    assert reasons(tree, tree) == []
    assert reasons(tree, smaller) == ["size: maximum lowered from 9 to 8"]


@pytest.mark.parametrize("keyword", ["oneOf", "allOf", "not", "patternProperties", "if"])
def test_a_keyword_outside_the_subset_is_reported_unless_it_did_not_change(keyword: str) -> None:
    old: Schema = {"properties": {"a": {keyword: [{"type": "string"}]}}, "type": "object"}
    new: Schema = {"properties": {"a": {keyword: [{"type": "integer"}]}}, "type": "object"}
    assert reasons(old, old) == []
    assert reasons(old, new) == [f"a: uses `{keyword}`, which this check cannot compare"]


@pytest.mark.parametrize("reference", ["other.json#/a", "#/$defs/Missing"])
def test_a_reference_that_cannot_be_followed_is_reported(reference: str) -> None:
    [reason] = reasons({"$ref": reference}, {"$ref": reference})
    assert reference in reason


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_generated_schema_is_within_the_subset(subject: str) -> None:
    schema = json_schema(subject)
    assert reasons(schema, {**schema, "description": "changed"}) == []
