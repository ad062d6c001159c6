"""Object keys as paths. Keys come from outside, so whatever they are, their paths stay inside the folder.

Two keys never share a path: `%` begins every change and is itself escaped.
"""

import hashlib
import re
from pathlib import PurePosixPath

MAX_KEY_BYTES = 1_024  # S3's limit, so that what fits here fits there
SIDECAR = ".meta.json"
_MAX_SEGMENT_BYTES = 255 - len(SIDECAR)  # what common file systems allow, with room for the sidecar's name
_READABLE_BYTES = 120

_UNSAFE = re.compile(r"[\x00-\x1f\x7f%\\]")
_LEADING_DOT = re.compile(r"^\.")  # "." and "..", and the names that are our own
_SIDECAR_NAME = re.compile(r"\.meta\.json$", re.IGNORECASE)


class InvalidKey(ValueError):  # noqa: N818 - says what the key is
    """A key that cannot be a path; the message says why."""


def path_of(key: str) -> PurePosixPath:
    """Return the path of a key relative to the folder: the key itself wherever that is safe.

    `..` becomes `%2E.`, an empty segment `%`, an over-long one its beginning and a hash.

    Raises:
        InvalidKey: the key is empty, longer than 1,024 bytes, or not valid Unicode.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKey(f"`key` is not valid Unicode at position {error.start}") from error
    if not 0 < size <= MAX_KEY_BYTES:
        raise InvalidKey(f"`key` has {size} bytes, not 1 to {MAX_KEY_BYTES:,}")
    return PurePosixPath(*(_segment(part) for part in key.split("/")))


def sidecar_of(path: PurePosixPath) -> PurePosixPath:
    """Return the path of the file that describes the object at `path`."""
    return path.with_name(path.name + SIDECAR)


def _segment(part: str) -> str:
    escaped = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", part)
    escaped = _SIDECAR_NAME.sub(lambda match: "%2E" + match[0][1:], _LEADING_DOT.sub("%2E", escaped))
    encoded = escaped.encode()
    if len(encoded) > _MAX_SEGMENT_BYTES:
        readable = encoded[:_READABLE_BYTES].decode(errors="ignore")
        return f"{readable}%~{hashlib.sha256(part.encode()).hexdigest()}"
    return escaped or "%"
