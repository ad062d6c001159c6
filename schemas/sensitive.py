"""Sensitive fields: which ones they are, and what their values look like once they are sealed.

A field is marked in its type: `x-sensitive` in the JSON Schema, and `x-blind-index` with the name of the field beside
it that carries a blind index. A sealed value is text, `sealed:1:KEY:DATA`: the version of the format, the id of the
user's key, and nonce, ciphertext and tag in base64url without padding. It stands where the value stood.
"""

import base64
import binascii
import re
from functools import cache
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from schemas.fields import END

SENSITIVE = "x-sensitive"
BLIND_INDEX = "x-blind-index"

_PREFIX = "sealed:1:"
SEALED = rf"{_PREFIX}[0-9a-z]{{1,32}}:[A-Za-z0-9_-]*"  # in the patterns of fields, beside the pattern of what is plain
_IS_SEALED = re.compile(rf"{SEALED}{END}")
_LONGEST = 2_048  # a sealed value of 256 characters fits
_ERASED_KEY = "erased"

Email = Annotated[
    str,
    Meta(
        pattern=rf"^([^@\s\x00-\x1f\x7f]{{1,64}}@[^@\s\x00-\x1f\x7f]{{1,190}}|{SEALED}){END}",
        max_length=_LONGEST,
        description="e-mail address",
        extra_json_schema={SENSITIVE: True, BLIND_INDEX: "email_index"},
    ),
]
Phone = Annotated[
    str,
    Meta(
        pattern=rf"^(\+?[0-9][0-9 ()./-]{{2,31}}|{SEALED}){END}",
        max_length=_LONGEST,
        description="telephone number",
        extra_json_schema={SENSITIVE: True, BLIND_INDEX: "phone_index"},
    ),
]
Passport = Annotated[
    str,
    Meta(
        pattern=rf"^([0-9A-Za-z<-]{{3,32}}|{SEALED}){END}",
        max_length=_LONGEST,
        description="number of a passport",
        extra_json_schema={SENSITIVE: True},
    ),
]
Card = Annotated[
    str,
    Meta(
        pattern=rf"^([0-9][0-9 -]{{7,31}}|{SEALED}){END}",
        max_length=_LONGEST,
        description="number of a payment card",
        extra_json_schema={SENSITIVE: True},
    ),
]
Home = Annotated[
    str,
    Meta(
        pattern=rf"^(geo:-?[0-9]{{1,2}}(\.[0-9]{{1,9}})?,-?[0-9]{{1,3}}(\.[0-9]{{1,9}})?|{SEALED}){END}",
        max_length=_LONGEST,
        description="exact position of the home, as a geo URI of RFC 5870",
        extra_json_schema={SENSITIVE: True},
    ),
]
BlindIndex = Annotated[
    str,
    Meta(
        pattern=rf"^index:1:[A-Za-z0-9_-]{{1,32}}:[0-9a-f]{{64}}{END}",
        description="blind index of the field beside it, made at intake; what a producer gives is not taken",
    ),
]


class Sealed(NamedTuple):
    """A sealed value: the id of the user's key; nonce, ciphertext and tag."""

    key_id: str
    data: bytes


ERASED = Sealed(_ERASED_KEY, b"")  # what is written for a user whose key was destroyed: there is nothing to open


class SensitiveField(NamedTuple):
    """A field that is marked, and the one beside it that carries its blind index."""

    name: str
    index_field: str | None


def sealed_text(sealed: Sealed) -> str:
    """Return a sealed value as it stands in its field."""
    return f"{_PREFIX}{sealed.key_id}:{base64.urlsafe_b64encode(sealed.data).decode().rstrip('=')}"


def read_sealed(text: str) -> Sealed | None:
    """Return what a field holds when it is sealed; None when it is anything else."""
    if not _IS_SEALED.match(text):
        return None
    key_id, _, encoded = text.removeprefix(_PREFIX).partition(":")
    try:
        return Sealed(key_id, base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except binascii.Error:
        return None


@cache
def sensitive_fields(kind: type[Any]) -> tuple[SensitiveField, ...]:
    """Return the fields of a struct that are marked, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    marked = ((name, _extra(hints[name])) for name in kind.__struct_fields__)
    return tuple(SensitiveField(name, extra.get(BLIND_INDEX)) for name, extra in marked if extra.get(SENSITIVE))


def normalised(field: str, value: str) -> str:
    """Return what a blind index is made of, so that one address or number in several spellings is found.

    `field` is a name or ends with one: e-mail addresses lose the spaces around them and case, telephone numbers all but
    digits and a leading plus.
    """
    text = value.strip().casefold()
    if field.endswith("phone"):
        return ("+" if text.startswith("+") else "") + "".join(one for one in text if one.isdecimal())
    return text


def _extra(hint: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(hint)
    branches: list[dict[str, Any]] = [{}, schema, *schema.get("anyOf", [])]
    return next((branch for branch in branches if SENSITIVE in branch), branches[0])
