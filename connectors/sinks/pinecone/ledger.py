"""The versions of all entities, in an index of their own, read as if Pinecone were consistent.

What Pinecone has acknowledged may show in what is fetched only later, and in one answer earlier than in the next. So
each write into the ledger carries a record of its writer with a number that rises, and each fetch asks for that record
too. Writes of a namespace show in their order: an answer that has the number of a write has everything before it.

- What this writer wrote after the number it finds, it remembers itself.
- When another one may have written, it writes its number and waits until it finds it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.pinecone.client import PineconeClient, addressable
from connectors.sinks.pinecone.errors import OPTION
from connectors.sinks.pinecone.looks import looks
from connectors.sinks.pinecone.merge import Entry
from connectors.sinks.pinecone.records import MAX_METADATA_BYTES, Record

NAMESPACE = "entities"

_REMEMBERED = 100_000  # entries; a writer that is further ahead of what shows waits
_OVERHEAD = 64  # bytes of a record besides its metadata

_decoder = msgspec.json.Decoder(Entry)


class _Recent(NamedTuple):
    """An entry, and the number of the write it went with."""

    number: int
    entry: Entry


class Ledger:
    """The entries, for one writer.

    Args:
        client: open when this is used.
        index: where they are.
        writer: a name that no other one has.
        patience: longest wait, in seconds, until what was written shows.
    """

    def __init__(self, client: PineconeClient, index: str, writer: str, patience: float) -> None:
        self._client = client
        self._index = index
        self._writer = f"~writer-{writer}"
        self._patience = patience
        self._number = 0  # of the last write
        self._put_down = False  # whether the writer's record is there
        self._floor = 0  # an answer with a lower number is too old
        self._sure = False  # whether everything that others have written is known to be below the floor
        self._recent: dict[str, _Recent] = {}  # in the order of their numbers

    def doubt(self) -> None:
        """Take into account that others may have written."""
        self._sure = False
        self._recent.clear()

    def read(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of ids, those of all writes that were acknowledged before.

        Raises:
            Unavailable: no answer, or what was written does not show within the patience.
            Fatal: the key or the index is refused.
        """
        if not self._sure:
            self._floor = self._put([])
            self._sure = True
        if len(self._recent) > _REMEMBERED:
            self._floor = self._number
        entries: dict[str, Entry] = {}
        seen = self._number
        for chunk in addressable(ids):
            number, found = self._fetch(chunk)
            seen = min(seen, number)
            for name in chunk:
                recent = self._recent.get(name)
                entry = recent.entry if recent is not None and recent.number > number else found.get(name)
                if entry is not None:
                    entries[name] = entry
        self._forget(seen)
        return entries

    def write(self, entries: Mapping[str, Entry]) -> None:
        """Write entries.

        Raises:
            Unavailable: nothing is known of any of them.
            Fatal: the key or the index is refused.
        """
        if not entries:
            return
        number = self._put([_record(name, entry) for name, entry in entries.items()])
        for name, entry in entries.items():
            self._recent.pop(name, None)
            self._recent[name] = _Recent(number, entry)

    def close(self) -> None:
        """Take the writer's own record away.

        Raises:
            Unavailable: no answer.
        """
        # The number goes on where it was: one from before may still show after the ledger is opened again.
        if self._put_down:
            self._client.delete(self._index, NAMESPACE, [self._writer])
            self._put_down = False
        self.doubt()

    def _put(self, records: list[Record]) -> int:
        """Write records, and after them the number of the write, which is returned."""
        self._number += 1
        self._put_down = True
        metadata = {"number": str(self._number)}
        own = Record(self._writer, [1.0], metadata, len(self._writer) + _OVERHEAD)
        refused = self._client.upsert(self._index, NAMESPACE, [*records, own])
        if refused:
            raise Fatal(f"an entry of `{OPTION}.version_index` is refused: {next(iter(refused.values()))}")
        return self._number

    def _fetch(self, ids: Sequence[str]) -> tuple[int, dict[str, Entry]]:
        """Return entries and the number of the last write that they show."""
        for _ in looks(self._patience):
            found = self._client.fetch(self._index, NAMESPACE, [self._writer, *ids])
            own = found.pop(self._writer, None)
            number = int(own.metadata["number"]) if own is not None else 0
            if number >= self._floor:
                return number, {name: _decoder.decode(one.metadata["entry"]) for name, one in found.items()}
        raise Unavailable(f"what was written to Pinecone does not show within `{OPTION}.freshness_seconds`")

    def _forget(self, shown: int) -> None:
        """Forget what shows from now on."""
        self._floor = max(self._floor, shown)
        while self._recent:
            name = next(iter(self._recent))
            if self._recent[name].number > self._floor:
                return
            del self._recent[name]


def refusal(entry: Entry) -> str:
    """Return why an entry cannot be kept; empty: it can."""
    size = len(msgspec.json.encode(_metadata(entry)))
    if size <= MAX_METADATA_BYTES:
        return ""
    return (
        f"the names in `metadata` are too long: the entry for its version has {size:,} bytes with them, and Pinecone "
        f"takes {MAX_METADATA_BYTES:,} of a record"
    )


def _metadata(entry: Entry) -> dict[str, str]:
    return {"entry": msgspec.json.encode(entry).decode()}


def _record(name: str, entry: Entry) -> Record:
    metadata = _metadata(entry)
    return Record(name, [1.0], metadata, len(metadata["entry"]) * 2 + len(name) + _OVERHEAD)
