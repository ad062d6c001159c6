# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What the embedded sinks share: the version guard, the transaction around a batch, the account of what is held."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import apsw
import msgspec

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected
from connectors.sinks.errors import Unavailable
from connectors.sinks.persons import NO_LINE, Purge, delete_of
from connectors.sinks.sqlite.database import Schema, connect_writer
from connectors.sinks.sqlite.errors import REFUSALS, interpreted, reason
from connectors.sinks.sqlite.values import json_text
from connectors.sinks.undo import undone_to_nothing
from schemas.writes import BaseWrite

W = TypeVar("W", bound=BaseWrite)

_PAGE = 500  # entities of a walk that are asked for at once

# Compares and sets in one statement; it changes nothing when the store holds a newer version than the write replaces.
_GUARD = """
INSERT INTO versions (entity, source, version, deleted) VALUES (?, ?, ?, ?)
ON CONFLICT (entity, source) DO UPDATE SET version = excluded.version, deleted = excluded.deleted
WHERE versions.version <= ?
"""


class SQLiteSink(ABC, Generic[W]):
    """A sink whose store is one SQLite file.

    Several processes may write the same file; their batches take turns. A batch is one transaction, so a killed process
    leaves all of it or nothing. A subclass says what the file looks like and what one write does to it; whether a write
    is new at all is decided here, in the table `versions`.

    What two sources say about one entity is not compared: the write that comes last holds, and a delete removes the
    entity whoever wrote it.
    """

    schema: ClassVar[Schema]
    limits: Limits = Limits()
    kind: type[W]  # of its writes
    entities: ClassVar[str]  # an SQL query of the names of the entities that lie in the store, each once
    names: ClassVar[tuple[str, ...]] = ()  # fields with defaults that a delete needs all the same

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: apsw.Connection | None = None

    def open(self) -> None:
        """Open the file; see `connect_writer` for what it raises."""
        if self._connection is None:
            self._connection = connect_writer(self.path, self.schema)

    def write(self, batch: Sequence[W]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        with interpreted(self.path):
            try:
                return self._write(batch, self._apply)
            except REFUSALS:
                # The refused write took the whole transaction with it. Savepoints keep the others, but are not free (a
                # full-text index writes a segment for each), so only a batch that needs them pays for them.
                return self._write(batch, self._apply_alone)

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the file holds; `copies` is 0 for what was deleted."""
        with interpreted(self.path), self.snapshot() as connection:
            rows = connection.execute(
                # S608: the inserted text is a constant of our own
                f"""
                SELECT v.entity, v.source, v.version, v.deleted, {self.copies()}
                FROM json_each(?) AS wanted
                JOIN versions AS v ON v.entity = wanted.value ->> 0 AND v.source = wanted.value ->> 1
                """,  # noqa: S608
                (json_text(entities),),
            )
            return {
                (entity, source): Held(version=version, deleted=bool(deleted), copies=copies)
                for entity, source, version, deleted, copies in rows
            }

    def before(self, writes: Sequence[W]) -> list[W | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`."""
        with interpreted(self.path), self.snapshot() as connection:
            return [self._before(connection, write) for write in writes]

    def of_user(self, user: str) -> list[W]:
        """Return what the file holds of a person; see `connectors.sinks.persons.Attributing`."""
        with interpreted(self.path), self.snapshot() as connection:
            return list(self.belonging(connection, user))

    def purge(self) -> Purge:
        """Rewrite the file without what was deleted; see `connectors.sinks.persons.Purging`.

        SQLite leaves deleted rows in free pages until others take their place, and in the WAL.

        Raises:
            Unavailable: somebody is writing or reading an older state all the time.
        """
        with interpreted(self.path):
            with self.transaction() as connection:
                self.tidy(connection)
            self.connection.execute("VACUUM")
            busy = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0]
        if busy:
            raise Unavailable(f"{self.path} is being read as it was before: its WAL cannot be emptied")
        return Purge(forced="VACUUM, write-ahead log emptied")

    def walk(self) -> Iterator[W]:
        """Yield what the file holds; see `connectors.sinks.contract.Walking`."""
        last = ""
        while page := self._page(last):
            yield from page
            last = page[-1].entity

    def _page(self, after: str) -> list[W]:
        with interpreted(self.path), self.snapshot() as connection:
            # S608: the inserted text is a constant of our own; of several sources that with the largest name is told.
            rows: list[Any] = connection.execute(
                f"""
                SELECT e.entity, coalesce(max(v.source), ?1), coalesce(v.version, 0) FROM ({self.entities}) AS e
                LEFT JOIN versions AS v ON v.entity = e.entity WHERE e.entity > ?2
                GROUP BY e.entity ORDER BY e.entity LIMIT ?3
                """,  # noqa: S608
                (NO_LINE, after, _PAGE),
            ).fetchall()
            return [self.place(connection, *row) for row in rows]

    def place(self, connection: apsw.Connection, entity: str, source: str, version: int) -> W:  # noqa: ARG002
        """Return the delete of an entity that lies in the store, with all that it needs beside the entity's name."""
        return delete_of(self.kind, entity, source, version)

    def close(self) -> None:
        """Close the file; the last one to close it folds the WAL into it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @abstractmethod
    def copies(self) -> str:
        """Return an SQL expression: how often the entity `v.entity` lies in the store."""

    @abstractmethod
    def upsert(self, connection: apsw.Connection, write: W) -> Outcome:
        """Store a write that is newer than what the store holds.

        Raises:
            Refused: it can never be stored.
        """

    @abstractmethod
    def delete(self, connection: apsw.Connection, write: W) -> None:
        """Remove an entity, which may not be there."""

    @abstractmethod
    def content(self, connection: apsw.Connection, write: W) -> dict[str, Any] | None:
        """Return the fields of a write that would store what the file holds of this entity now; None: nothing."""

    def belonging(self, connection: apsw.Connection, user: str) -> Iterable[W]:  # noqa: ARG002
        """Yield a delete of each entity of a person; a store of things that are nobody's has none."""
        return ()

    def tidy(self, connection: apsw.Connection) -> None:
        """Remove what deletes have left behind and nothing needs any more; inside a transaction."""

    def begin(self, connection: apsw.Connection) -> None:
        """Do what a batch needs before its first write; inside the transaction."""

    def finish(self, connection: apsw.Connection) -> None:
        """Do what a batch needs after its last write; inside the transaction."""

    def committed(self) -> None:
        """Do what may only be done once the batch is sure."""

    @property
    def connection(self) -> apsw.Connection:
        """The open connection."""
        if self._connection is None:
            raise RuntimeError(f"the sink of {self.path} is not open")
        return self._connection

    @contextmanager
    def transaction(self) -> Generator[apsw.Connection]:
        """Open a transaction as the only writer; roll it back when anything is raised."""
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has rolled back by itself when the disk is full
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Generator[apsw.Connection]:
        """Read everything inside as of one moment; may be nested."""
        with self.connection:  # a savepoint
            yield self.connection

    def _before(self, connection: apsw.Connection, write: W) -> W | None:
        version = self.held_version(connection, write)
        if version is not None and version >= write.version:
            return None
        content = self.content(connection, write)
        if content is None:
            return undone_to_nothing(write, self.names)
        return msgspec.structs.replace(write, **content, op="upsert", version=version or 0, undo=False)

    @staticmethod
    def held_version(connection: apsw.Connection, write: W) -> int | None:
        """Return the version of a write's entity and source, None when there is none."""
        found = connection.execute(
            "SELECT version FROM versions WHERE entity = ? AND source = ?", (write.entity, write.source)
        ).fetchone()
        return None if found is None else found[0]

    def _write(self, batch: Sequence[W], apply: Callable[[apsw.Connection, W], Outcome]) -> list[Outcome]:
        with self.transaction() as connection:
            self.begin(connection)
            outcomes = [apply(connection, write) for write in batch]
            self.finish(connection)
        self.committed()
        return outcomes

    def _apply(self, connection: apsw.Connection, write: W) -> Outcome:
        deleted = write.op == "delete"
        connection.execute(_GUARD, (write.entity, write.source, write.version, deleted, write.replaces))
        if connection.changes() == 0:
            return SUPERSEDED
        if deleted:
            self.delete(connection, write)
            return APPLIED
        return self.upsert(connection, write)

    def _apply_alone(self, connection: apsw.Connection, write: W) -> Outcome:
        connection.execute("SAVEPOINT one")
        try:
            outcome = self._apply(connection, write)
        except REFUSALS as error:
            connection.execute("ROLLBACK TO one; RELEASE one")
            return Rejected(reason(error))
        connection.execute("RELEASE one")
        return outcome
