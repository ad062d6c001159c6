"""What an object looks like in S3: its metadata, its tombstone, and whether a write is newer. Pure.

Versions lie in the object's own metadata, so content and version become visible together. A deleted object is
overwritten with a tombstone, because a key that is free again would take a late upsert. Limits are Amazon's: keys of
1,024 bytes, metadata of 2 KB.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from schemas.writes import ObjectWrite

OURS = ".travelos/"  # below the prefix: the index, see `index`
MAX_KEY_BYTES = 1_024
MAX_METADATA_BYTES = 2_048
TOMBSTONE_TYPE = "application/vnd.travelos.tombstone+json"
REFERENCE_TYPE = "text/uri-list"  # RFC 2483
TAG = "travelos-deleted=true"  # what a lifecycle rule can find tombstones by

_ENTITY, _VERSIONS, _REFERENCE = "travelos-entity", "travelos-versions", "travelos-reference"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Unfit(ValueError):  # noqa: N818 - becomes the outcome Rejected
    """An object that S3 cannot hold; the message names the field."""


class Latest(NamedTuple):
    """The newest version of one source, and whether it was a delete."""

    version: int
    deleted: bool


class State(Struct, frozen=True):
    """What lies under a key. `etag` None: nothing; `owner` empty: something that is not ours."""

    etag: str | None = None
    owner: str = ""
    versions: Mapping[str, Latest] = {}
    deleted: bool = False


NOTHING = State()


class Body(NamedTuple):
    """What is put under a key."""

    data: bytes
    content_type: str
    metadata: dict[str, str]


def key_of(write: ObjectWrite, prefix: str) -> str:
    """Return the key of an object in the bucket.

    Raises:
        Unfit: S3, or a program that reads keys as paths, could not take it.
    """
    key = prefix + write.key
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise Unfit("`key` is not valid Unicode") from error
    if not write.key or size > MAX_KEY_BYTES:
        raise Unfit(f"`key` has {size} bytes with the prefix, not 1 to {MAX_KEY_BYTES:,}")
    if write.key.startswith(OURS):
        raise Unfit(f"`key` begins with {OURS}, which is reserved")
    if "\0" in key:
        raise Unfit("`key` has a NUL character, which servers of S3 answer as a failure of their own")
    if any(segment in (".", "..") for segment in key.split("/")):
        raise Unfit("`key` has a segment `.` or `..`, which clients resolve as a path")
    return key


def owner_of(entity: str) -> str:
    """Return what stands for an entity in metadata, where it might not fit itself."""
    return hashlib.sha256(entity.encode("utf-8", "surrogatepass")).hexdigest()


def state_of(etag: str, metadata: Mapping[str, str], content_type: str) -> State:
    """Read what lies under a key from the answer to a HEAD request."""
    if _ENTITY not in metadata:
        return State(etag)
    versions: dict[str, Latest] = {}
    for pair in metadata.get(_VERSIONS, "").split(","):
        source, _, version = pair.partition("=")
        if version:
            versions[unquote(source)] = Latest(int(version.lstrip("-")), deleted=version.startswith("-"))
    return State(etag, metadata[_ENTITY], versions, deleted=content_type == TOMBSTONE_TYPE)


def is_newer(write: ObjectWrite, state: State) -> bool:
    """Whether a write takes effect.

    A repair takes the place of an object that says of nobody to be theirs: that is how other programs overwrite one.

    Raises:
        Unfit: the key belongs to something else.
    """
    taken = state.etag is not None and state.owner != owner_of(write.entity)
    if taken and not (write.repair and not state.owner):
        raise Unfit("`key`: another entity, or another program, has an object there already")
    known = state.versions.get(write.source)
    return known is None or known.version <= write.replaces


def after(write: ObjectWrite, state: State, etag: str) -> State:
    """Return what lies under a key once a write is there."""
    versions = {**state.versions, write.source: Latest(write.version, deleted=write.op == "delete")}
    return State(etag, owner_of(write.entity), versions, deleted=write.op == "delete")


def body_of(write: ObjectWrite, state: State) -> Body:
    """Return what is put under a key for a write that is newer than what lies there.

    Raises:
        Unfit: neither bytes nor a reference or both, or metadata that S3 cannot keep.
    """
    versions = after(write, state, "").versions
    metadata = {_ENTITY: owner_of(write.entity), _VERSIONS: _versions(versions)}
    if write.op == "delete":
        # The body differs for each version, and so does its ETag, which is what the next writer's condition names.
        tombstone = msgspec.json.encode({"deleted": write.key, "versions": metadata[_VERSIONS]})
        return Body(tombstone, TOMBSTONE_TYPE, _fitting(metadata))
    if (write.data is None) == (write.reference is None):
        raise Unfit("needs exactly one of `data` and `reference`")
    if write.content_type == TOMBSTONE_TYPE or not _is_plain(write.content_type):
        raise Unfit("`content_type` is no media type")
    for name, value in write.metadata.items():
        lowered = name.lower()
        if not _NAME.fullmatch(lowered) or lowered.startswith("travelos-") or lowered in metadata:
            raise Unfit("`metadata` has a name that S3 cannot keep, that is reserved, or that is there twice")
        metadata[lowered] = _quoted("metadata", value)
    if write.reference is not None:
        return Body(f"{write.reference}\r\n".encode(), REFERENCE_TYPE, _fitting(metadata))
    return Body(write.data or b"", write.content_type, _fitting(metadata))


def metadata_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of the write that an object's metadata came from, without ours."""
    return {name: unquote(value) for name, value in metadata.items() if not name.startswith("travelos-")}


def check(write: ObjectWrite) -> None:
    """Raise when a write could never be put anywhere, whatever lies there.

    Raises:
        Unfit: see `body_of`.
    """
    body_of(write, NOTHING)


def _versions(versions: Mapping[str, Latest]) -> str:
    return ",".join(
        f"{_quoted('source', source)}={'-' if one.deleted else ''}{one.version}"
        for source, one in sorted(versions.items())
    )


def _quoted(field: str, text: str) -> str:
    """Return text as printable ASCII, which is all that headers carry everywhere."""
    try:
        return quote(text, safe=" !#$&'()*+-./:;<>?@[]^_`{|}~" if field == "metadata" else "-._:/")
    except UnicodeEncodeError as error:
        raise Unfit(f"`{field}` is not valid Unicode") from error


def _is_plain(content_type: str) -> bool:
    return 0 < len(content_type) <= 255 and content_type.isascii() and content_type.isprintable()


def _fitting(metadata: dict[str, str]) -> dict[str, str]:
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise Unfit(f"`metadata` and sources have {size:,} bytes, more than the {MAX_METADATA_BYTES:,} that S3 keeps")
    return metadata
