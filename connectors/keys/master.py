"""Master keys: they wrap users' data keys, and blind indexes are derived from them.

A key ring is text with a key a line, `ID:BASE64` of 32 bytes; the last one is the newest, which wraps. Others are there
to unwrap what they have wrapped, and to find what they have indexed.
"""

import base64
import binascii
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from connectors.sinks.errors import Fatal, Unavailable

KEY_BYTES = 32
NONCE_BYTES = 12
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


class RingEntry(NamedTuple):
    """A line of a key ring: the key itself, or what KMS made of it."""

    id: str
    material: bytes


class Wrapped(NamedTuple):
    """A data key under a master key: nonce, ciphertext and tag of AES-256-GCM."""

    master: str
    data: bytes


def read_ring(text: str, option: str) -> list[RingEntry]:
    """Return the entries of a key ring, the newest last. Lines may also be separated by commas; `#` begins a comment.

    Raises:
        Fatal: it is no key ring; names the option and the line, never what stands in it.
    """
    entries: list[RingEntry] = []
    for number, line in enumerate(re.split(r"[\n,]", text), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        name, _, encoded = content.partition(":")
        try:
            material = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            material = b""
        if not _ID.fullmatch(name) or not material:
            raise Fatal(f"line {number} of `{option}` is no master key: write ID:BASE64, one a line")
        if name in {one.id for one in entries}:
            raise Fatal(f"line {number} of `{option}` names the master key {name!r} once more: ids are unique")
        entries.append(RingEntry(name, material))
    if not entries:
        raise Fatal(f"`{option}` has no master key: `travelos keys new-master` makes one")
    return entries


def ring_line(entry: RingEntry) -> str:
    """Return the line of an entry."""
    return f"{entry.id}:{base64.b64encode(entry.material).decode()}\n"


def new_entry() -> RingEntry:
    """Return a new master key with an id of its own."""
    return RingEntry(secrets.token_hex(4), os.urandom(KEY_BYTES))


class MasterKeys:
    """The master keys of an installation, the newest last.

    Args:
        keys: 32 bytes each, by id, in the order of the ring.
        option: where they come from, for error messages.

    Raises:
        Fatal: there is none, or one of another length.
    """

    def __init__(self, keys: Mapping[str, bytes], option: str) -> None:
        if not keys:
            raise Fatal(f"`{option}` has no master key: `travelos keys new-master` makes one")
        for name, key in keys.items():
            if len(key) != KEY_BYTES:
                raise Fatal(f"master key {name!r} of `{option}` has {len(key)} bytes instead of {KEY_BYTES}")
        self.option = option
        self.newest = list(keys)[-1]
        self._wrapping = {name: AESGCM(_derived(key, b"wrap")) for name, key in keys.items()}
        self._indexing = {name: _derived(key, b"index") for name, key in keys.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._wrapping

    def wrap(self, data_key: bytes, user_id: str, key_id: str) -> Wrapped:
        """Encrypt a data key with the newest master key; it opens for this user and key id only."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._wrapping[self.newest].encrypt(nonce, data_key, _bound_to(user_id, key_id))
        return Wrapped(self.newest, nonce + sealed)

    def unwrap(self, wrapped: Wrapped, user_id: str, key_id: str) -> bytes:
        """Return a data key.

        Raises:
            Unavailable: it was wrapped by a master key that is not in this ring: one that came after the ring was read.
            Fatal: the master key of that id is another one, or the key was altered.
        """
        cipher = self._wrapping.get(wrapped.master)
        if cipher is None:
            raise Unavailable(
                f"a user's key is wrapped by the master key {wrapped.master!r}, "
                f"which `{self.option}` does not have; add it"
            )
        nonce, sealed = wrapped.data[:NONCE_BYTES], wrapped.data[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, sealed, _bound_to(user_id, key_id))
        except InvalidTag:
            raise Fatal(
                f"a user's key does not open with the master key {wrapped.master!r} of `{self.option}`: "
                "put back the key that had this id"
            ) from None

    def index(self, field: str, value: str) -> str:
        """Return the blind index of a field's value by the newest master key: its id and an HMAC-SHA-256, as text."""
        return self._index_by(self.newest, field, value)

    def indexes(self, field: str, value: str) -> Iterator[str]:
        """Yield the blind index by each master key, the newest first: any of them may stand beside a sealed field."""
        yield from (self._index_by(name, field, value) for name in reversed(self._indexing))

    def _index_by(self, name: str, field: str, value: str) -> str:
        digest = hmac.digest(self._indexing[name], f"{field}\0{value}".encode(), sha256)
        return f"index:1:{name}:{digest.hex()}"


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"travelos 1 " + purpose).derive(key)


def _bound_to(user_id: str, key_id: str) -> bytes:
    return f"key\0{user_id}\0{key_id}".encode()
