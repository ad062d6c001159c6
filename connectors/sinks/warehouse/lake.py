# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false
"""Write history as Parquet to an object store, each row physically once, from any number of machines.

The truth is the log in the store (`log`); the manifest of a folder is here an index of it, kept on this machine. A
batch goes: the index catches up with the log; files are put; an entry names them, which makes the rows exist; the index
is committed. A writer that finds its entry's number taken begins again. The index can be lost at any time.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import apsw
from msgspec import structs

from connectors.sinks.contract import Held, Outcome
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.warehouse.files import Placed
from connectors.sinks.warehouse.log import CHECKPOINT_EVERY, Deleted, Entry, File, Listing, Log
from connectors.sinks.warehouse.manifest import SCHEMA
from connectors.sinks.warehouse.parquet import Source, versions_in, write_table
from connectors.sinks.warehouse.sink import SMALL_BYTES, ManifestSink
from connectors.storage import LostRace, Storage
from schemas.writes import WarehouseWrite

T = TypeVar("T")

MERGED_FROM = 32  # small files of one day
_MERGED_AT_ONCE = 100
_RACES = 20
_CONTENT_TYPE = "application/vnd.apache.parquet"

LAKE = structs.replace(
    SCHEMA,
    tag="TOwl",
    synchronous="NORMAL",  # what a power failure takes is read again from the log
    migrations=(
        *SCHEMA.migrations,
        "CREATE TABLE position (number INTEGER NOT NULL) STRICT; INSERT INTO position VALUES (-1);",
    ),
)


class Overtaken(Exception):  # noqa: N818 - reads as a state, which it is
    """Another writer's entry came first, so what was done since the index caught up has to be done again."""


class LakeFiles:
    """Files in an object store, named after the log's entry that they are for and after their content; see `Files`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.entry = 0

    def open(self) -> None:
        """Connect."""
        self._storage.open()

    def place(self, folder: str, number: int, table: Any) -> Placed:  # noqa: ARG002 - the entry's is what counts
        """Put a file."""
        buffer = BytesIO()
        write_table(table, buffer)
        data = buffer.getvalue()
        path = f"{folder}/part-{self.entry:020d}-{hashlib.sha256(data).hexdigest()[:16]}.parquet"
        with suppress(LostRace):  # put before, and the answer was lost; its name says that it is the same
            self._storage.put(path, data, _CONTENT_TYPE)
        return Placed(path, len(data))

    def settle(self, paths: Iterable[str]) -> None:
        """Nothing is left to be done."""

    def source(self, path: str) -> Source:
        """Return a file's bytes.

        Raises:
            Overtaken: another writer has merged it away.
            Unavailable: the store does not answer.
        """
        try:
            found = self._storage.get(path)
        except Unavailable:
            # A server may answer with an error of its own (500) for an object that goes while it is read.
            if self._storage.exists(path):
                raise
            found = None
        if found is None:
            raise Overtaken(path)
        return BytesIO(found.data)

    def holds(self, path: str) -> bool:  # noqa: ARG002
        """Whether a file is there: `source` says when it is not, because then another writer was faster."""
        return True

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files."""
        self._storage.remove(list(paths))

    def listed(self) -> list[str]:
        """Return the paths of all files."""
        return [path for path in self._storage.names("") if "/day=" in path and path.endswith(".parquet")]

    def clear(self) -> None:
        """Nothing is ever half-way."""


