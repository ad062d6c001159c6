"""Objects in a folder of this machine, for several processes."""

import fcntl
import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from connectors.sinks.errors import Fatal, Unavailable
from connectors.storage.contract import Found, LostRace

_TEMPORARY = ".tmp"
_LOCK = ".lock"


class FolderStorage:
    """Objects as files; see `Storage`.

    A file gets its name by a link, which fails where one lies, and is flushed to the disk before. Files of which a
    crash left a half lie in `.tmp` only. Network file systems without `flock` do not do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        """Make the folder.

        Raises:
            Fatal: it cannot be made or written.
        """
        try:
            (self.folder / _TEMPORARY).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Fatal(f"the folder {self.folder} cannot be made: {error.strerror}; see `data_dir`") from error

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of the files that begin like this."""
        begin = self.folder / prefix.rpartition("/")[0]
        for folder, _, files in os.walk(begin):
            for file in files:
                name = (Path(folder) / file).relative_to(self.folder).as_posix()
                if name.startswith(prefix) and not name.startswith("."):
                    yield name

    def get(self, path: str) -> Found | None:
        """Return a file."""
        try:
            data = (self.folder / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"the folder {self.folder} cannot be read: {error.strerror}") from error
        return Found(data, _token(data))

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / path).is_file()

    def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:  # noqa: ARG002
        """Write a file whole; a file has no content type."""
        place = self.folder / path
        temporary = self.folder / _TEMPORARY / uuid4().hex
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                if over is None:
                    os.link(temporary, place)
                else:
                    self._replace(temporary, place, over)
            finally:
                temporary.unlink(missing_ok=True)
            for folder in (place.parent, *place.parent.parents):
                _flush(folder)
                if folder == self.folder:
                    break
        except FileExistsError as error:
            raise LostRace(path) from error
        except OSError as error:
            raise Unavailable(f"the folder {self.folder} cannot be written: {error.strerror}") from error
        return _token(data)

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files."""
        for path in paths:
            (self.folder / path).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held open."""

    def _replace(self, temporary: Path, place: Path, over: str) -> None:
        with self._locked():
            try:
                there = _token(place.read_bytes())
            except FileNotFoundError:
                there = None
            if there != over:
                raise LostRace(place.name)
            temporary.replace(place)

    @contextmanager
    def _locked(self) -> Generator[None]:
        with (self.folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go of when the file is closed, also by a crash
            yield


def _token(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
