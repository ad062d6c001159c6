"""One pipeline at a time in a data folder."""

import fcntl
import os
from pathlib import Path


class FolderRefused(RuntimeError):  # noqa: N818 - says what happened
    """The data folder cannot be used: another process runs on it, or it cannot be written.

    The message names the folder and the option.
    """


class DataFolder:
    """Holds a data folder for this process. The kernel lets go of it when the process dies, however that happens."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: int | None = None

    def claim(self) -> None:
        """Take the folder, which is made when it is missing.

        Raises:
            FolderRefused: somebody else has it, or it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderRefused(f"data_dir {self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise FolderRefused(
                f"another `travelos demo` or `travelos run` works in {self.path}; stop it, or set another data_dir"
            ) from None
        self._lock = lock

    def release(self) -> None:
        """Let go of the folder; harmless when it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
