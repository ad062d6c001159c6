"""Writers of one store on this machine take turns, where the store cannot compare and set.

What lies there is read before it is written, and nobody may write it in between. On one machine the operating system
sees to that, by a lock that a killed process cannot leave behind. Between machines it is the topic: a partition has one
owner. Decisions 12 (InfluxDB) and 14 (Pinecone) say what that leaves open.
"""

import fcntl
import hashlib
import os
import select
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from connectors.sinks.errors import Unavailable

_LOOK_SECONDS = 0.002


class Turns:
    """The lock of one store, by its name. Held by one `taken` at a time, of all threads and processes of this user."""

    def __init__(self, store: str) -> None:
        name = hashlib.sha256(store.encode()).hexdigest()[:24]
        self._path = Path(tempfile.gettempdir()) / f"travelos-{os.getuid()}-{name}.lock"

    @contextmanager
    def taken(self, patience: float, writer: str = "") -> Generator[bool]:
        """Wait for the turn, at most so many seconds, and keep it inside.

        Args:
            patience: in seconds.
            writer: who takes it; a name of its own for each writer that wants to know whether another one wrote.

        Yields:
            Whether this writer was the last that had the turn; a turn without a name does not count.

        Raises:
            Unavailable: another writer did not give it up.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._wait(descriptor, patience)
            yield _entered(descriptor, writer.encode()) if writer else False
        finally:
            os.close(descriptor)  # which releases the lock

    def _wait(self, descriptor: int, patience: float) -> None:
        for _ in range(max(1, int(patience / _LOOK_SECONDS))):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                select.select([], [], [], _LOOK_SECONDS)  # flock has no timeout of its own
            else:
                return
        raise Unavailable(f"another process of this machine writes to the same store and stands still ({self._path})")


def _entered(descriptor: int, writer: bytes) -> bool:
    """Note who has the turn before anything is written; whether it was the same one the last time."""
    if os.pread(descriptor, len(writer) + 1, 0) == writer:
        return True
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, writer, 0)
    return False
