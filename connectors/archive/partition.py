"""One partition of the archive: how far it is, and how the next object gets there exactly once.

Which offsets the next object has is written down first, in the partition's head, on the condition that nobody else
has done so since; then comes the object. So boundaries that depend on the clock are decided once. Whoever finds a head
whose object is missing makes exactly that object (see docs/decisions/0015-boundaries-of-archived-objects.md).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from connectors.archive.errors import ArchiveConflict, ArchiveError, Unreadable
from connectors.archive.formats import records_in
from connectors.archive.names import Format, Name, head_path, named, partition_prefix
from connectors.sinks.errors import Unavailable
from connectors.storage.contract import LostRace, Storage

_ATTEMPTS = 3
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 5.0


class Overtaken(Exception):  # noqa: N818 - reads as a state, which it is
    """Somebody else archives this partition now; what was collected is theirs to write."""


class _Head(Struct, frozen=True, kw_only=True):
    first: int
    last: int
    day: str
    format: Format


class Progress(NamedTuple):
    """How far a partition is archived.

    Attributes:
        next: the first offset that no object answers for; None when there is no object.
        pending: an object that was decided on and never written; it has to be made first. It begins at `next`.
    """

    next: int | None
    pending: Name | None = None


def _nothing() -> int:
    return 0


class PartitionArchive:
    """The objects of one partition, of which several processes may believe that they are its owner."""

    def __init__(self, storage: Storage, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self._storage = storage
        self._head_path = head_path(topic, partition)
        self._token: str | None = None
        self._decided: Name | None = None

    def progress(self, committed: Callable[[], int] = _nothing) -> Progress:
        """Look how far the partition is.

        Args:
            committed: asks for an offset before which everything has been written, whatever is there now.

        Raises:
            Unavailable: the store does not answer.
            ArchiveError: the head cannot be read.
        """
        found = self._storage.get(self._head_path)
        self._token = None if found is None else found.token
        self._decided = None
        if found is None:
            # Nobody ever wrote, or the head was removed: the objects say it too, at the price of a list.
            there = named(self._storage.names(partition_prefix(self.topic, self.partition)))
            return Progress(max((name.last + 1 for name in there), default=None))
        decided = self._name(found.data)
        # Asked for last: what was written since the look at the objects is seen, too.
        if self._storage.exists(decided.path) or committed() > decided.last:
            return Progress(decided.last + 1)
        self._decided = decided
        return Progress(decided.first, decided)

    def store(self, name: Name, data: bytes, content_type: str) -> None:
        """Write the next object; when this returns it is there, and survives a power failure.

        May be called again with the same object after it has raised Unavailable.

        Raises:
            Unavailable: the store does not answer, several times.
            Overtaken: somebody else has decided on another object; `progress` says where to go on.
            ArchiveConflict: something else lies under the object's name.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._decide(name)
                self._put(name, data, content_type)
            except Unavailable as error:
                if attempt == _ATTEMPTS:
                    raise
                pause = min(error.after or _PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
                time.sleep(pause)  # between two attempts; nothing tells when a store is back
            else:
                return

    def skip(self, name: Name) -> None:
        """Forget an object that was decided on and of which the topic has nothing any more."""
        if name == self._decided:
            self._decided = None

    def _decide(self, name: Name) -> None:
        if name == self._decided:
            return
        data = msgspec.json.encode(_Head(first=name.first, last=name.last, day=name.day, format=name.format))
        try:
            self._token = self._storage.put(self._head_path, data, "application/json", over=self._token)
        except LostRace as error:
            found = self._storage.get(self._head_path)
            if found is None or self._name(found.data) != name:
                raise Overtaken(f"{self.topic}, partition {self.partition}") from error
            self._token = found.token  # our own: its answer was lost
        self._decided = name

    def _put(self, name: Name, data: bytes, content_type: str) -> None:
        try:
            self._storage.put(name.path, data, content_type)
        except LostRace as error:
            found = self._storage.get(name.path)
            if found is None:
                raise Unavailable(f"{name.path} was there and is not") from error
            if found.data != data and not _holds(name, found.data, data):
                raise ArchiveConflict(
                    f"{name.path} holds other records than the topic; move it away, or set archive.prefix"
                ) from error

    def _name(self, head: bytes) -> Name:
        try:
            found = msgspec.json.decode(head, type=_Head)
        except msgspec.DecodeError as error:
            raise ArchiveError(
                f"{self._head_path} cannot be read; remove it, and the archive goes on after its last object"
            ) from error
        return Name(self.topic, self.partition, found.day, found.first, found.last, found.format)


def _holds(name: Name, there: bytes, data: bytes) -> bool:
    """Whether an object has every record of another one: compaction removes some, and another zlib packs otherwise."""
    try:
        found = {record.offset: record for record in records_in(name.format, name.topic, there)}
    except Unreadable:
        return False
    return all(found.get(record.offset) == record for record in records_in(name.format, name.topic, data))
