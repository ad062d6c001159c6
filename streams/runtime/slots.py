"""A small file that says what a worker has in work, for whoever finds it after the worker's death.

One slot for each stretch of records in work, written with one `pwrite` when it begins and one when it ends, never
synced: a killed process loses nothing of what the kernel has. That the machine died is no fault of a record.
"""

import fcntl
import os
import struct
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from faust.types import TP

from streams.runtime.crashes import Open

MAGIC = b"inwork01"
_HEADER = struct.Struct("<8s16s")
_STATE = struct.Struct("<qqB")  # first and last offset, and one of the states below; within a page, so never half of it
_HOME = struct.Struct("<iH249s")  # partition, and the name of the topic, which has at most 249 bytes
_FREE, _OPEN, _ALONE = 0, 1, 2
_HOME_AT = 24
_SLOT_BYTES = 512  # a divisor of the size of a page


class Slot(NamedTuple):
    """What `begin` gave out; slots given out before `clear` are void."""

    tp: TP
    number: int
    generation: int


class Slots:
    """The file of a live worker, locked for as long as its process lives.

    Raises:
        OSError: the file cannot be made, locked or written.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)  # at most for the moment in which somebody looks whether we are dead
            os.ftruncate(self._file, 0)
            self.session = os.urandom(16)
            os.pwrite(self._file, _HEADER.pack(MAGIC, self.session), 0)
        except OSError:
            os.close(self._file)
            raise
        self._count = 0
        self._generation = 0
        self._free: defaultdict[TP, list[int]] = defaultdict(list)
        self.open: dict[int, Slot] = {}

    def begin(self, tp: TP, first: int, last: int, *, alone: bool = False) -> Slot:
        """Note that records are in work."""
        free = self._free[tp]
        number = free.pop() if free else self._add(tp)
        os.pwrite(self._file, _STATE.pack(first, last, _ALONE if alone else _OPEN), number * _SLOT_BYTES)
        self.open[number] = slot = Slot(tp, number, self._generation)
        return slot

    def end(self, slot: Slot) -> None:
        """Note that they are not any more."""
        if slot.generation == self._generation:
            os.pwrite(self._file, _STATE.pack(0, 0, _FREE), slot.number * _SLOT_BYTES)
            self._free[slot.tp].append(slot.number)
            del self.open[slot.number]

    def not_alone(self, slot: Slot) -> None:
        """Note that others may be in work beside these records from here on."""
        if slot.generation == self._generation:
            os.pwrite(self._file, bytes([_OPEN]), slot.number * _SLOT_BYTES + _STATE.size - 1)

    def clear(self) -> None:
        """Note that nothing is in work."""
        for slot in list(self.open.values()):
            self.end(slot)
        self._generation += 1

    def close(self) -> None:
        """Let go of the file, with nothing in work."""
        self.clear()
        os.close(self._file)

    def _add(self, tp: TP) -> int:
        self._count += 1
        home = _HOME.pack(tp.partition, len(name := tp.topic.encode()), name)
        os.pwrite(self._file, home, self._count * _SLOT_BYTES + _HOME_AT)
        return self._count


class Remains(NamedTuple):
    """What a dead worker had in work. A session is one life of a worker."""

    session: str
    at_work: dict[TP, list[Open]]


def remains(path: Path) -> Remains | None:
    """Return what the worker that wrote a file had in work when it died; None while it lives, and for other files."""
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        content = os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)
    if len(content) < _HEADER.size or not content.startswith(MAGIC):
        return None
    _, session = _HEADER.unpack_from(content)
    at_work: dict[TP, list[Open]] = {}
    for start in range(_SLOT_BYTES, len(content) - _HOME_AT - _HOME.size + 1, _SLOT_BYTES):
        first, last, state = _STATE.unpack_from(content, start)
        partition, length, name = _HOME.unpack_from(content, start + _HOME_AT)
        if state != _FREE and 0 <= first <= last:
            opened = Open(first, last, state == _ALONE)
            at_work.setdefault(TP(name[:length].decode("utf-8", "replace"), partition), []).append(opened)
    return Remains(session.hex(), at_work)
