"""What is expected was written by Debezium 3.4.3's outbox event router with `table.expand.json.payload`."""

from typing import Any

import msgspec
import pytest

from connectors.cdc.json_payload import expand
from connectors.cdc.schema_blocks import placed


def schema_of(text: str) -> Any:
    expanded = expand(text)
    assert expanded is not None
    return placed(expanded.schema, optional=True)


def value_of(text: str) -> Any:
    expanded = expand(text)
    return None if expanded is None else msgspec.json.decode(expanded.value)


def test_an_object_has_debeziums_schema() -> None:
    text = '{"a": [1, 2], "f": 1.50, "n": null, "o": {"b": true, "x": "y"}, "id": 1, "big": 12345678901}'
    assert schema_of(text) == {
        "type": "struct",
        "fields": [
            {"type": "array", "items": {"type": "int32", "optional": True}, "optional": True, "field": "a"},
            {"type": "double", "optional": True, "field": "f"},
            {
                "type": "struct",
                "fields": [
                    {"type": "boolean", "optional": True, "field": "b"},
                    {"type": "string", "optional": True, "field": "x"},
                ],
                "optional": True,
                "name": "payload.o",
                "field": "o",
            },
            {"type": "int32", "optional": True, "field": "id"},
            {"type": "int64", "optional": True, "field": "big"},
        ],
        "optional": True,
        "name": "payload",
    }
    assert value_of(text) == {"a": [1, 2], "f": 1.5, "o": {"b": True, "x": "y"}, "id": 1, "big": 12345678901}


def test_objects_of_an_array_have_all_members_of_all_of_them() -> None:
    text = '{"a": [{"x": 1, "y": {"p": 1}}, null, {"y": {"q": "2"}, "z": [true]}]}'
    [array] = schema_of(text)["fields"]
    assert (array["items"]["name"], array["items"]["optional"]) == ("payload.a", True)
    assert [field["field"] for field in array["items"]["fields"]] == ["x", "y", "z"]
    assert value_of(text) == {
        "a": [
            {"x": 1, "y": {"p": 1, "q": None}, "z": None},
            None,
            {"x": None, "y": {"p": None, "q": "2"}, "z": [True]},
        ]
    }


@pytest.mark.parametrize(("text", "value"), [("{}", {}), ('{"a": [], "b": {"c": null}}', {"b": {}}), ("[1]", [1])])
def test_what_has_no_type_is_left_out(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *('"x"', "7", "null", "", "[]", "[null]", "{no json", '{"a": [[]]}', '{"a": 9223372036854775808}'),
        *('{"a": [1, "x"]}', '{"a": [1, 2.5]}', '{"a": [1, 12345678901]}'),
        *('{"a": [[1], ["x"]]}', '{"a": [{"b": 1}, {"b": "x"}]}'),
    ],
)
def test_what_has_no_schema_is_not_expanded(text: str) -> None:
    assert expand(text) is None
