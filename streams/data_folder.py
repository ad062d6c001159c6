"""One pipeline at a time in a data folder."""

import fcntl
import os
from pathlib import Path


class FolderInUse(RuntimeError):  # noqa: N818 - says what is the matter
    """Another process runs on this data folder; the message names the folder and the option."""


class DataFolder:
    """Holds a data folder for this process. The kernel lets go of it when the process dies, however that happens."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: int | None = None

    def claim(self) -> None:
        """Take the folder, which is made when it is missing.

        Raises:
            FolderInUse: somebody else has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise FolderInUse(
                f"another `travelos demo` or `travelos run` works in {self.path}; stop it, or set another data_dir"
            ) from None
        self._lock = lock

    def release(self) -> None:
        """Let go of the folder; harmless when it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
