"""docs/events.md: an introduction, and the fields of every event from the schema that the decoder follows."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from schemas.events import EVENT_TYPES, BaseEvent
from schemas.fields import END, NO_CONTROL_CHARACTERS, NO_NUL
from schemas.generate import json_schema
from schemas.sensitive import BLIND_INDEX, SEALED, SENSITIVE
from schemas.topics import Catalogue

Field = Mapping[str, Any]

_PATTERNS = {NO_CONTROL_CHARACTERS: "no control characters", NO_NUL: "no U+0000"}
_RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"))

INTRODUCTION = """<!-- Written by `travelos schemas generate` from schemas/document.py and schemas/events.py. -->
# Events

What travellers' applications publish. An event is one JSON object; its `type` says which of the types below it is.

- **Topics.** {topics}.
- **Key.** The `user_id`, so that one traveller's events keep their order.
- **Headers.** The CloudEvents attributes in binary mode: `ce_specversion`, `ce_id` (the `event_id`), `ce_type` (the
  `type`), `ce_source`, `ce_time` (the `occurred_at`), and `content-type: application/json`. Our producers set them;
  other producers may leave them out.
- **Repeats.** An `event_id` that comes again is the same event and takes effect once.
- **Order.** `version` orders what is said about one entity: the larger one wins, whichever arrives last. Our producers
  take it from a hybrid logical clock (48 bits of milliseconds since 1970, 16 bits of counter). Without one, intake
  derives it from `occurred_at` and `event_id`, the same at every replay. It is 2^62 - 1 at most: writes have twice the
  version of their event, see [routing](routing.md).
- **Checks.** Types, ranges and patterns below are checked when a record is read; so is what a description says about
  fields together. Unknown fields are ignored, unknown types refused. A record that fails becomes a dead letter with its
  key, its bytes, its headers and a reason that names the field, as ``Expected `float` <= 90.0 - at `$.lat` ``.
- **Numbers.** NaN and infinities are no JSON; a publisher that tries to send one gets an error that names the field.
- **Change.** A schema may change as long as everything ever written can still be read: new types, new optional fields
  and wider ranges can; removed types, new required fields, narrower ranges and other types of a field cannot.
  `travelos schemas check` compares with every released version in `schemas/generated/versions`.

The same as JSON Schema: `schemas/generated/jsonschema/event.json`; with topics and headers as AsyncAPI 3:
`schemas/generated/asyncapi.json`.
"""


def events_page() -> str:
    """Return the text of docs/events.md."""
    structs = json_schema("event")["$defs"]
    common = {name: field for name, field in structs[EVENT_TYPES[0].__name__]["properties"].items() if _is_common(name)}
    required = structs[EVENT_TYPES[0].__name__]["required"]
    lines = [INTRODUCTION.format(topics=_topics()), "## Fields of every event", "", *_table(common, required)]
    lines += ["", "## Types", "", "| type | what it says |", "|---|---|"]
    for kind in EVENT_TYPES:
        name = kind.__struct_config__.tag
        lines.append(f"| [`{name}`](#{name}) | {_one_line(structs[kind.__name__]['description'])} |")
    for kind in EVENT_TYPES:
        struct = structs[kind.__name__]
        own = {name: field for name, field in struct["properties"].items() if not _is_common(name)}
        lines += [
            "",
            f"### {kind.__struct_config__.tag}",
            "",
            struct["description"],
            "",
            *_table(own, struct["required"]),
        ]
    return "\n".join(lines) + "\n"


def _topics() -> str:
    catalogue = Catalogue()
    topics = (catalogue.user_events, catalogue.gps_events, catalogue.urgent_events)
    return ", ".join(f"`{topic.name}` ({topic.purpose})" for topic in topics)


def _is_common(name: str) -> bool:
    return name == "type" or name in BaseEvent.__struct_fields__


def _table(fields: Mapping[str, Field], required: list[str]) -> Iterator[str]:
    yield "| field | type | allowed | meaning |"
    yield "|---|---|---|---|"
    for name, field in fields.items():
        is_type = name == "type"
        branch = _not_null(field)
        kind = "string" if is_type else _kind(branch)
        allowed = "one of the types below" if is_type else "; ".join(_allowed(branch))
        need = "" if name in required else " (optional)"
        meaning = "which event this is" if is_type else _one_line(branch.get("description", "")) + _sealed(branch)
        yield f"| `{name}`{need} | {kind} | {_escaped(allowed)} | {_escaped(meaning)} |"


def _not_null(field: Field) -> Field:
    branches = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    return cast(Field, branches[0])


def _kind(field: Field) -> str:
    if "enum" in field:
        return "string"
    if field["type"] == "array":
        return f"array of {_kind(field['items'])}"
    encoding = field.get("contentEncoding") or field.get("format")
    return f"{field['type']}, {encoding}" if encoding else str(field["type"])


def _allowed(field: Field) -> Iterator[str]:
    if "enum" in field:
        yield ", ".join(f"`{value}`" for value in field["enum"])
    # Of a sensitive field what is plain is told, and not what it becomes: the greatest length is that of the latter.
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "" if field.get(SENSITIVE) else "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if low in field and high in field:
            yield f"{_number(field[low])} to {_number(field[high])}{unit}"
        elif low in field or high in field:
            yield f"{'at least' if low in field else 'at most'} {_number(field.get(low, field.get(high)))}{unit}"
    if "pattern" in field:
        pattern = str(field["pattern"])
        plain = pattern.replace(f"|{SEALED}", "") if field.get(SENSITIVE) else pattern
        yield _PATTERNS.get(plain) or f"matching `{plain.removesuffix(END)}$`"
    if "items" in field:
        yield from (f"each {text}" for text in _allowed(field["items"]))


def _sealed(field: Field) -> str:
    if not field.get(SENSITIVE):
        return ""
    index = field.get(BLIND_INDEX)
    return "; [sensitive](sensitive-fields.md): sealed at intake" + (f", blind index in `{index}`" if index else "")


def _number(value: float) -> str:
    return "2^63-1" if value == 2**63 - 1 else f"{value:,.10g}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
