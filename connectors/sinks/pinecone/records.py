"""A write as a record of Pinecone. Pure.

Limits: https://docs.pinecone.io/reference/api/database-limits/operation-limits, and identifier-limits beside it. An id
is ASCII of at most 512 characters; metadata are texts, numbers and flags, of at most 40 KB, without null.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import numpy as np
from msgspec import Struct

from schemas.writes import Scalar, VectorWrite

MAX_METADATA_BYTES = 40 * 1_024
MAX_ID = 200  # characters of a readable id: a request for hundreds has to fit into an address

# What a record says besides the metadata of its write.
OWN = frozenset(("entity", "text", "model", "source", "version"))

_EXACT = 2**53
_FLOAT_BYTES = 21  # of a number in JSON


class Unfit(ValueError):  # noqa: N818 - becomes the outcome Rejected
    """A write that Pinecone cannot hold; the message names the field."""


class Record(Struct, frozen=True):
    """What lies under an id. `size` is the most bytes it takes in a request."""

    id: str
    values: list[float]
    metadata: dict[str, Any]
    size: int


def record_id(entity: str) -> str:
    """Return the id of an entity: itself where that is short printable ASCII, else `~` and its SHA-256."""
    if len(entity) <= MAX_ID and entity.isascii() and entity.isprintable() and not entity.startswith("~"):
        return entity
    return "~" + hashlib.sha256(entity.encode("utf-8", "surrogatepass")).hexdigest()


def record_of(write: VectorWrite, dimension: int) -> Record:
    """Return an upsert as a record.

    Raises:
        Unfit: Pinecone cannot hold it.
    """
    metadata = _metadata(write)
    size = len(msgspec.json.encode(metadata))
    if size > MAX_METADATA_BYTES:
        raise Unfit(f"`text` and `metadata` have {size:,} bytes, and Pinecone takes {MAX_METADATA_BYTES:,} of a record")
    values = _values(write, dimension)
    return Record(record_id(write.entity), values, metadata, size + _FLOAT_BYTES * len(values) + MAX_ID + 64)


def mark(metadata: Mapping[str, Any]) -> str:
    """Return which write a record is of, from its metadata."""
    return f"{metadata.get('version')} {metadata.get('source')}"


def mark_of(write: VectorWrite) -> str:
    """Return the mark of the record that a write becomes."""
    return f"{write.version} {write.source}"


def fingerprint(write: VectorWrite) -> str:
    """Return a hash of the vector and of what made it: the same one has not to be sent again."""
    return hashlib.blake2b(write.values, digest_size=12, person=_short(write.model)).hexdigest()


def content(namespace: str, values: list[float], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a write from a record. Whole numbers are integers again."""
    return {
        "namespace": namespace,
        "values": np.asarray(values, "<f4").tobytes(),
        "model": metadata.get("model", ""),
        "text": metadata.get("text", ""),
        "metadata": {name: _whole(value) for name, value in metadata.items() if name not in OWN},
    }


def _metadata(write: VectorWrite) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in write.metadata.items():
        if name in OWN or name.startswith("$") or not name:
            raise Unfit(f"`metadata` has the name {name!r}, which is reserved")
        if value is not None:
            found[name] = _scalar(name, value)
    # Versions have 64 bits; numbers of Pinecone are floating point.
    own = {"entity": write.entity, "model": write.model, "source": write.source, "version": str(write.version)}
    return found | own | ({"text": write.text} if write.text else {})


def _scalar(name: str, value: Scalar) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        raise Unfit(f"`metadata.{name}` is no finite number")
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        raise Unfit(f"`metadata.{name}` is an integer that Pinecone would round; make it a text")
    return value


def _values(write: VectorWrite, dimension: int) -> list[float]:
    if len(write.values) != 4 * dimension:
        raise Unfit(
            f"`values` have {len(write.values) / 4:g} dimensions, and the index of {write.namespace} {dimension}"
        )
    values = np.frombuffer(write.values, "<f4")
    length = float(values @ values)  # not finite when any value is not
    if not np.isfinite(length):
        raise Unfit("`values` are not all finite, or too large")
    if length == 0:
        raise Unfit("`values` are all zero, which has no direction to compare")
    return cast("list[float]", values.astype("<f8").tolist())


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _short(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
