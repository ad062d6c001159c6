# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Write objects into a folder.

Layout: `<key>` holds the bytes, `<key>.meta.json` describes them (`Sidecar`), `.index.db` holds the versions and which
entity lies where, `.tmp/` what is being written.

A batch goes: temporary files, flushed to disk; each renamed to its place, the bytes before the sidecar; then the index
is committed. A crash at any point leaves files that are newer than the index and never older, and no half-written one.
The index does not know the write yet, so when it is sent again (it was not acknowledged) it is done again, with the
same result. Between the two renames the sidecar's hash does not match the bytes, by which a reader can tell.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import apsw
import msgspec
from msgspec import Struct

from connectors.sinks.contract import APPLIED, Held, Limits, Outcome
from connectors.sinks.errors import Fatal
from connectors.sinks.folder.keys import SIDECAR, InvalidKey, path_of, sidecar_of
from connectors.sinks.persons import delete_of
from connectors.sinks.sqlite.database import Schema
from connectors.sinks.sqlite.errors import Refused, interpreted
from connectors.sinks.sqlite.sink import SQLiteSink
from connectors.sinks.sqlite.values import json_text
from schemas.fields import Timestamp
from schemas.persons import USER_ID
from schemas.writes import ObjectWrite

INDEX = ".index.db"
FLUSHED_AT_ONCE = 16  # a journaling file system commits flushes that wait together as one

SCHEMA = Schema(
    tag="TOob",
    synchronous="FULL",  # once per batch, beside the flush of every object
    migrations=(
        """
        -- The path of a deleted object stays taken: its sidecar says that it was deleted.
        CREATE TABLE paths (
            entity TEXT NOT NULL PRIMARY KEY,
            path TEXT NOT NULL UNIQUE,
            key TEXT NOT NULL,
            size INTEGER,  -- of the bytes; null when only a reference is kept
            live INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE VIEW objects AS SELECT key, path, entity, size FROM paths WHERE live;
        """,
    ),
)


