"""The AsyncAPI 3.0 document: every topic of the catalogue as a channel, with what it carries.

Sources: https://www.asyncapi.com/docs/reference/specification/v3.0.0 and the Kafka bindings 0.5.0.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from schemas import headers
from schemas.events import EVENT_NAMES
from schemas.topics import Catalogue, Topic
from schemas.wire import VALUE_SCHEMA_ID

Document = dict[str, Any]

BINDING_VERSION = "0.5.0"
TITLE = "Travel OS streams"
# Raised by hand: the major number when a channel goes away or changes its meaning, else the minor one.
VERSION = "1.3.0"
DESCRIPTION = """The data plane of Travel OS. Operations are what it does towards others: it receives events and row
changes, and sends everything else. Topics that one of its roles writes and another one reads appear once, as sent."""
# Others may write these as well: producers the events, a real Debezium the changes.
_RECEIVED = {"Event", "Change"}
_KEY_SCHEMAS: Mapping[str, Document] = {"Change": {"type": "object"}, "the original bytes": {}, "StateEntry": {}}


def asyncapi_document(value_types: Mapping[str, Any], catalogue: Catalogue | None = None) -> Document:
    """Return the document.

    Args:
        value_types: the type of each value by the name that `Topic.value` gives it; other values are opaque.
        catalogue: the topics; by default those of an installation without a prefix.
    """
    topics = list(catalogue or Catalogue())
    schemas, structs = msgspec.json.schema_components(value_types.values(), ref_template="#/components/schemas/{name}")
    unions = {name: schema for name, schema in zip(value_types, schemas, strict=True) if "$ref" not in schema}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "servers": {"kafka": _server()},
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {name: operation for topic in topics for name, operation in _operations(topic)},
        "components": {
            "messages": {_message_name(topic): _message(topic, value_types) for topic in topics},
            "schemas": {
                **_without_discriminators({**structs, **unions}),
                "CloudEventsHeaders": _cloudevents_headers(),
                "DeadLetterHeaders": _dead_letter_headers(),
            },
        },
    }


def _server() -> Document:
    bootstrap = {"default": "localhost:9092", "description": "the option kafka.bootstrap"}
    return {"host": "{bootstrap}", "protocol": "kafka", "variables": {"bootstrap": bootstrap}}


def _channel(topic: Topic) -> Document:
    config: Document = {
        name: value.split(",") if name == "cleanup.policy" else int(value) for name, value in topic.config.items()
    }
    kafka = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": config,
        "bindingVersion": BINDING_VERSION,
    }
    name = _message_name(topic)
    return {
        "address": topic.name,
        "description": f"{topic.purpose}; written by {topic.owner}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": kafka},
    }


def _operations(topic: Topic) -> list[tuple[str, Document]]:
    actions = ["receive"] if topic.value in _RECEIVED else []
    actions += ["send"] if topic.owner != "producers" else []
    reference = f"#/channels/{topic.name}"
    message = {"$ref": f"{reference}/messages/{_message_name(topic)}"}
    return [
        (f"{action}.{topic.name}", {"action": action, "channel": {"$ref": reference}, "messages": [message]})
        for action in actions
    ]


def _message_name(topic: Topic) -> str:
    return "DeadLetter" if topic.value == "the original bytes" else topic.value


def _message(topic: Topic, value_types: Mapping[str, Any]) -> Document:
    name = _message_name(topic)
    key = {**_KEY_SCHEMAS.get(topic.value, {"type": "string"}), "description": topic.key}
    message: Document = {
        "name": name,
        "title": name,
        "bindings": {"kafka": {"key": key, "bindingVersion": BINDING_VERSION}},
    }
    if topic.value in value_types:
        message["payload"] = {"$ref": f"#/components/schemas/{topic.value}"}
    else:
        message["summary"] = topic.value
    if topic.value == "Event":
        message["headers"] = {"$ref": "#/components/schemas/CloudEventsHeaders"}
    if name == "DeadLetter":
        message["headers"] = {"$ref": "#/components/schemas/DeadLetterHeaders"}
        message["contentType"] = "application/octet-stream"
    return message


def _cloudevents_headers() -> Document:
    return {
        "type": "object",
        "description": "CloudEvents 1.0 in the Kafka binding's binary mode. Our producers set them; none is required.",
        "properties": {
            headers.CE_SPECVERSION: {"const": "1.0"},
            headers.CE_ID: {"type": "string", "description": "the event_id"},
            headers.CE_TYPE: {"enum": sorted(EVENT_NAMES), "description": "the type"},
            headers.CE_SOURCE: {"type": "string", "description": "who published it"},
            headers.CE_TIME: {"type": "string", "format": "date-time", "description": "the occurred_at"},
            headers.CONTENT_TYPE: {"const": "application/json"},
            headers.TRACEPARENT: {"type": "string", "description": "W3C trace context"},
            headers.PRIORITY: {
                "enum": ["low", "normal", "urgent"],
                "description": "urgent: the lane; low: may be put off while a store lags behind",
            },
            VALUE_SCHEMA_ID: {"description": "a schema id of a Schema Registry, where the producer puts it here"},
        },
    }


def _dead_letter_headers() -> Document:
    names = {
        headers.ERROR_TOPIC: "where the record lay",
        headers.ERROR_PARTITION: "where the record lay",
        headers.ERROR_OFFSET: "where the record lay",
        headers.ERROR_CONNECTOR: "the role that failed",
        headers.ERROR_TASK: "always 0",
        headers.ERROR_STAGE: "the step within the role",
        headers.ERROR_CLASS: "class name of the error",
        headers.ERROR_EXCEPTION: "class name of the error",
        headers.ERROR_MESSAGE: "the reason; names the field where there is one",
        headers.ERROR_STACKTRACE: "only for errors that nobody foresaw",
        headers.ATTEMPTS: "how often it was tried",
        headers.FIRST_FAILED_AT: "when it failed first",
        headers.SCHEMA: "what the value was read as",
        headers.STORE: "the store that refused it",
    }
    return {
        "type": "object",
        "description": "The original headers, then those of Kafka Connect's error reporter and a few of our own.",
        "properties": {name: {"type": "string", "description": text} for name, text in names.items()},
    }


def _without_discriminators(node: Any) -> Any:
    # They are OpenAPI's. AsyncAPI has a string of that name, and the tags alone tell the members of a union apart.
    if isinstance(node, list):
        return [_without_discriminators(one) for one in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    members = cast(Document, node)
    return {
        name: _without_discriminators(value)
        for name, value in members.items()
        if not (name == "discriminator" and isinstance(value, dict) and "propertyName" in value)
    }
