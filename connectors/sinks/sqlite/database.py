# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Open an embedded store's file: who made it, which schema it has, how it is written.

WAL mode: readers of other processes see the last committed batch and never wait for the writer. `synchronous=NORMAL`: a
killed process loses nothing that was committed; a power failure may lose the last commits but never damages the file.
"""

from pathlib import Path
from typing import Literal

import apsw
import sqlite_vec
from msgspec import Struct

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.sqlite.errors import interpreted

BUSY_MILLISECONDS = 10_000  # another process's batch takes milliseconds; ten seconds mean that it hangs
WAL_BYTES = 64 * 1024 * 1024  # what a long reader made the WAL grow beyond this is given back

_VERSIONS = """
CREATE TABLE versions (
    entity TEXT NOT NULL,
    source TEXT NOT NULL,
    version INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (entity, source)
) STRICT, WITHOUT ROWID;
"""


class Schema(Struct, frozen=True, kw_only=True):
    """What a store's file looks like.

    `tag` is four characters that the file carries as its `application_id`. `migrations` are SQL scripts, applied in
    order and once each; `user_version` counts them. A script that was released is never changed. Every store has the
    table `versions` before the first of them: the newest version of each entity and source, also of deleted ones.
    """

    tag: str
    migrations: tuple[str, ...]
    vectors: bool = False  # needs the sqlite-vec extension
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"

    @property
    def application_id(self) -> int:
        """The tag as the integer that SQLite keeps."""
        return int.from_bytes(self.tag.encode("ascii"), "big")


def connect_writer(path: Path, schema: Schema) -> apsw.Connection:
    """Open a store for writing; create or migrate its file when needed.

    Raises:
        Unavailable: the file is locked or the disk has no room.
        Fatal: the file cannot be written, belongs to something else, or was made by a newer release.
    """
    with interpreted(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            _check_owner(connection, path, schema)
            connection.execute(f"""
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = {schema.synchronous};
                PRAGMA journal_size_limit = {WAL_BYTES};
                PRAGMA cache_size = -16000;
            """).fetchall()
            _load_extensions(connection, schema)
            _migrate(connection, schema)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_reader(path: Path, schema: Schema) -> apsw.Connection:
    """Open a store read-only, also while others write it.

    Raises:
        Unavailable: there is no such file yet, or nothing in it.
        Fatal: the file is no such store.
    """
    if not path.is_file():
        raise _not_written_yet(path)
    with interpreted(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            if _is_new(connection):
                raise _not_written_yet(path)
            if connection.pragma("application_id") != schema.application_id:
                raise _not_ours(path, schema)
            _load_extensions(connection, schema)
        except BaseException:
            connection.close()
            raise
        return connection


def _check_owner(connection: apsw.Connection, path: Path, schema: Schema) -> None:
    if connection.pragma("application_id") != schema.application_id and not _is_new(connection):
        raise _not_ours(path, schema)
    made_by = connection.pragma("user_version")
    if isinstance(made_by, int) and made_by > len(schema.migrations):
        raise Fatal(
            f"{path} was made by a newer release (schema {made_by}, this one knows {len(schema.migrations)}); "
            "upgrade, or move the file away and replay the store's topic"
        )


def _is_new(connection: apsw.Connection) -> bool:
    """Whether a file holds nothing: SQLite makes it before whoever writes has committed the first table."""
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    return empty and connection.pragma("application_id") == 0


def _not_written_yet(path: Path) -> Unavailable:
    return Unavailable(f"{path} holds nothing yet: nothing has been written to this store")


def _not_ours(path: Path, schema: Schema) -> Fatal:
    return Fatal(f"{path} is no {schema.tag} store of this project; move it away or change `data_dir`")


def _migrate(connection: apsw.Connection, schema: Schema) -> None:
    # Several processes may open a new file at once: who gets the lock second finds the work done.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.pragma("application_id") == 0:
            connection.execute(_VERSIONS)
            connection.pragma("application_id", schema.application_id)
        done = connection.pragma("user_version")
        for script in schema.migrations[int(str(done)) :]:
            connection.execute(script)
        connection.pragma("user_version", len(schema.migrations))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _load_extensions(connection: apsw.Connection, schema: Schema) -> None:
    if schema.vectors:
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.enable_load_extension(False)
