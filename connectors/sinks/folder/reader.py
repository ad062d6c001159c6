"""Read objects from a folder, also while it is being written."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from connectors.sinks.folder.keys import path_of, sidecar_of
from connectors.sinks.folder.sink import INDEX, SCHEMA, Sidecar
from connectors.sinks.sqlite.reader import SQLiteReader

_ATTEMPTS = 5


class ObjectDamaged(ValueError):  # noqa: N818 - says what the object is
    """The bytes under a key are not those that its sidecar describes."""


class StoredObject(NamedTuple):
    """An object. `data` is None when only a reference is kept."""

    description: Sidecar
    data: bytes | None


class FolderReader(SQLiteReader):
    """Objects by key; `query` reads the index."""

    schema = SCHEMA
    tables = ("objects",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / INDEX)
        self.folder = folder

    def get(self, key: str) -> StoredObject | None:
        """Return an object whose bytes match its description, or None when there is none or it was deleted.

        Raises:
            InvalidKey: the key cannot exist.
            ObjectDamaged: the bytes are not those described, and it is not just being replaced.
        """
        path = path_of(key)
        for _ in range(_ATTEMPTS):  # a writer may be between the two renames, which takes microseconds
            try:
                sidecar = msgspec.json.decode((self.folder / sidecar_of(path)).read_bytes(), type=Sidecar)
            except FileNotFoundError:
                return None
            if sidecar.deleted:
                return None
            if sidecar.sha256 is None:
                return StoredObject(sidecar, None)
            try:
                data = (self.folder / path).read_bytes()
            except FileNotFoundError:
                continue
            if hashlib.sha256(data).hexdigest() == sidecar.sha256:
                return StoredObject(sidecar, data)
        raise ObjectDamaged(f"the bytes of {key!r} do not match {sidecar_of(path)}")
