# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Users' keys in a file, for one machine.

`secure_delete` overwrites with zeros what is deleted, but not the copies that a page keeps behind its rows when it was
split. So after a destruction the file is written anew (VACUUM). The journal is gone after each commit; a write-ahead
log would keep the page with the key until somebody writes over it.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from connectors.keys.contract import StoredKey
from connectors.sinks.errors import Fatal
from connectors.sinks.sqlite.database import BUSY_MILLISECONDS
from connectors.sinks.sqlite.errors import interpreted

_APPLICATION_ID = int.from_bytes(b"Tkey", "big")
_TABLE = """
CREATE TABLE user_keys (
    user_id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    master TEXT NOT NULL,
    wrapped BLOB
) STRICT, WITHOUT ROWID;
"""
_AT_ONCE = 500


class SQLiteKeyStore:
    """A `KeyStore` in a SQLite file; the file is of the owner alone (mode 0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: apsw.Connection | None = None

    def open(self) -> None:
        """Open the file, which is made when it is missing. May be called again."""
        if self._opened is not None:
            return
        with self._interpreted():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
            connection = apsw.Connection(str(self.path))
            try:
                connection.set_busy_timeout(BUSY_MILLISECONDS)
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._opened = connection

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        """Return what is held of these users."""
        found: dict[str, StoredKey] = {}
        with self._interpreted():
            for start in range(0, len(user_ids), _AT_ONCE):
                some = user_ids[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                statement = f"SELECT user_id, key_id, master, wrapped FROM user_keys WHERE user_id IN ({marks})"  # noqa: S608
                found |= {row[0]: _stored(row) for row in self._connection.execute(statement, tuple(some))}
        return found

    def add(self, keys: Sequence[StoredKey]) -> dict[str, StoredKey]:
        """Take in keys of users who have none, and return what is held of all of them now."""
        with self._interpreted(), self._connection:
            self._connection.executemany(
                "INSERT INTO user_keys VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(one.user_id, one.key_id, one.master, one.wrapped) for one in keys],
            )
        return self.get([one.user_id for one in keys])

    def destroy(self, user_ids: Sequence[str]) -> None:
        """Put a mark in place of the keys, and write the file anew without them."""
        with self._interpreted(), self._connection:
            self._connection.executemany(
                "INSERT INTO user_keys VALUES (?, '', '', NULL) "
                "ON CONFLICT (user_id) DO UPDATE SET key_id = '', master = '', wrapped = NULL",
                [(user_id,) for user_id in user_ids],
            )
        # Always: what an earlier call was killed before is done by the one that repeats it.
        with self._interpreted():
            self._connection.execute("VACUUM")

    def start_afresh(self, user_ids: Sequence[str]) -> None:
        """Remove the marks of destroyed keys."""
        with self._interpreted(), self._connection:
            self._connection.executemany(
                "DELETE FROM user_keys WHERE user_id = ? AND wrapped IS NULL", [(user_id,) for user_id in user_ids]
            )

    def page(self, after: str, limit: int) -> list[StoredKey]:
        """Return up to `limit` keys of users behind `after`, in order."""
        statement = (
            "SELECT user_id, key_id, master, wrapped FROM user_keys "
            "WHERE user_id > ? AND wrapped IS NOT NULL ORDER BY user_id LIMIT ?"
        )
        with self._interpreted():
            return [_stored(row) for row in self._connection.execute(statement, (after, limit))]

    def rewrap(self, keys: Sequence[StoredKey]) -> int:
        """Replace how keys are wrapped, where they are still the same."""
        done = 0
        with self._interpreted(), self._connection:
            for one in keys:
                self._connection.execute(
                    "UPDATE user_keys SET master = ?, wrapped = ? WHERE user_id = ? AND key_id = ?",
                    (one.master, one.wrapped, one.user_id, one.key_id),
                )
                done += self._connection.changes()
        return done

    def masters(self) -> frozenset[str]:
        """Return the ids of all master keys that some key is wrapped by."""
        statement = "SELECT DISTINCT master FROM user_keys WHERE wrapped IS NOT NULL"
        with self._interpreted():
            return frozenset(str(row[0]) for row in self._connection.execute(statement))

    def empty(self) -> bool:
        """Whether there is neither a key nor a mark."""
        with self._interpreted():
            return self._connection.execute("SELECT EXISTS (SELECT 1 FROM user_keys)").get == 0

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _connection(self) -> apsw.Connection:
        assert self._opened is not None, "open() comes first"
        return self._opened

    def _prepare(self, connection: apsw.Connection) -> None:
        connection.pragma("secure_delete", 1)
        connection.pragma("synchronous", "FULL")
        connection.pragma("temp_store", "MEMORY")  # VACUUM writes no other file with keys
        # Several workers may open a new file at once: who gets the lock second finds the table there.
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.pragma("application_id") != _APPLICATION_ID:
                if connection.execute("SELECT count(*) FROM sqlite_schema").get != 0:
                    raise Fatal(f"{self.path} is no store of users' keys; move it away or change `data_dir`")
                connection.execute(_TABLE)
                connection.pragma("application_id", _APPLICATION_ID)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _interpreted(self) -> Generator[None]:
        with interpreted(self.path):
            try:
                yield
            except (apsw.NotADBError, apsw.CorruptError) as error:
                raise Fatal(
                    f"{self.path} is damaged ({error}); put back its backup: without it sealed fields stay unreadable"
                ) from error


def _stored(row: tuple[object, ...]) -> StoredKey:
    user_id, key_id, master, wrapped = row
    assert isinstance(wrapped, bytes | None)
    return StoredKey(user_id=str(user_id), key_id=str(key_id), master=str(master), wrapped=wrapped)
