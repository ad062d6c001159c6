"""The certificate of an erasure: made of how it went, signed, and checked by whoever was given it. Pure."""

import base64
import binascii
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from schemas.erasures import Certificate, Erasure, Remains, Statement

ALGORITHM = "Ed25519"
_canonical = msgspec.json.Encoder(order="sorted").encode


class NotGenuine(ValueError):  # noqa: N818 - says what it is
    """A certificate was altered, or not signed by the key that it names or that was expected."""


def statement_of(erasure: Erasure, policy: str, remains: Iterable[Remains]) -> Statement:
    """Return what is stated of an erasure whose key is destroyed; of the same erasure always the same."""
    assert erasure.certified_at is not None, "it is set when the key is destroyed"
    return Statement(
        id=erasure.id,
        user_id=erasure.user_id,
        requested_at=erasure.requested_at,
        began_at=erasure.began_at,
        certified_at=erasure.certified_at,
        policy=policy,
        stores=erasure.stores,
        tombstones=erasure.tombstones,
        large_values=erasure.large_values,
        key=erasure.key,
        remains=list(remains),
        archived=erasure.archived,
    )


def certify(statement: Statement, key: Ed25519PrivateKey) -> Certificate:
    """Return a statement signed; the signature of the same statement is always the same."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Certificate(
        statement=statement,
        algorithm=ALGORITHM,
        public_key=base64.b64encode(public).decode(),
        signature=base64.b64encode(key.sign(_canonical(statement))).decode(),
    )


def check(certificate: Certificate, public_key: str | None = None) -> None:
    """Check that a certificate was signed as it is.

    Args:
        certificate: what was handed over.
        public_key: of whom it has to be from, in Base64; None: of whom it says.

    Raises:
        NotGenuine: it was altered, or signed by another key.
    """
    if certificate.algorithm != ALGORITHM:
        raise NotGenuine(f"Expected `algorithm` {ALGORITHM}, got {certificate.algorithm}")
    if public_key is not None and certificate.public_key != public_key:
        raise NotGenuine("the certificate names another `public_key` than that of this installation")
    try:
        signed_by = Ed25519PublicKey.from_public_bytes(base64.b64decode(certificate.public_key, validate=True))
        signed_by.verify(base64.b64decode(certificate.signature, validate=True), _canonical(certificate.statement))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise NotGenuine("the signature is not that of this statement and `public_key`") from error
