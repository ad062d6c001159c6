# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Write history as Parquet, each row physically once.

Layout: `<dataset>/day=YYYY-MM-DD/part-*.parquet`, and `_manifest.db`, which knows the version and the file of each row.

A batch goes: files written elsewhere, flushed to disk, renamed to their places; then the manifest is committed, which
makes the rows exist. A crash before the commit leaves files that the manifest does not know: `open` removes them,
and their rows, which were not acknowledged, are sent again. A crash after it loses nothing. Files that another one has
replaced are removed after the commit, or by the next `open`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import apsw
import msgspec

from connectors.sinks.contract import APPLIED, Held, Limits, Outcome
from connectors.sinks.errors import Fatal
from connectors.sinks.persons import delete_of
from connectors.sinks.sqlite.errors import Refused, interpreted
from connectors.sinks.sqlite.sink import SQLiteSink
from connectors.sinks.sqlite.values import json_text
from connectors.sinks.undo import emptied
from connectors.sinks.warehouse.files import Files, FolderFiles
from connectors.sinks.warehouse.manifest import LAIN, LYING, NO_DAY, SCHEMA
from connectors.sinks.warehouse.parquet import (
    Identity,
    Row,
    Source,
    content_of,
    contents_of,
    identities_in,
    identities_of,
    read_tables,
    row,
    rows_of_person,
    table_of,
    without,
)
from schemas.writes import WarehouseWrite

T = TypeVar("T")

MANIFEST = "_manifest.db"  # Spark and Hive skip names that begin with "_"
DATASETS: tuple[str, ...] = get_args(get_type_hints(WarehouseWrite)["dataset"])
_ATTEMPTS = 5
SMALL_BYTES = 8 * 1024 * 1024  # files below are worth merging
MERGED_BYTES = 64 * 1024 * 1024  # of compressed files merged at once; bounds the memory of `compact`


class _Part(NamedTuple):
    """A file that the batch will make."""

    id: int
    dataset: str
    day: str
    rows: dict[Identity, Row]


