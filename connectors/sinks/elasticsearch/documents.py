"""Documents: what a write becomes, and under which id. Pure.

A document is what one source says about one entity; its `_version` is that source's version line, so Elasticsearch
itself compares, in the step that writes. `version` repeats it: another client's change counts `_version` up, and it
cannot be set back. An entity has one visible document: whoever writes it last hides those of
other sources (`state` is "replaced"). A delete writes a tombstone (`state` is "deleted") and not a deletion, whose
version Elasticsearch would forget after index.gc_deletes (60 s). Readers ask an alias that leaves out whatever has a
`state`.
"""

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from schemas.writes import SearchWrite

DELETED: Literal["deleted"] = "deleted"
REPLACED: Literal["replaced"] = "replaced"
REGISTER = "register"  # `state` of the document that names the sources
REGISTER_ID = "sources"  # no other id is without a "|" or a ":"

LONGEST_ID = 512  # bytes; Elasticsearch's own limit
LONGEST_KEYWORD = 32_766  # bytes of a term, Lucene's limit
_INT8 = 2**63

_encoder = msgspec.json.Encoder()


class Unfit(ValueError):  # noqa: N818 - says what the write is
    """A write that cannot be indexed; the message names the field."""


def document_id(entity: str, source: str) -> str:
    """Return the `_id` of what a source says about an entity; different pairs never share one."""
    name = f"{source.replace('%', '%25').replace('|', '%7C')}|{entity}"
    if len(name) * 4 <= LONGEST_ID or len(name.encode()) <= LONGEST_ID:
        return name
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def checked_id(write: SearchWrite) -> str:
    """Return the id of a write's document.

    Raises:
        Unfit: an identifier is no Unicode, or the version no 64-bit integer.
    """
    if not 0 <= write.version < _INT8:
        raise Unfit(f"`version` does not fit into 64 bits: {write.version}")
    for field in ("entity", "source"):
        try:
            size = len(getattr(write, field).encode())
        except UnicodeEncodeError as error:
            raise Unfit(f"`{field}` is not valid Unicode: {error.reason} at position {error.start}") from None
        if not 0 < size <= LONGEST_KEYWORD:
            raise Unfit(f"`{field}` has {size:,} bytes, not 1 to {LONGEST_KEYWORD:,}")
    return document_id(write.entity, write.source)


def body(write: SearchWrite) -> bytes:
    """Return the document of a write as JSON in one line.

    Raises:
        Unfit: a value cannot be indexed.
    """
    document: dict[str, Any] = {
        "entity": write.entity,
        "source": write.source,
        "version": write.version,
        "occurred_at": _iso(write.occurred_at),
    }
    if write.op == "delete":
        document["state"] = DELETED
        return _encoder.encode(document)
    document |= {"kind": write.kind, "name": write.name, "text": write.text}
    if (write.lat is None) != (write.lon is None):
        raise Unfit("`lat` and `lon` come together")
    if write.lat is not None and write.lon is not None:
        document["location"] = {"lat": _within("lat", write.lat, 90), "lon": _within("lon", write.lon, 180)}
    if write.score is not None:
        document["score"] = _finite("score", write.score)
    if write.fields:
        for name, value in write.fields.items():
            if isinstance(value, float):
                _finite(f"fields.{name}", value)
            elif not name:
                raise Unfit("`fields` has an empty name")
        document["fields"] = write.fields
    try:
        return _encoder.encode(document)
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise Unfit(f"cannot be written as JSON: {type(error).__name__}") from None


def content(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a write that would store a document."""
    location: Mapping[str, float] = document.get("location") or {}
    return {
        **{name: document.get(name, "") for name in ("kind", "name", "text")},
        "lat": location.get("lat"),
        "lon": location.get("lon"),
        "score": document.get("score"),
        "fields": document.get("fields", {}),
    }


def version_of(document: Mapping[str, Any], number: int) -> int:
    """Return the version that a document was written with.

    Args:
        document: its source. Those that were written before `version` was have none.
        number: its `_version`.
    """
    version = document.get("version")
    return version if isinstance(version, int) else number


def hidden(entity: str, source: str, version: int) -> bytes:
    """Return the document of a source whose word about an entity another one has replaced."""
    return _encoder.encode({"entity": entity, "source": source, "version": version, "state": REPLACED})


def creation(document: str) -> bytes:
    """Return the line of a bulk request for a document that is written only if none is there."""
    return _encoder.encode({"create": {"_id": document}})


def action(document: str, version: int, kind: Literal["external", "external_gte"] = "external") -> bytes:
    """Return the line of a bulk request that goes before a document."""
    return _encoder.encode({"index": {"_id": document, "version": version, "version_type": kind}})


def _within(field: str, value: float, most: float) -> float:
    if not -most <= value <= most:
        raise Unfit(f"`{field}` is not between -{most} and {most}: {value}")
    return value


def _finite(field: str, value: float) -> float:
    if not math.isfinite(value):
        raise Unfit(f"`{field}` is not a finite number: {value}")
    return value


def _iso(moment: datetime) -> str:
    return moment.isoformat()
