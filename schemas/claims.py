"""Values that lie in an object store, and what their records carry instead: a claim check.

The value is a JSON object that says where the bytes are; the header `__travelos.claim`, their SHA-256, says that it is
one. Everything else of the record is as it would be otherwise.
"""

import msgspec
from msgspec import Struct

from schemas.headers import Headers
from schemas.wire import InvalidFrame

CLAIM = "__travelos.claim"


class InvalidClaim(InvalidFrame):
    """A claim that cannot be redeemed, now or later; the message is the reason."""


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a value lies.

    Attributes:
        bucket: of the object store; "local" for a folder.
        key: of the object.
        size: in bytes.
        sha256: of the bytes, in hexadecimal digits.
        content_type: of the bytes.
    """

    bucket: str
    key: str
    size: int
    sha256: str
    content_type: str


def encode_claim(claim: Claim) -> tuple[bytes, tuple[str, bytes]]:
    """Return the value and the header of a record that carries a claim."""
    return msgspec.json.encode(claim), (CLAIM, claim.sha256.encode())


def read_claim(value: bytes, headers: Headers) -> Claim | None:
    """Return the claim that a record carries; None when its value is what it is.

    Raises:
        InvalidClaim: the header is there, and the value is no claim, or another one.
    """
    found = [content for name, content in headers if name == CLAIM]
    if not found:
        return None
    try:
        claim = msgspec.json.decode(value, type=Claim)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidClaim(f"the header {CLAIM} is there, but the value is no claim: {error}") from error
    if found != [claim.sha256.encode()]:
        raise InvalidClaim(f"the header {CLAIM} names another object than the value")
    return claim
