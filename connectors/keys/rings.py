"""Where the key ring comes from: a variable, or a file that may be made once. What is in it, KMS may have encrypted."""

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import structlog

from connectors.keys.contract import KeyStore
from connectors.keys.master import MasterKeys, new_entry, read_ring, ring_line
from connectors.sinks.errors import Fatal

log = structlog.get_logger(__name__)

TEXT_OPTION, FILE_OPTION = "keys.master_keys", "keys.master_file"
MAKE = "`travelos keys new-master`"


class KeyRing:
    """Reads the master keys, each time anew: a rotation adds to the file under running workers.

    Args:
        text: the ring itself, from a variable; empty: it is in the file.
        path: of the file.
        may_make: whether a file that is missing is made, as long as no user has a key; else it is an error, because a
            mistyped path must not bring new keys.
        decrypt: what makes a master key of what is in the ring; KMS, where it encrypted them.
    """

    def __init__(
        self,
        *,
        text: str = "",
        path: Path,
        may_make: bool = False,
        decrypt: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._text, self._path, self._may_make, self._decrypt = text, path, may_make, decrypt
        self._opened: dict[bytes, bytes] = {}  # KMS is asked once for each

    def read(self, store: KeyStore) -> MasterKeys:
        """Return the master keys.

        Raises:
            Fatal: the file is missing or cannot be read, or it lacks a master key that users' keys are wrapped by.
            Unavailable: KMS does not answer.
        """
        option = TEXT_OPTION if self._text else f"{FILE_OPTION} ({self._path})"
        entries = read_ring(self._text or self._file(store), option)
        for entry in entries:
            if entry.material not in self._opened:
                self._opened[entry.material] = self._decrypt(entry.material)
        keys = MasterKeys({one.id: self._opened[one.material] for one in entries}, option)
        missing = sorted(name for name in store.masters() if name not in keys)
        if missing:
            raise Fatal(
                f"keys of users are wrapped by the master keys {', '.join(missing)}, which `{option}` does not have: "
                "put them back, or name the ring that has them"
            )
        return keys

    def _file(self, store: KeyStore) -> str:
        try:
            text = self._path.read_text("ascii")
            if self._path.stat().st_mode & 0o007:
                log.warning("master_keys_readable_by_everybody", path=str(self._path), fix="chmod 600")
            return text
        except FileNotFoundError:
            if not self._may_make:
                raise Fatal(
                    f"`{FILE_OPTION}` {self._path} is not there; put it back, or make the first with {MAKE}"
                ) from None
            if not store.empty():
                raise Fatal(
                    f"the master key {self._path} is gone and users' keys are there: put it back, or let "
                    f"`{FILE_OPTION}` say where it is; without it all that was sealed stays unreadable"
                ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise Fatal(f"`{FILE_OPTION}` {self._path} cannot be read: {error}") from error
        line = ring_line(new_entry())
        if add_line(self._path, line, new=True):
            log.warning("master_key_made", path=str(self._path), fix="keep a copy of it apart from the data")
        return self._path.read_text("ascii")


def add_line(path: Path, line: str, *, new: bool = False) -> bool:
    """Add a line to a ring, whole or not at all. Mode and owner of a file stay; a new one is of the owner alone (0600).

    Args:
        path: of the file, or of a link to it.
        line: with its end.
        new: the file must not be there; whoever makes it first wins, and others leave it as it is (False).

    Raises:
        Fatal: it cannot be written, or holds what is no ring.
    """
    try:
        path = path.resolve()  # a link stays one
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path.parent) as folder:
            added = _write_first(path, line) if new else _write_behind(path, line)
            os.fsync(folder)
    except UnicodeDecodeError as error:
        raise Fatal(f"{path} is no ring of master keys: it has more than ASCII") from error
    except OSError as error:
        raise Fatal(f"{path} cannot be written: {error.strerror}") from error
    return added


def _write_first(path: Path, line: str) -> bool:
    with _draft(path, line) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    return True


def _write_behind(path: Path, line: str) -> bool:
    try:
        before, old = path.read_text("ascii"), path.stat()
    except FileNotFoundError:
        return _write_first(path, line)
    apart = "" if not before or before.endswith("\n") else "\n"
    with _draft(path, before + apart + line, old) as draft:
        draft.replace(path)
    return True


@contextmanager
def _draft(path: Path, text: str, like: os.stat_result | None = None) -> Generator[Path]:
    """Give a file beside another one; it is gone at the end unless it was renamed."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            if like is not None:
                os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Generator[int]:
    """Give a folder's descriptor; nobody else adds to a ring in it meanwhile. A file that is replaced holds no lock."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
