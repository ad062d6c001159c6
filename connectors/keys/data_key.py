"""Seal the values of one user's fields with their data key, and open them again.

AES-256-GCM (NIST SP 800-38D). The associated data name the user and the field, so that a value moved to another person
or another field does not open. The nonce is derived from what is sealed and the event it came in (HMAC-SHA-256, cut to
96 bits): a replay seals the same text again, and two events with the same value do not show that it is the same.
"""

import hmac
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.keys.master import KEY_BYTES, NONCE_BYTES
from schemas.sensitive import Sealed


class NotSealedHere(ValueError):  # noqa: N818 - says what it is
    """A sealed value does not open: it was altered, or belongs to another user or field."""


class DataKey:
    """A user's data key, unwrapped."""

    # Bytes and no cipher: that holds 3 kB of OpenSSL's, and workers remember the keys of many users.
    __slots__ = ("_bound", "_derived", "key_id")

    def __init__(self, user_id: str, key_id: str, secret: bytes) -> None:
        self.key_id = key_id
        self._derived = HKDF(algorithm=SHA256(), length=2 * KEY_BYTES, salt=None, info=b"travelos 1 field").derive(
            secret
        )
        self._bound = f"field\0{user_id}\0".encode()

    def seal(self, field: str, value: str, event_id: str) -> Sealed:
        """Return a value sealed; of the same value, field and event always the same."""
        return self.seal_bytes(field, value.encode(), event_id)

    def seal_bytes(self, field: str, data: bytes, event_id: str) -> Sealed:
        """Return bytes sealed; see `seal`."""
        about = self._bound + field.encode()
        # With its length, so that no other id and value make the same bytes: two values under one nonce would be open.
        event = event_id.encode()
        nonces = self._derived[KEY_BYTES:]
        nonce = hmac.digest(nonces, b"%b\0%d\0%b%b" % (about, len(event), event, data), sha256)[:NONCE_BYTES]
        return Sealed(self.key_id, nonce + self._cipher().encrypt(nonce, data, about))

    def unseal(self, field: str, sealed: Sealed) -> str:
        """Return the value.

        Raises:
            NotSealedHere: it was altered, or sealed for another field or user.
        """
        return self.unseal_bytes(field, sealed).decode()

    def unseal_bytes(self, field: str, sealed: Sealed) -> bytes:
        """Return the bytes; see `unseal`."""
        nonce, data = sealed.data[:NONCE_BYTES], sealed.data[NONCE_BYTES:]
        try:
            return self._cipher().decrypt(nonce, data, self._bound + field.encode())
        except (InvalidTag, ValueError):  # what is too short for a nonce is a ValueError
            raise NotSealedHere(f"the sealed value of `{field}` was altered, or is of another user or field") from None

    def _cipher(self) -> AESGCM:
        return AESGCM(self._derived[:KEY_BYTES])
