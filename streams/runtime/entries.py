"""What lies in a state table and in its changelog, and which of two records of one key counts.

In the changelog a value is a record with the encoded entry; a delete is a record without a value (so that compaction
removes the key) whose entry, which has positions and no value, is in the header `state-entry`.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

V = TypeVar("V")

DELETED = "state-entry"

encode = msgspec.msgpack.Encoder().encode


class Entry(Struct, Generic[V], array_like=True, gc=False):
    """A value with the positions that it has the effect of (MessagePack, an array)."""

    positions: dict[str, int]  # source topic -> offset of the last record that changed the key
    value: V | None = None  # None: the key was deleted, or never put
    written_ms: int = 0  # by the wall clock; 0 where entries do not expire


class Envelope(Struct, array_like=True, gc=False):
    """An entry whose value was not looked at."""

    positions: dict[str, int]
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    written_ms: int = 0


class Changes(Struct):
    """What a transaction does to one partition of a table, encoded; a key is in one of the two, once."""

    puts: list[tuple[bytes, bytes]]  # key, entry
    deletes: list[tuple[bytes, bytes, int]]  # key, entry, time in ms

    def __len__(self) -> int:
        return len(self.puts) + len(self.deletes)


_envelope = msgspec.msgpack.Decoder(Envelope)


def envelope(entry: bytes) -> Envelope:
    """Read an entry up to its value.

    Raises:
        msgspec.DecodeError: the bytes are no entry.
    """
    return _envelope.decode(entry)


def deleted_entry(headers: Sequence[tuple[str, bytes | None]] | None) -> bytes | None:
    """Return the entry of a changelog record without a value; None when somebody else than a state table wrote it."""
    return next((value for name, value in headers or () if name == DELETED), None)


def supersedes(new: Mapping[str, int], known: Mapping[str, int]) -> bool:
    """Whether a changelog record with the positions `new` replaces an earlier one of its key with those `known`.

    A worker that lost its partition without knowing may still write to the changelog, after its successor did. Its
    records carry lower source offsets, and lose. Equal positions: the later record counts.
    """
    return all(offset >= known.get(topic, -1) for topic, offset in new.items())
