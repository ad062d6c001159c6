# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Live state in SQLite: values under keys that expire. In a file, so that other processes can read it."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
from msgspec import Struct

from connectors.sinks.contract import APPLIED, Limits, Outcome
from connectors.sinks.persons import delete_of
from connectors.sinks.reader import Row
from connectors.sinks.sqlite.database import Schema
from connectors.sinks.sqlite.errors import Refused
from connectors.sinks.sqlite.reader import SQLiteReader
from connectors.sinks.sqlite.recognising import RecognisingSink
from connectors.sinks.sqlite.values import json_text
from schemas.persons import live_person
from schemas.writes import CacheWrite

SWEPT_AT_ONCE = 1_000

SCHEMA = Schema(
    tag="TOca",
    migrations=(
        """
        CREATE TABLE entries (
            key TEXT NOT NULL PRIMARY KEY,
            entity TEXT NOT NULL UNIQUE,
            value TEXT NOT NULL,
            version INTEGER NOT NULL,
            expires_at REAL
        ) STRICT;
        CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
        -- What an ordinary tool should look at: `entries` may still hold what has expired. (`unixepoch('subsec')` would
        -- be null in SQLite before 3.42, and nothing live.)
        CREATE VIEW live AS
            SELECT key, value, version, datetime(expires_at, 'unixepoch') AS expires_at FROM entries
            WHERE expires_at IS NULL OR expires_at > (julianday('now') - 2440587.5) * 86400;
        """,
    ),
)


class CacheSink(RecognisingSink[CacheWrite]):
    """Values under keys. An expired one is gone at once for readers, and from the file within the next batches.

    A time to live begins when the write is applied, as it does in Redis. Its version outlives it.
    """

    schema = SCHEMA
    kind = CacheWrite
    entities = "SELECT entity FROM entries"
    limits = Limits(linger_ms=5)  # live state is looked at while it changes

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self._now = now

    def copies(self) -> str:
        """An entity is an entry, until it is swept."""
        return "(SELECT count(*) FROM entries AS e WHERE e.entity = v.entity)"

    def begin(self, connection: apsw.Connection) -> None:
        """Remove some of what has expired: never so much that a batch has to wait for it."""
        some = (self._now(), SWEPT_AT_ONCE)
        connection.execute(
            """
            UPDATE versions SET deleted = 1 WHERE entity IN (
                SELECT entity FROM entries WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
            )
            """,
            some,
        )
        connection.execute(
            """
            DELETE FROM entries WHERE key IN (
                SELECT key FROM entries WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
            )
            """,
            some,
        )

    def upsert(self, connection: apsw.Connection, write: CacheWrite) -> Outcome:
        """Store a value."""
        if write.ttl_seconds is not None and write.ttl_seconds <= 0:
            raise Refused(f"`ttl_seconds` is {write.ttl_seconds}, not more than 0")
        connection.execute(
            """
            INSERT INTO entries (key, entity, value, version, expires_at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (entity) DO UPDATE SET
                key = excluded.key, value = excluded.value, version = excluded.version, expires_at = excluded.expires_at
            """,
            (
                write.key,
                write.entity,
                json_text(write.value),
                write.version,
                None if write.ttl_seconds is None else self._now() + write.ttl_seconds,
            ),
        )
        return APPLIED

    def content(self, connection: apsw.Connection, write: CacheWrite) -> dict[str, Any] | None:
        """Return the value and what is left of its time."""
        found = connection.execute(
            "SELECT key, value, expires_at FROM entries WHERE entity = ? AND (expires_at IS NULL OR expires_at > ?)",
            (write.entity, self._now()),
        ).fetchone()
        if found is None:
            return None
        key, value, expires_at = found
        left = None if expires_at is None else math.ceil(expires_at - self._now())
        return {"key": key, "value": msgspec.json.decode(value), "ttl_seconds": left}

    def belonging(self, connection: apsw.Connection, user: str) -> Iterator[CacheWrite]:
        """Yield the keys whose names end with the person's id, those that have expired and lie there still, too."""
        rows = connection.execute(
            "SELECT e.entity, e.key, v.source, v.version FROM entries AS e JOIN versions AS v ON v.entity = e.entity"
        )
        for entity, key, source, version in rows:
            if user in live_person(entity):
                yield delete_of(CacheWrite, entity, source, version, key=key)

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> CacheWrite:
        """Return the delete of a value."""
        key: Any = connection.execute("SELECT key FROM entries WHERE entity = ?", (entity,)).get
        return delete_of(CacheWrite, entity, source, version, key=key)

    def delete(self, connection: apsw.Connection, write: CacheWrite) -> None:
        """Remove a value."""
        connection.execute("DELETE FROM entries WHERE entity = ?", (write.entity,))


class Entry(Struct, frozen=True):
    """A value that has not expired. `expires_at` is in seconds since 1970."""

    key: str
    value: Any
    version: int
    expires_at: float | None


class CacheReader(SQLiteReader):
    """Questions to the live state."""

    schema = SCHEMA
    tables = ("live",)

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self._now = now

    def get(self, key: str) -> Entry | None:
        """Return what is kept under a key, or None."""
        rows = self.query(
            "SELECT * FROM entries WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)", (key, self._now())
        )
        return _entry(rows[0]) if rows else None

    def starting_with(self, prefix: str, *, limit: int = 1_000) -> list[Entry]:
        """Return what is kept under keys that begin like this, in their order."""
        rows = self.query(
            """
            SELECT * FROM entries WHERE key BETWEEN ?1 AND ?1 || char(0x10FFFF)
            AND (expires_at IS NULL OR expires_at > ?2) ORDER BY key LIMIT ?3
            """,
            (prefix, self._now(), limit),
        )
        return [_entry(row) for row in rows]


def _entry(row: Row) -> Entry:
    return Entry(row["key"], msgspec.json.decode(row["value"]), row["version"], row["expires_at"])