class ManifestSink(SQLiteSink[WarehouseWrite]):
    """History as Parquet files that a manifest knows.

    Rows are facts, written once; appending is what is fast. A newer version of a row (a correction) replaces it and a
    delete (an erasure) removes it, both by writing the file it lies in anew, so that no reader of the files has to know
    about versions. What two sources say about one entity are two rows.
    """

    schema = SCHEMA
    kind = WarehouseWrite
    entities = "SELECT DISTINCT entity FROM versions WHERE NOT deleted"
    limits = Limits(max_records=5_000, max_bytes=16 * 1024 * 1024, linger_ms=1_000)  # large files read faster

    def __init__(self, manifest: Path, files: Files) -> None:
        super().__init__(manifest)
        self.files = files
        self._parts: dict[tuple[str, date], _Part] = {}
        self._outdated: dict[int, set[Identity]] = {}  # rows that lie in earlier files and are replaced or deleted
        self._placed: list[str] = []  # files that only the manifest's commit makes real
        self._replaced: list[str] = []
        self._first_id = self._next_id = 1  # files below the first are earlier batches'

    def copies(self) -> str:
        """What the manifest says; `held` counts the rows themselves."""
        return "NOT v.deleted"

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the folder holds: rows counted in all files of the day they belong to."""

        def look(lost: bool) -> Mapping[tuple[str, str], Held]:
            held = super(ManifestSink, self).held(entities)
            rows = self._count([entity for entity, _ in entities], lost=lost)
            return {key: msgspec.structs.replace(found, copies=rows[key]) for key, found in held.items()}

        return self._look(look)

    def _look(self, look: Callable[[bool], T]) -> T:
        """Look at manifest and files as of one moment, again where another process has merged a file meanwhile.

        In the end that nobody can: then a file that is not there is `lost`, which the look is told.
        """
        with interpreted(self.path):
            for _ in range(_ATTEMPTS):
                try:
                    with self.snapshot():
                        return look(False)
                except FileNotFoundError:
                    continue
            with self.transaction():
                return look(True)

    def _in_file(self, path: str, read: Callable[[Source], T], otherwise: T, *, lost: bool) -> T:
        """Read a file; with `lost` one that is not there holds nothing, else that is an error."""
        try:
            return read(self.files.source(path))
        except FileNotFoundError:
            if not lost:
                raise
            return otherwise

    def begin(self, connection: apsw.Connection) -> None:
        """Forget what an earlier attempt left behind."""
        self.remove_unknown(connection, [*self._placed, *self._replaced])
        self.reset(connection)

    def reset(self, connection: apsw.Connection) -> None:
        """Begin with nothing written and nothing replaced."""
        self._parts, self._outdated, self._placed, self._replaced = {}, {}, [], []
        self._first_id = self._next_id = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM files").get

    def upsert(self, connection: apsw.Connection, write: WarehouseWrite) -> Outcome:
        """Put a row into the file that the batch makes for its dataset and day."""
        if write.dataset not in DATASETS:
            raise Refused(f"`dataset` is `{write.dataset}`, not one of {', '.join(DATASETS)}")
        new = row(write)
        identity = (write.entity, write.source)
        self._outdate(connection, identity)
        self._outdate_strays(connection, write)
        part = self._parts.get((write.dataset, write.day))
        if part is None:
            part = _Part(self._next_id, write.dataset, write.day.isoformat(), {})
            self._parts[write.dataset, write.day] = part
            self._next_id += 1
        part.rows[identity] = new
        connection.execute("UPDATE versions SET file = ? WHERE entity = ? AND source = ?", (part.id, *identity))
        return APPLIED

    def delete(self, connection: apsw.Connection, write: WarehouseWrite) -> None:
        """Remove a row from the file it lies in."""
        identity = (write.entity, write.source)
        self._outdate(connection, identity)
        self._outdate_strays(connection, write)
        # A row that the batch itself had brought has lain in no file, and its file's number may be given again.
        connection.execute(
            "UPDATE versions SET file = NULL WHERE entity = ? AND source = ? AND file >= ?", (*identity, self._first_id)
        )

    def content(self, connection: apsw.Connection, write: WarehouseWrite) -> dict[str, Any] | None:
        """Return the row of this entity and source."""
        identity = (write.entity, write.source)
        found = connection.execute(LYING, identity).fetchone()
        if found is None:
            return None
        path, dataset, day = found
        content = content_of(self.files.source(path), identity)
        return None if content is None else {**content, "dataset": dataset, "day": date.fromisoformat(day)}

    def before(self, writes: Sequence[WarehouseWrite]) -> list[WarehouseWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`."""

        def before(write: WarehouseWrite, lost: bool) -> WarehouseWrite | None:
            try:
                return self._before(self.connection, write)
            except FileNotFoundError:
                if not lost:
                    raise
                return emptied(write)

        return self._look(lambda lost: [before(write, lost) for write in writes])

    def of_user(self, user: str) -> list[WarehouseWrite]:
        """Return the rows that name a person, and those of a traveller's own row; every file is read."""

        def look(lost: bool) -> list[WarehouseWrite]:
            files: list[Any] = self.connection.execute("SELECT path, dataset, day FROM files WHERE live").fetchall()
            return [
                delete_of(WarehouseWrite, entity, source, version, dataset=dataset, day=date.fromisoformat(day))
                for path, dataset, day in files
                for entity, source, version in self._in_file(path, partial(rows_of_person, user=user), [], lost=lost)
            ]

        return self._look(look)

    def stored(self, places: Sequence[WarehouseWrite]) -> list[WarehouseWrite | None]:
        """Return what the warehouse holds, each file read once; see `connectors.sinks.content.stored`."""

        def look(lost: bool) -> dict[Identity, dict[str, Any]]:
            files: defaultdict[tuple[str, str, str], list[Identity]] = defaultdict(list)
            for place in places:
                identity = (place.entity, place.source)
                found: Any = self.connection.execute(LYING, identity).fetchone()
                if found is not None:
                    files[found].append(identity)
            return {
                identity: {**content, "dataset": dataset, "day": date.fromisoformat(day)}
                for (path, dataset, day), some in files.items()
                for identity, content in self._in_file(
                    path, partial(contents_of, identities=some), {}, lost=lost
                ).items()
            }

        contents = self._look(look)
        return [
            msgspec.structs.replace(place, **contents[place.entity, place.source], op="upsert")
            if (place.entity, place.source) in contents
            else emptied(place)
            for place in places
        ]

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> WarehouseWrite:
        """Return the delete of a row."""
        dataset, day = connection.execute(LAIN, (entity, source)).fetchone() or (DATASETS[0], NO_DAY)
        return delete_of(
            WarehouseWrite, entity, source, version, dataset=str(dataset), day=date.fromisoformat(str(day))
        )

    def finish(self, connection: apsw.Connection) -> None:
        """Write the batch's files."""
        for part in self._parts.values():
            if part.rows:
                self._place(connection, part.id, part.dataset, part.day, table_of(list(part.rows.values())))
        for file, identities in self._outdated.items():
            self._replace(connection, [file], identities)
        self.files.settle(self._placed)

    def committed(self) -> None:
        """Remove the files that others have replaced."""
        self.files.remove(self._replaced)
        self._placed, self._replaced = [], []

    def merge_small(self, connection: apsw.Connection, max_files: int) -> int:
        """Merge small files of one dataset and day, inside a batch's transaction; return how many fewer there are."""
        small: list[Any] = connection.execute(
            """
            SELECT id, bytes FROM files WHERE live AND bytes < ?1 AND (dataset, day) = (
                SELECT dataset, day FROM files WHERE live AND bytes < ?1
                GROUP BY dataset, day HAVING count(*) > 1 ORDER BY count(*) DESC, day LIMIT 1
            ) ORDER BY bytes LIMIT ?2
            """,
            (SMALL_BYTES, max_files),
        ).fetchall()
        chosen, total = [], 0
        for file, size in small:
            total += size
            if total <= MERGED_BYTES:
                chosen.append(file)
        if len(chosen) < 2:
            return 0
        self._replace(connection, chosen, set())
        return len(chosen) - 1

    def remove_unknown(self, connection: apsw.Connection, paths: Iterable[str]) -> None:
        """Remove files that the manifest does not hold, and those that were still being written."""
        live = "SELECT 1 FROM files WHERE path = ? AND live"
        self.files.remove([path for path in paths if connection.execute(live, (path,)).fetchone() is None])
        self.files.clear()

    def _outdate(self, connection: apsw.Connection, identity: Identity) -> None:
        """Take out the row that the batch or an earlier file holds of an identity."""
        file = connection.execute("SELECT file FROM versions WHERE entity = ? AND source = ?", identity).get
        if file is None:
            return
        if file < self._first_id:
            self._outdated.setdefault(file, set()).add(identity)
            return
        for part in self._parts.values():
            if part.id == file:
                del part.rows[identity]

    def _outdate_strays(self, connection: apsw.Connection, write: WarehouseWrite) -> None:
        """Take out the rows of a write that is repaired wherever they lie in its day.

        Somebody may have put them there, or removed what the manifest knew of them.
        """
        if not write.repair:
            return
        files: list[Any] = connection.execute(
            "SELECT id, path FROM files WHERE live AND dataset = ? AND day = ? AND id < ?",
            (write.dataset, write.day.isoformat(), self._first_id),
        ).fetchall()
        identity = (write.entity, write.source)
        for file, path in files:
            if self.files.holds(path) and identity in identities_in(self.files.source(path), [write.entity]):
                self._outdated.setdefault(file, set()).add(identity)

    def _replace(self, connection: apsw.Connection, files: Sequence[int], dropped: set[Identity]) -> None:
        """Write one file with the rows of several, except those dropped."""
        wanted = json_text(files)
        old: list[Any] = connection.execute(
            "SELECT path, dataset, day FROM files WHERE live AND id IN (SELECT value FROM json_each(?))", (wanted,)
        ).fetchall()
        if not old:  # the row had been deleted before, and its file replaced
            return
        there = [path for path, _, _ in old if self.files.holds(path)]
        table = without(read_tables(self.files.source(path) for path in there), dropped)
        connection.execute("UPDATE files SET live = 0 WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
        self._replaced += [path for path, _, _ in old]
        if table.num_rows:
            self._place(connection, self._next_id, old[0][1], old[0][2], table)
            connection.executemany(
                "UPDATE versions SET file = ? WHERE entity = ? AND source = ?",
                ((self._next_id, *identity) for identity in identities_of(table)),
            )
            self._next_id += 1

    def _place(self, connection: apsw.Connection, file: int, dataset: str, day: str, table: Any) -> None:
        path, size = self.files.place(f"{dataset}/day={day}", file, table)
        self._placed.append(path)
        connection.execute(
            "INSERT INTO files (id, path, dataset, day, rows, bytes) VALUES (?, ?, ?, ?, ?, ?)",
            (file, path, dataset, day, table.num_rows, size),
        )

    def _count(self, entities: Sequence[str], *, lost: bool) -> Counter[Identity]:
        """Count rows; with `lost` those of files that are not there are none, else that is an error."""
        paths = self.connection.execute(
            """
            SELECT DISTINCT f.path FROM json_each(?) AS wanted
            JOIN versions AS v ON v.entity = wanted.value
            JOIN files AS lain ON lain.id = v.file
            JOIN files AS f ON f.live AND f.dataset = lain.dataset AND f.day = lain.day
            """,
            (json_text(entities),),
        ).fetchall()
        rows: Counter[Identity] = Counter()
        for (path,) in paths:
            rows.update(self._in_file(str(path), partial(identities_in, entities=entities), [], lost=lost))
        return rows


class WarehouseSink(ManifestSink):
    """History in a folder, which several processes may write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / MANIFEST, FolderFiles(folder))
        self.folder = folder

    def open(self) -> None:
        """Open the folder and remove what a crash has left.

        Raises:
            Unavailable: it is locked or the disk is full.
            Fatal: it cannot be written, or holds files whose manifest is gone.
        """
        with interpreted(self.folder):
            if self.files.listed() and not self.path.exists():
                raise Fatal(
                    f"{self.folder} holds Parquet files, but {MANIFEST} is gone from it; put it back, or move the "
                    "folder away and replay the store's topic"
                )
            self.files.open()
            super().open()
            with self.transaction() as connection:  # the lock: nobody else's files are half-way
                self.remove_unknown(connection, self.files.listed())

    def compact(self, max_files: int = 100) -> int:
        """Merge small files of one dataset and day, those of which there are most; return how many fewer there are.

        The work is bounded: one day, `max_files` files, 64 MiB. 0 means that there was nothing to merge.

        Raises:
            Unavailable: as `write`.
        """
        with interpreted(self.path):
            with self.transaction() as connection:
                self.begin(connection)
                fewer = self.merge_small(connection, max_files)
                self.files.settle(self._placed)
            self.committed()
            return fewer
