"""The generated files: a JSON Schema for each subject, and the AsyncAPI document.

All of it follows from the structs and the catalogue, is committed, and is compared with them by a test and by
`travelos schemas check`. Everything here is pure: texts by relative path, the same ones every time.
"""

import inspect
import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from schemas.asyncapi import asyncapi_document
from schemas.changes import Change
from schemas.conflicts import ConflictCommand, ConflictEntry, EntityClaim
from schemas.erasures import Certificate, Erasure, ErasureEnd, ErasureStart
from schemas.events import AnyEvent
from schemas.receipts import Receipt
from schemas.reference import Place, PlaceVector, Profile, ResumedEvent, WaitingEvent
from schemas.sagas import SagaAlert, SagaCommand, SagaEntry, SagaStart
from schemas.writes import WRITE_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# Values by the name that `Topic.value` gives them. Values that only one role reads and writes (offsets, state) are that
# role's own business and have no subject.
VALUE_TYPES: Mapping[str, Any] = {
    "Event": AnyEvent,
    "Change": Change,
    **{kind.__name__: kind for kind in WRITE_TYPES.values()},
    "Receipt": Receipt,
    "ErasureStart": ErasureStart,
    "ErasureEnd": ErasureEnd,
    "Erasure": Erasure,
    "Certificate": Certificate,
    "SagaStart": SagaStart,
    "SagaCommand": SagaCommand,
    "SagaEntry": SagaEntry,
    "SagaAlert": SagaAlert,
    "EntityClaim": EntityClaim,
    "ConflictEntry": ConflictEntry,
    "ConflictCommand": ConflictCommand,
    "Place": Place,
    "PlaceVector": PlaceVector,
    "Profile": Profile,
    "WaitingEvent": WaitingEvent,
    "ResumedEvent": ResumedEvent,
}


def subject_of(value: str) -> str:
    """Return the subject of a value type: "TimeSeriesWrite" is `time_series_write`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in value).lstrip("_")


SUBJECTS: Mapping[str, Any] = {subject_of(name): kind for name, kind in VALUE_TYPES.items()}


def json_schema(subject: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a subject.

    Raises:
        KeyError: there is no such subject.
    """
    schema = clean(msgspec.json.schema(SUBJECTS[subject]))
    return {"$schema": DIALECT, "$id": f"urn:travelos:schema:{subject}", "title": subject, **schema}


def generate() -> dict[str, str]:
    """Return the text of every generated file by its path below `schemas/generated`."""
    files = {f"jsonschema/{subject}.json": as_text(json_schema(subject)) for subject in SUBJECTS}
    files["asyncapi.json"] = as_text(clean(asyncapi_document(VALUE_TYPES)))
    return files


def as_text(document: Mapping[str, Any]) -> str:
    """Return a document as it is committed: keys sorted, indented, with a newline at the end."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def clean(node: Any) -> Any:
    """Return a document without the indentation that docstrings bring into descriptions."""
    if isinstance(node, dict):
        members = cast(dict[str, Any], node).items()
        return {
            name: inspect.cleandoc(value) if name == "description" and isinstance(value, str) else clean(value)
            for name, value in members
        }
    return [clean(one) for one in cast(list[Any], node)] if isinstance(node, list) else node
