"""The log of a warehouse in an object store: which files make it up, in numbered entries that never change.

After the example of Delta Lake's transaction log: an entry gets its number by a conditional put, so of several writers
one is first and the others look again. Every hundredth entry a checkpoint says it all, and older entries are removed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from connectors.storage import Storage

FOLDER = "_log/"  # Spark, Hive and DuckDB's patterns skip names that begin with "_"
CHECKPOINT_EVERY = 100

Deleted = tuple[str, str, int]  # entity, source, version


class File(Struct, frozen=True):
    """One Parquet file: its path in the warehouse, and what is in it."""

    path: str
    dataset: str
    day: str
    rows: int
    bytes: int


class Entry(Struct, frozen=True):
    """What one batch changed.

    Attributes:
        added: files that are part of the warehouse from now on.
        removed: paths of files that are not any more.
        deleted: rows that were deleted, with the versions of the deletes.
    """

    added: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    deleted: tuple[Deleted, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing was changed."""
        return not (self.added or self.removed or self.deleted)


class Listing(NamedTuple):
    """Which numbers there are, in order."""

    entries: Sequence[int]
    checkpoints: Sequence[int]

    @property
    def last(self) -> int:
        """The last number; -1 when the log is empty."""
        return max((*self.entries[-1:], *self.checkpoints[-1:]), default=-1)


class Log:
    """The log; may raise what `Storage` raises."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def listing(self) -> Listing:
        """Return which numbers there are."""
        entries: list[int] = []
        checkpoints: list[int] = []
        for path in self._storage.names(FOLDER):
            number, _, kind = path.removeprefix(FOLDER).partition(".")
            if number.isdecimal():
                (checkpoints if kind == "checkpoint.json" else entries).append(int(number))
        return Listing(sorted(entries), sorted(checkpoints))

    def entry(self, number: int) -> Entry | None:
        """Return an entry; None when it was removed."""
        return self._read(_path(number))

    def checkpoint(self, number: int) -> Entry | None:
        """Return the sum of all entries up to a number; None when it was removed."""
        return self._read(_path(number, "checkpoint.json"))

    def append(self, number: int, entry: Entry) -> None:
        """Write the next entry.

        Raises:
            LostRace: somebody else has written it.
        """
        self._storage.put(_path(number), msgspec.json.encode(entry), "application/json")

    def summarise(self, number: int, whole: Entry) -> None:
        """Write a checkpoint, and remove what the one before it had made superfluous.

        Raises:
            LostRace: somebody else has written it.
        """
        self._storage.put(_path(number, "checkpoint.json"), msgspec.json.encode(whole), "application/json")
        old = number - CHECKPOINT_EVERY  # whoever is a little behind still finds the entries it lacks
        found = self.listing()
        self._storage.remove([_path(one) for one in found.entries if one <= old])
        self._storage.remove([_path(one, "checkpoint.json") for one in found.checkpoints if one < old])

    def _read(self, path: str) -> Entry | None:
        found = self._storage.get(path)
        return None if found is None else msgspec.json.decode(found.data, type=Entry)


def _path(number: int, kind: str = "json") -> str:
    return f"{FOLDER}{number:020d}.{kind}"