class Sidecar(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `<key>.meta.json` says. `size` and `sha256` are those of the bytes; None when there is only a reference."""

    key: str
    entity: str
    version: int
    source: str
    event_id: str
    occurred_at: Timestamp
    deleted: bool = False
    content_type: str = ""
    size: int | None = None
    sha256: str | None = None
    reference: str | None = None
    metadata: dict[str, str] = {}


class _Move(NamedTuple):
    """A file to be put in its place; None: to be removed from there."""

    temporary: Path | None
    place: Path


class FolderSink(SQLiteSink[ObjectWrite]):
    """Objects in a folder, which several processes may write."""

    schema = SCHEMA
    kind = ObjectWrite
    entities = "SELECT entity FROM paths WHERE live"
    limits = Limits(max_records=200, max_bytes=16 * 1024 * 1024)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / INDEX)
        self.folder = folder
        self._moves: list[_Move] = []
        self._temporaries = 0

    def open(self) -> None:
        """Open the folder.

        Raises:
            Unavailable: it is locked or the disk is full.
            Fatal: it cannot be written, or holds objects whose index is gone.
        """
        with interpreted(self.folder):
            if next(self.folder.rglob(f"*{SIDECAR}"), None) is not None and not self.path.exists():
                raise Fatal(
                    f"{self.folder} holds objects, but {INDEX} is gone, and with it their versions; put it back, or "
                    "move the folder away and replay the store's topic"
                )
            (self.folder / ".tmp").mkdir(parents=True, exist_ok=True)
        super().open()

    def copies(self) -> str:
        """An entity has one path; `held` looks at what lies there."""
        return "(SELECT count(*) FROM paths AS p WHERE p.entity = v.entity AND p.live)"

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the folder holds. An object whose files are missing, or of another size, has no copies.

        It waits until no batch is being written, because a batch's files are in their places before its index is.
        """
        with interpreted(self.path), self.transaction() as connection:
            held = super().held(entities)
            lying: list[Any] = connection.execute(
                "SELECT entity, path, size FROM paths WHERE live AND entity IN (SELECT value FROM json_each(?))",
                (json_text(list({entity for entity, _ in entities})),),
            ).fetchall()
            damaged = {entity for entity, path, size in lying if not self._lies(PurePosixPath(path), size)}
        return {
            key: msgspec.structs.replace(found, copies=0) if key[0] in damaged else found for key, found in held.items()
        }

    def begin(self, connection: apsw.Connection) -> None:  # noqa: ARG002
        """Forget what an earlier attempt or a killed process left behind; nobody else writes while we hold the lock."""
        self._moves = []
        self._temporaries = 0
        for leftover in (self.folder / ".tmp").iterdir():
            leftover.unlink()

    def upsert(self, connection: apsw.Connection, write: ObjectWrite) -> Outcome:
        """Prepare an object's files."""
        if (write.data is None) == (write.reference is None):
            raise Refused("needs exactly one of `data` and `reference`")
        try:
            path = path_of(write.key)
        except InvalidKey as error:
            raise Refused(str(error)) from error
        sidecar = Sidecar(
            key=write.key,
            entity=write.entity,
            version=write.version,
            source=write.source,
            event_id=write.event_id,
            occurred_at=write.occurred_at,
            content_type=write.content_type,
            size=None if write.data is None else len(write.data),
            sha256=None if write.data is None else hashlib.sha256(write.data).hexdigest(),
            reference=write.reference,
            metadata=write.metadata,
        )
        description = msgspec.json.encode(sidecar)
        self._take(connection, write, path, sidecar.size)
        self._moves += [
            _Move(None if write.data is None else self._temporary(write.data), self.folder / path),
            _Move(self._temporary(description), self.folder / sidecar_of(path)),
        ]
        return APPLIED

    def content(self, connection: apsw.Connection, write: ObjectWrite) -> dict[str, Any] | None:
        """Return the object with its bytes, or the reference to them."""
        found = connection.execute("SELECT path FROM paths WHERE entity = ? AND live", (write.entity,)).fetchone()
        if found is None:
            return None
        path = PurePosixPath(found[0])
        try:
            sidecar = msgspec.json.decode((self.folder / sidecar_of(path)).read_bytes(), type=Sidecar)
            data = (self.folder / path).read_bytes() if sidecar.reference is None else None
        except FileNotFoundError:  # somebody has removed it, so it is not there
            return None
        return {
            "key": sidecar.key,
            "content_type": sidecar.content_type,
            "data": data,
            "reference": sidecar.reference,
            "metadata": sidecar.metadata,
        }

    def belonging(self, connection: apsw.Connection, user: str) -> Iterator[ObjectWrite]:
        """Yield the objects whose sidecars name a person; each of the folder is read."""
        rows: list[Any] = connection.execute(
            """
            SELECT p.entity, p.path, p.key, v.source, v.version FROM paths AS p JOIN versions AS v USING (entity)
            WHERE p.live
            """
        ).fetchall()
        for entity, path, key, source, version in rows:
            try:
                description = (self.folder / sidecar_of(PurePosixPath(path))).read_bytes()
            except FileNotFoundError:  # deleted meanwhile, or by hand: nothing says any more whose it was
                continue
            if msgspec.json.decode(description, type=Sidecar).metadata.get(USER_ID) == user:
                yield delete_of(ObjectWrite, entity, source, version, key=key)

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> ObjectWrite:
        """Return the delete of an object, without a look at its files."""
        key = str(connection.execute("SELECT key FROM paths WHERE entity = ?", (entity,)).get)
        return delete_of(ObjectWrite, entity, source, version, key=key)

    def delete(self, connection: apsw.Connection, write: ObjectWrite) -> None:
        """Prepare the removal of an object, and the sidecar that says so."""
        found = connection.execute(
            "UPDATE paths SET live = 0, size = NULL WHERE entity = ? RETURNING path, key", (write.entity,)
        ).fetchone()
        if found is None:
            return
        path = PurePosixPath(found[0])
        tombstone = Sidecar(
            key=found[1],
            entity=write.entity,
            version=write.version,
            source=write.source,
            event_id=write.event_id,
            occurred_at=write.occurred_at,
            deleted=True,
        )
        self._moves += [
            _Move(None, self.folder / path),
            _Move(self._temporary(msgspec.json.encode(tombstone)), self.folder / sidecar_of(path)),
        ]

    def finish(self, connection: apsw.Connection) -> None:  # noqa: ARG002
        """Put the files of the batch in their places."""
        with ThreadPoolExecutor(FLUSHED_AT_ONCE) as pool:
            list(pool.map(_flush, [move.temporary for move in self._moves if move.temporary is not None]))
        for move in self._moves:
            if move.temporary is None:
                move.place.unlink(missing_ok=True)
            else:
                move.place.parent.mkdir(parents=True, exist_ok=True)
                _remove_empty_folders(move.place)
                move.temporary.replace(move.place)
        for folder in {ancestor for move in self._moves for ancestor in self._folders(move.place)}:
            if folder.is_dir():  # and not an object by now
                _flush(folder)

    def _take(self, connection: apsw.Connection, write: ObjectWrite, path: PurePosixPath, size: int | None) -> None:
        """Give a path to an entity. A file cannot be a folder as well, which keys, unlike paths, could be."""
        above = [str(parent) for parent in path.parents]
        in_the_way = connection.execute(
            """
            SELECT key FROM paths WHERE entity <> ?1
            AND (path IN (SELECT value FROM json_each(?2)) OR path = ?3 OR path > ?3 || '/' AND path < ?3 || '0')
            """,
            (write.entity, json_text(above), str(path)),
        ).fetchone()
        if in_the_way is not None:
            raise Refused(f"`key` {write.key!r} is in the way of the object {in_the_way[0]!r}")
        before = connection.execute("SELECT path FROM paths WHERE entity = ?", (write.entity,)).fetchone()
        connection.execute(
            """
            INSERT INTO paths (entity, path, key, size, live) VALUES (?, ?, ?, ?, 1)
            ON CONFLICT (entity) DO UPDATE SET path = excluded.path, key = excluded.key, size = excluded.size, live = 1
            """,
            (write.entity, str(path), write.key, size),
        )
        if before is not None and before[0] != str(path):
            old = PurePosixPath(before[0])
            self._moves += [_Move(None, self.folder / old), _Move(None, self.folder / sidecar_of(old))]

    def _temporary(self, content: bytes) -> Path:
        self._temporaries += 1  # only the holder of the index's lock writes here, so a number is name enough
        path = self.folder / ".tmp" / str(self._temporaries)
        path.write_bytes(content)
        return path

    def _lies(self, path: PurePosixPath, size: int | None) -> bool:
        try:
            (self.folder / sidecar_of(path)).stat()
            return size is None or (self.folder / path).stat().st_size == size
        except FileNotFoundError:
            return False

    def _folders(self, place: Path) -> Iterable[Path]:
        yield place.parent
        yield from (folder for folder in place.parent.parents if folder.is_relative_to(self.folder))


def _remove_empty_folders(place: Path) -> None:
    """Remove the folders that objects which moved away have left where now an object shall lie."""
    if place.is_dir():
        for folder, _, _ in os.walk(place, topdown=False):
            Path(folder).rmdir()


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
