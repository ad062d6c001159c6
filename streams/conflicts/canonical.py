"""One form for one content, so that two sources that say the same are known to say the same.

Follows RFC 8785 (JSON Canonicalization Scheme) in what matters here: sorted members, no spaces, and numbers by their
value. Unlike there, whole numbers keep all their digits, and members are sorted by code point.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec

_encode = msgspec.json.Encoder(order="sorted").encode
_EXACT = 2.0**53  # every whole number below it is a float
_PLAIN = frozenset({str, int, bool, type(None)})  # nearly all members of a row are, and need not be looked at


class NotCanonical(ValueError):  # noqa: N818 - says what is wrong
    """A content that has no canonical form; the message names the member."""


def canonical(content: Mapping[str, Any] | None) -> bytes:
    """Return the canonical form of a content; None is that of an entity that is not there.

    Raises:
        NotCanonical: it holds a number that is none, or something that JSON has no word for.
    """
    try:
        return _encode(_plain(content, "content"))
    except (TypeError, ValueError, RecursionError) as error:
        raise error if isinstance(error, NotCanonical) else NotCanonical(str(error)) from error


def digest(content: Mapping[str, Any] | None) -> bytes:
    """Return the SHA-256 of the canonical form, 32 bytes.

    Raises:
        NotCanonical: see `canonical`.
    """
    return hashlib.sha256(canonical(content)).digest()


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotCanonical(f"{name} is {value}, which is no number")
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {
            key: member if type(member) in _PLAIN else _plain(member, f"{name}.{key}")
            for key, member in members.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(member, f"{name}[]") for member in cast("list[Any]", value)]
    return value
