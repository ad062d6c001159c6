"""Entries of a partition that were written lately, with the bytes that they were encoded to."""

from typing import Any

from streams.runtime.entries import Entry

MOST = 20_000  # of a partition; those of keys that are not asked for again make way, the oldest first


class Decoded:
    """Spares decoding what this worker has encoded itself.

    An entry is given out once, to whoever reads exactly these bytes, and may then be changed in place. What comes of it
    in a transaction that fails is seen by nobody, since the next one finds nothing here and reads the store.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._entries: dict[bytes, tuple[bytes, Entry[Any]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, key: bytes, raw: bytes, entry: Entry[Any]) -> None:
        """Keep an entry that nobody changes any more."""
        self._entries.pop(key, None)
        if len(self._entries) >= self._most:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (raw, entry)

    def take(self, key: bytes, raw: bytes) -> Entry[Any] | None:
        """Return the entry of a key when it was encoded to these bytes, and forget it."""
        found = self._entries.pop(key, None)
        return found[1] if found is not None and found[0] == raw else None
