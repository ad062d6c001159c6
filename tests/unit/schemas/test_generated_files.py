import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

import schemas
from schemas.document import events_page
from schemas.events import EVENT_NAMES, EVENT_TYPES, BaseEvent
from schemas.fields import END
from schemas.generate import SUBJECTS, VALUE_TYPES, generate, json_schema, subject_of
from schemas.headers import CE_TYPE
from schemas.releases import breaches
from schemas.topics import Catalogue

GENERATED = Path(schemas.__file__).parent / "generated"
DOCS = GENERATED.parents[1] / "docs"
FIX = "run `travelos schemas generate`"
ASYNCAPI_RULES = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text())
EVENTS = st.one_of([st.from_type(kind) for kind in EVENT_TYPES])


def asyncapi() -> dict[str, Any]:
    return json.loads(generate()["asyncapi.json"])


def violations(document: dict[str, Any]) -> list[str]:
    """Return where a document breaks the rules of AsyncAPI 3.0.0, as its authors publish them."""
    validator: Any = Draft7Validator(ASYNCAPI_RULES)
    return [f"{list(error.absolute_path)}: {error.message}"[:300] for error in validator.iter_errors(document)]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        members = cast(dict[str, Any], node)
        if isinstance(members.get("$ref"), str):
            yield members["$ref"]
        for value in members.values():
            yield from references(value)
    elif isinstance(node, list):
        for one in cast(list[Any], node):
            yield from references(one)


def follow(reference: str, document: Any) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize("path", generate())
def test_the_committed_file_is_what_the_code_generates(path: str) -> None:
    assert (GENERATED / path).read_text("utf-8") == generate()[path], FIX


def test_no_generated_file_is_left_over() -> None:
    committed = {str(path.relative_to(GENERATED)) for path in (GENERATED / "jsonschema").iterdir()}
    assert committed == {path for path in generate() if path.startswith("jsonschema/")}, FIX


def test_the_page_of_events_is_what_the_code_generates() -> None:
    assert (DOCS / "events.md").read_text("utf-8") == events_page(), FIX


def test_generating_twice_gives_the_same_text() -> None:
    assert generate() == generate()
    assert all(text.endswith("}\n") and not text.endswith("\n\n") for text in generate().values())


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_a_released_version_that_can_still_be_read(subject: str) -> None:
    versions = {
        int(path.stem): json.loads(path.read_text("utf-8")) for path in (GENERATED / "versions" / subject).iterdir()
    }
    assert sorted(versions) == list(range(1, len(versions) + 1))
    assert breaches({subject: json_schema(subject)}, {subject: versions}) == []


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_json_schema_is_valid_and_its_references_resolve(subject: str) -> None:
    schema = json_schema(subject)
    Draft202012Validator.check_schema(schema)
    assert all(follow(reference, schema) for reference in references(schema))


def test_a_subject_is_its_type_in_snake_case() -> None:
    assert [subject_of(name) for name in ("Event", "TimeSeriesWrite")] == ["event", "time_series_write"]
    assert set(SUBJECTS) == {subject_of(name) for name in VALUE_TYPES}


@given(EVENTS)
def test_what_the_decoder_accepts_the_json_schema_accepts(event: BaseEvent) -> None:
    validator: Any = Draft202012Validator(json_schema("event"), format_checker=FormatChecker(["date"]))
    validator.validate(json.loads(msgspec.json.encode(event)))


@given(EVENTS, st.data())
def test_the_json_schema_refuses_what_the_decoder_refuses(event: BaseEvent, data: st.DataObject) -> None:
    fields = json.loads(msgspec.json.encode(event))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = {"of": "another type"}
    validator: Any = Draft202012Validator(json_schema("event"))
    assert not validator.is_valid(fields)


def test_patterns_end_at_the_end_for_every_reader() -> None:
    def patterns(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            members = cast(dict[str, Any], node)
            if isinstance(members.get("pattern"), str):
                yield members["pattern"]
            for value in members.values():
                yield from patterns(value)

    found = list(patterns(json_schema("event")))
    assert found
    assert all(pattern.startswith("^") and pattern.endswith(END) for pattern in found)


def test_the_asyncapi_document_keeps_the_rules_of_its_specification() -> None:
    assert violations(asyncapi()) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"asyncapi": "3.1"},
        {"channels": {"a": {"bindings": {"kafka": {"partitions": 0, "bindingVersion": "0.5.0"}}}}},
        {"operations": {"a": {"action": "publish", "channel": {"$ref": "#/channels/user-events"}}}},
        {"components": {"schemas": {"a": {"type": "text"}}}},
    ],
)
def test_the_rules_of_asyncapi_find_what_is_wrong(broken: dict[str, Any]) -> None:
    assert violations({**asyncapi(), **broken})


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = asyncapi()
    found = list(references(document))
    assert found
    assert all(follow(reference, document) is not None for reference in found)


def test_every_schema_of_the_asyncapi_document_is_valid_json_schema() -> None:
    for schema in asyncapi()["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_the_asyncapi_document_has_every_topic_with_its_settings() -> None:
    channels = asyncapi()["channels"]
    assert set(channels) == {topic.name for topic in Catalogue()}
    for topic in Catalogue():
        binding = channels[topic.name]["bindings"]["kafka"]
        assert binding["partitions"] == topic.partitions
        assert binding["topicConfiguration"]["cleanup.policy"] == topic.cleanup.split(",")
        assert list(channels[topic.name]["messages"]) != []


def test_every_operation_is_about_a_message_of_its_channel() -> None:
    document = asyncapi()
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
    assert {name for name in document["operations"] if name.startswith("receive.")} == {
        f"receive.{topic.name}" for topic in Catalogue() if topic.value in ("Event", "Change")
    }


def test_every_message_names_its_key_and_events_have_cloudevents_headers() -> None:
    document = asyncapi()
    messages = document["components"]["messages"]
    assert all(message["bindings"]["kafka"]["key"]["description"] for message in messages.values())
    headers = follow(messages["Event"]["headers"]["$ref"], document)
    assert set(headers["properties"][CE_TYPE]["enum"]) == set(EVENT_NAMES)


def test_the_page_of_events_has_every_field_of_every_event() -> None:
    page = events_page()
    for kind in EVENT_TYPES:
        section = page.split(f"\n### {kind.__struct_config__.tag}\n")[1].split("\n### ")[0]
        own = set(kind.__struct_fields__) - set(BaseEvent.__struct_fields__)
        assert all(f"| `{name}`" in section for name in own)
    assert "| `lat` | number | -90 to 90 | degrees north, WGS 84 |" in page
