"""A folder for a worker's state that no other worker of the machine uses at the same time."""

import fcntl
import os
from pathlib import Path


class StateFolder:
    """Claims the first free of `<parent>/1`, `<parent>/2`, ... and holds it until closed or killed.

    RocksDB files belong to one process. A worker that starts again finds the folder that it, or a dead sister, left
    behind, and with it most of its state; a second worker gets the next one.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            number += 1
            path = parent / str(number)
            path.mkdir(exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            self.path = path
            self._lock = lock
            return

    def close(self) -> None:
        """Let go of the folder; its content stays."""
        os.close(self._lock)
