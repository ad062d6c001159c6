"""Which key an entity has, and whose it is: what metadata cannot say, because S3 is asked by key only.

Below `.travelos/index/` lie files of JSON lines, [entity, key, person] or, of deletes and from before persons were
noted, [entity, key]; one for each batch that made objects. The person is empty where it is nobody's. They never change,
an entry may be there many times, and a writer merges its own small ones now and then, and all of them when it opens; so
writers need not know of each other. A file is written before a batch is acknowledged, and may name objects that were
not made.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar
from uuid import uuid4

import msgspec

from connectors.sinks.s3.client import Bucket, Listed
from connectors.sinks.s3.objects import OURS

MERGED_FROM = 64  # small files
SMALL_BYTES = 1024 * 1024
_MERGED_BYTES = 8 * 1024 * 1024
_REMEMBERED_BYTES = 64 * 1024 * 1024
_LISTINGS = 5  # a file may be merged away between the list and the look

_line = msgspec.json.Encoder().encode

T = TypeVar("T")


class Entry(NamedTuple):
    """An entity, the key of its object, and the person it is about: empty: nobody; None: it was not noted."""

    entity: str
    key: str
    person: str | None = None


_entry = msgspec.json.Decoder(Entry).decode


class Index:
    """The index of one prefix; one thread at a time."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._folder = f"{prefix}{OURS}index/"
        self._recent: dict[str, list[bytes]] = {}  # files of this object that are not merged yet
        self._read: dict[str, bytes] = {}  # files by key, which never change
        self._read_bytes = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Note entities, their keys and persons."""
        lines = [_line(entry[:2] if entry.person is None else entry) for entry in entries]
        if not lines:
            return
        self._recent[self._write(lines)] = lines

    def due(self) -> Mapping[str, list[bytes]]:
        """Return this object's small files, which are for `merge_into_one` from now on; none while they are few."""
        if len(self._recent) < MERGED_FROM:
            return {}
        due, self._recent = self._recent, {}
        return due

    def merge_into_one(self, files: Mapping[str, list[bytes]]) -> None:
        """Make one file of some; may run beside everything else.

        What it leaves undone when it fails, the next `merge` does.
        """
        self._write([line for lines in files.values() for line in lines])
        self._bucket.remove(list(files))

    def keys_of(self, entities: Iterable[str]) -> dict[str, set[str]]:
        """Return the keys that entities have or had; those that were never written are absent."""
        wanted = set(entities)
        found: defaultdict[str, set[str]] = defaultdict(set)
        for entry in self._all():
            if entry.entity in wanted:
                found[entry.entity].add(entry.key)
        return dict(found)

    def entries(self) -> set[tuple[str, str]]:
        """Return all entities with the keys that they have or had."""
        return {entry[:2] for entry in self._all()}

    def about(self, person: str) -> set[tuple[str, str]]:
        """Return the entities, with their keys, that are or were about a person, and those of which it is not noted."""
        theirs, unsure = set[tuple[str, str]](), set[tuple[str, str]]()
        for entry in self._all():
            if entry.person == person:
                theirs.add(entry[:2])
            elif entry.person is None:
                unsure.add(entry[:2])
        if unsure:  # deletes, of which other entries mostly tell the person
            unsure.difference_update(entry[:2] for entry in self._all() if entry.person is not None)
        return theirs | unsure

    def merge(self) -> None:
        """Make few files of many small ones; those that are merged are removed after the merged one is there."""
        small = [file for file in self._bucket.listed(self._folder) if file.size < SMALL_BYTES]
        while len(small) >= MERGED_FROM:
            lines: dict[bytes, None] = {}
            size, taken = 0, 0
            for file in small:
                if size >= _MERGED_BYTES:
                    break
                lines.update(dict.fromkeys((self._data(file) or b"").splitlines()))
                size, taken = size + file.size, taken + 1
            if lines:
                self._write(list(lines))
            self._bucket.remove([file.key for file in small[:taken]])
            small = small[taken:]
        self._recent = {}

    def _all(self) -> Iterator[Entry]:
        """Yield all entries, some of them twice; of files that are merged away meanwhile, those of the merged one."""
        seen: set[str] = set()
        for _ in range(_LISTINGS):
            missing = False
            for file in self._bucket.listed(self._folder):
                if file.key in seen:
                    continue
                data = self._data(file)
                if data is None:
                    missing = True
                    continue
                seen.add(file.key)
                yield from map(_entry, data.splitlines())
            if not missing:
                return

    def _write(self, lines: list[bytes]) -> str:
        key = f"{self._folder}{uuid4().hex}.jsonl"
        self._bucket.put_new(key, b"\n".join(lines) + b"\n")
        return key

    def _data(self, file: Listed) -> bytes | None:
        """Return the content of a file, from memory if it was read before; None when it was merged away."""
        data = self._read.get(file.key)
        if data is None:
            data = self._bucket.get(file.key)
            if data is not None and self._read_bytes + len(data) <= _REMEMBERED_BYTES:
                self._read[file.key] = data
                self._read_bytes += len(data)
        return data


def unindexed(entries: Iterable[T], known: dict[T, None], most: int) -> Iterator[T]:
    """Yield the entries that are not among the last ones that were noted, and remember them.

    Args:
        entries: to be noted.
        known: what was noted, oldest first; changed.
        most: how many are remembered.
    """
    for entry in entries:
        if entry not in known:
            known[entry] = None
            if len(known) > most:
                del known[next(iter(known))]
            yield entry