class LakeSink(ManifestSink):
    """History in an object store.

    Args:
        storage: where it lies; opened and closed here.
        index: the file of the index.
    """

    schema = LAKE

    def __init__(self, storage: Storage, index: Path) -> None:
        self._lake_files = LakeFiles(storage)
        super().__init__(index, self._lake_files)
        self._storage = storage
        self._log = Log(storage)
        self._deleted: list[Deleted] = []
        self._end = -1  # of the log, when the index caught up with it
        self._abandoned: list[str] = []  # files of attempts that failed: put, or to be removed

    def open(self) -> None:
        """Connect, catch up, and remove the files of writers that were killed.

        Raises:
            Unavailable: the store does not answer.
            Fatal: it never will like this; names the option.
        """
        self.files.open()
        super().open()
        self._again(self._begin_anew)

    def close(self) -> None:
        """Close connections and index."""
        super().close()
        self._storage.close()

    def write(self, batch: Sequence[WarehouseWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        return self._again(lambda: super(LakeSink, self).write(batch))

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the warehouse holds: rows counted in all files of the day they belong to."""

        def look() -> Mapping[tuple[str, str], Held]:
            with self.transaction() as connection:
                self._catch_up(connection)
            return super(LakeSink, self).held(entities)

        return self._again(look)

    def before(self, writes: Sequence[WarehouseWrite]) -> list[WarehouseWrite | None]:
        """Return what would undo writes."""

        def look() -> list[WarehouseWrite | None]:
            with self.transaction() as connection:
                self._catch_up(connection)
            return super(LakeSink, self).before(writes)

        return self._again(look)

    def of_user(self, user: str) -> list[WarehouseWrite]:
        """Return what the warehouse holds of a person."""

        def look() -> list[WarehouseWrite]:
            with self.transaction() as connection:
                self._catch_up(connection)
            return super(LakeSink, self).of_user(user)

        return self._again(look)

    def stored(self, places: Sequence[WarehouseWrite]) -> list[WarehouseWrite | None]:
        """Return what the warehouse holds, each file read once."""

        def look() -> list[WarehouseWrite | None]:
            with self.transaction() as connection:
                self._catch_up(connection)
            return super(LakeSink, self).stored(places)

        return self._again(look)

    def begin(self, connection: apsw.Connection) -> None:
        """Catch up with other writers."""
        self._lake_files.entry = self._catch_up(connection)
        # Not removed yet: an entry whose answer was lost may still come to name them, or to name them no more.
        self._abandoned += [*self._placed, *self._replaced]
        self._deleted = []
        self.reset(connection)

    def delete(self, connection: apsw.Connection, write: WarehouseWrite) -> None:
        """Remove a row from the file it lies in."""
        super().delete(connection, write)
        self._deleted.append((write.entity, write.source, write.version))

    def finish(self, connection: apsw.Connection) -> None:
        """Put the batch's files, merge small ones where they have become many, and write the entry."""
        super().finish(connection)
        many = connection.execute(
            "SELECT 1 FROM files WHERE live AND bytes < ? GROUP BY dataset, day HAVING count(*) >= ? LIMIT 1",
            (SMALL_BYTES, MERGED_FROM),
        ).fetchone()
        if many is not None:
            self.merge_small(connection, _MERGED_AT_ONCE)
        placed = set(self._placed)
        entry = Entry(
            tuple(one for one in _live(connection) if one.path in placed),
            tuple(path for path in self._replaced if path not in placed),
            tuple(self._deleted),
        )
        if entry.empty:
            return
        try:
            self._log.append(self._lake_files.entry, entry)
        except LostRace as error:
            raise Overtaken from error
        self._moved(connection, self._lake_files.entry)

    def committed(self) -> None:
        """Remove the files that others have replaced, those of failed attempts, and now and then old entries."""
        super().committed()
        with self.transaction() as connection:
            number = _position(connection)
            self._remove_abandoned(connection, number, self._abandoned)
            self._abandoned = [path for path in self._abandoned if _entry_of(path) > number]
            if number % CHECKPOINT_EVERY == 0 and number == self._lake_files.entry:
                self._summarise(connection, number)

    def _again(self, action: Callable[[], T]) -> T:
        """Do something again as long as other writers are faster, within reason.

        Raises:
            Unavailable: they always were.
            Fatal: nobody was: the log names a file that is not there.
        """
        lacking = ""
        for _ in range(_RACES):
            try:
                return action()
            except Overtaken as error:
                lacking = str(error)
        if self._log.listing().last == self._end:
            raise Fatal(
                f"the warehouse's log names {lacking}, which is not there; bring it back, or have `stores.warehouse` "
                "name another place and replay the store's topic"
            )
        raise Unavailable("other writers of the warehouse were faster, several times")

    def _begin_anew(self) -> None:
        """Write an entry that says nothing, and remove the files of writers that were killed.

        From now on no file that is named after it or an earlier one can become part of the warehouse any more, so those
        that are not are nobody's.
        """
        with self.transaction() as connection:
            number = self._catch_up(connection)
            try:
                self._log.append(number, Entry())
            except LostRace as error:
                raise Overtaken from error
            self._moved(connection, number)
            self._remove_abandoned(connection, number, self.files.listed())

    def _catch_up(self, connection: apsw.Connection) -> int:
        """Bring the index to the end of the log; return the number of the next entry."""
        listing = self._log.listing()
        self._end = listing.last
        position = _position(connection)
        if listing.last == position:
            return position + 1
        entries: list[Entry] = []
        if listing.last < position or _is_missing(listing, position):  # emptied since, or behind by very much
            connection.execute("DELETE FROM versions; DELETE FROM files")
            position = -1
            if listing.checkpoints:
                position = listing.checkpoints[-1]
                entries.append(_found(self._log.checkpoint(position)))
        entries += [_found(self._log.entry(number)) for number in listing.entries if number > position]
        self._take(connection, entries)
        self._moved(connection, listing.last)
        return listing.last + 1

    def _take(self, connection: apsw.Connection, entries: Sequence[Entry]) -> None:
        gone = {path for entry in entries for path in entry.removed}
        for entry in entries:
            connection.executemany("UPDATE files SET live = 0 WHERE path = ?", ((path,) for path in entry.removed))
            for file in entry.added:
                if file.path not in gone:
                    self._take_file(connection, file)
            connection.executemany(
                """
                INSERT INTO versions (entity, source, version, deleted) VALUES (?, ?, ?, 1)
                ON CONFLICT (entity, source) DO UPDATE SET version = excluded.version, deleted = 1
                WHERE excluded.version > versions.version
                """,
                entry.deleted,
            )

    def _take_file(self, connection: apsw.Connection, file: File) -> None:
        rows = versions_in(self.files.source(file.path))
        connection.execute(
            "INSERT INTO files (path, dataset, day, rows, bytes) VALUES (?, ?, ?, ?, ?)", structs.astuple(file)
        )
        number = connection.last_insert_rowid()
        # A row that was only moved has the version that is known.
        connection.executemany(
            """
            INSERT INTO versions (entity, source, version, deleted, file) VALUES (?, ?, ?, 0, ?)
            ON CONFLICT (entity, source) DO UPDATE SET version = excluded.version, deleted = 0, file = excluded.file
            WHERE excluded.version >= versions.version
            """,
            ((entity, source, version, number) for entity, source, version in rows),
        )

    def _moved(self, connection: apsw.Connection, number: int) -> None:
        connection.execute("UPDATE position SET number = ?", (number,))

    def _remove_abandoned(self, connection: apsw.Connection, number: int, paths: Sequence[str]) -> None:
        """Remove files that are for an entry up to a number and are no part of the warehouse."""
        live = {file.path for file in _live(connection)} if paths else set()
        self.files.remove([path for path in paths if path not in live and _entry_of(path) <= number])

    def _summarise(self, connection: apsw.Connection, number: int) -> None:
        rows = connection.execute("SELECT entity, source, version FROM versions WHERE deleted")
        deleted: list[Any] = rows.fetchall()
        with suppress(LostRace):  # it was written by an attempt whose answer was lost
            self._log.summarise(number, Entry(tuple(_live(connection)), deleted=tuple(deleted)))


def _position(connection: apsw.Connection) -> int:
    return int(connection.execute("SELECT number FROM position").get)


def _live(connection: apsw.Connection) -> list[File]:
    rows = connection.execute("SELECT path, dataset, day, rows, bytes FROM files WHERE live ORDER BY id")
    return [File(*row) for row in rows]


def _is_missing(listing: Listing, position: int) -> bool:
    """Whether entries after a position were removed, or a checkpoint is nearer to the end than a new index."""
    return position + 1 not in listing.entries or (position == -1 and bool(listing.checkpoints))


def _found(entry: Entry | None) -> Entry:
    if entry is None:
        raise Overtaken("an entry of the log was summarised")
    return entry


def _entry_of(path: str) -> int:
    """Return the number of the entry that a file is for; a file that is not ours is for none that ever comes."""
    number = path.rpartition("/part-")[2].partition("-")[0]
    return int(number) if number.isdecimal() else 2**63
