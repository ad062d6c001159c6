"""One batch in one transaction: read the version lines, decide, copy what changes.

What is new, lines and rows, is copied where it stays. Everything else is copied into a temporary table first, from
which one statement for each table and set of columns takes it over: a COPY cannot update. What we have to work out is
worked out while the server has something to do.

Of few writes all of that would be waiting: a COPY takes two answers of the server, and such a batch up to a dozen. They
go as parameters of statements that are sent together, so it is three.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import count

import msgspec
import psycopg
from psycopg.sql import Composed

from connectors.sinks.contract import Outcome, Rejected
from connectors.sinks.errors import Unavailable
from connectors.sinks.postgres import statements
from connectors.sinks.postgres.connection import Connection
from connectors.sinks.postgres.copying import array, column, copied
from connectors.sinks.postgres.errors import rejection
from connectors.sinks.postgres.lines import decode_versions
from connectors.sinks.postgres.merge import Line, Value
from connectors.sinks.postgres.plan import Columns, Identity, LineRow, Shape, planned, sorted_out
from connectors.sinks.postgres.tables import TABLES
from connectors.sinks.postgres.values import Unfit, all_checked, storable
from schemas.writes import RelationalWrite

Cursor = psycopg.Cursor[tuple[object, ...]]

FEW = 200  # writes that cost less as parameters than by COPY

_ANOTHER = "another process is writing the same rows; it should stop, or this one"


class _RowsThere(Exception):  # noqa: N818 - says what was found
    """A row lies there of which no version line of its entity tells."""


class Batch:
    """Applies writes, in a transaction of its own or inside of one that is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts = count()

    def apply(self, writes: Sequence[RelationalWrite]) -> list[Outcome]:
        """Apply writes together, or, when the server refuses one of them, each half by itself, down to that one.

        A write that does not fit its table is rejected before the server sees it.

        Raises:
            Unavailable: somebody else has changed the same rows meanwhile.
            psycopg.Error: not the fault of a single write.
        """
        if not writes:
            return []
        try:
            if len(writes) <= FEW:
                return self._apply_few(writes)
            try:
                return self._apply_together(writes, expect_rows=False)
            except _RowsThere:
                return self._apply_together(writes, expect_rows=True)
        except psycopg.Error as error:
            reason = rejection(error)
            if reason is None:
                raise
            if len(writes) == 1:
                return [Rejected(reason)]
        middle = len(writes) // 2
        return self.apply(writes[:middle]) + self.apply(writes[middle:])

    def _apply_few(self, writes: Sequence[RelationalWrite]) -> list[Outcome]:
        with self._connection.pipeline() as pipeline, self._connection.transaction():
            asked = _ask_for_lines(self._connection, storable({write.entity for write in writes}))
            looked_at = all_checked(writes)
            plan = planned(sorted_out([one for one in looked_at if not isinstance(one, Unfit)]), _lines_of(asked))
            saved = None
            if plan.new_lines:
                self._connection.execute(statements.INSERT_LINES, _given(zip(*plan.new_lines, strict=True)))
            if plan.changed_lines:
                saved = self._connection.execute(
                    statements.SAVE_GIVEN_LINES, _given(zip(*plan.changed_lines, strict=True))
                )
            for table, keys in plan.removed.items():
                self._connection.execute(statements.delete(table), (array(keys),))
            for shape, columns in [*plan.rows, *plan.new_rows]:
                self._connection.execute(statements.upsert_given(*shape), _given(columns))
            try:
                pipeline.sync()
            except psycopg.errors.UniqueViolation as error:
                raise Unavailable(_ANOTHER) from error
            if saved is not None and saved.rowcount != len(plan.changed_lines):
                raise Unavailable(_ANOTHER)
        applied = iter(plan.outcomes)
        return [Rejected(str(one)) if isinstance(one, Unfit) else next(applied) for one in looked_at]

    def _apply_together(self, writes: Sequence[RelationalWrite], *, expect_rows: bool) -> list[Outcome]:
        with self._connection.transaction():
            with self._connection.pipeline():
                asked = _ask_for_lines(self._connection, storable({write.entity for write in writes}))
                looked_at = all_checked(writes)  # the server looks for the lines meanwhile
                found = sorted_out([one for one in looked_at if not isinstance(one, Unfit)])
            plan = planned(found, _lines_of(asked))
            said: list[list[str]] = []
            with self._copying_lines(plan.new_lines):
                if not expect_rows:
                    said = [list(copied(columns)) for _, columns in plan.new_rows]
            self._save_lines(plan.changed_lines)
            for table, keys in plan.removed.items():
                self._connection.execute(statements.delete(table), (array(keys),))
            for shape, columns in plan.rows:
                self._upsert(shape, columns)
            if expect_rows:
                for shape, columns in plan.new_rows:
                    self._upsert(shape, columns)
            else:
                for (shape, _), pieces in zip(plan.new_rows, said, strict=True):
                    self._insert(shape, pieces)
        applied = iter(plan.outcomes)
        return [Rejected(str(one)) if isinstance(one, Unfit) else next(applied) for one in looked_at]

    @contextmanager
    def _copying_lines(self, lines: Sequence[LineRow]) -> Generator[None]:
        """Copy lines; what is done inside is done while the server takes them in."""
        if not lines:
            yield
            return
        try:
            with self._connection.cursor().copy(statements.COPY_LINES) as copy:
                for piece in copied(list(zip(*lines, strict=True))):
                    copy.write(piece)
                yield
        except psycopg.errors.UniqueViolation as error:
            raise Unavailable(_ANOTHER) from error

    def _save_lines(self, lines: Sequence[LineRow]) -> None:
        if not lines:
            return
        part = self._stage(list(zip(*lines, strict=True)))
        if self._connection.execute(statements.SAVE_LINES, (part,)).rowcount != len(lines):
            raise Unavailable(_ANOTHER)

    def _insert(self, shape: Shape, pieces: Iterable[str]) -> None:
        try:
            self._copy(statements.insert(*shape), pieces)
        except psycopg.errors.UniqueViolation as error:
            raise _RowsThere from error

    def _upsert(self, shape: Shape, columns: Columns) -> None:
        part = self._stage(columns)
        self._connection.execute(statements.upsert(*shape), (part,))

    def _stage(self, columns: Columns) -> int:
        part = next(self._parts)
        parts: Sequence[Value] = [part] * len(columns[0])
        self._copy(statements.stage(len(columns)), copied([parts, *columns]))
        return part

    def _copy(self, statement: Composed, pieces: Iterable[str]) -> None:
        with self._connection.cursor().copy(statement) as copy:
            for piece in pieces:
                copy.write(piece)


def _given(columns: Iterable[Sequence[Value]]) -> list[str]:
    return list(map(column, columns))


def try_statements(connection: Connection) -> None:
    """Make the table that batches are staged in, and run every statement on no rows."""
    with connection.transaction():
        connection.execute(statements.STAGING)
        for table, columns in TABLES.items():
            connection.execute(statements.upsert(table, tuple(columns)), (0,))
            connection.execute(statements.upsert_given(table, tuple(columns)), ["{}"] * (1 + len(columns)))
            connection.execute(statements.delete(table), ("{}",))
        connection.execute(statements.SAVE_LINES, (0,))


def read_lines(connection: Connection, entities: Iterable[str]) -> dict[Identity, Line]:
    """Return the version lines of entities, of all sources."""
    return _lines_of(_ask_for_lines(connection, entities))


def _ask_for_lines(connection: Connection, entities: Iterable[str]) -> Cursor:
    connection.execute(statements.BY_INDEX)
    return connection.execute(statements.LINES, (array(sorted(entities)),))


def _lines_of(asked: Cursor) -> dict[Identity, Line]:
    return {
        (entity, source): Line(
            table=table,
            key=key,
            version=version,
            deleted=deleted,
            removed=removed,
            columns=decode_versions(table, version, columns),
            revision=revision,
        )
        for entity, source, table, key, version, deleted, removed, columns, revision in msgspec.convert(
            asked.fetchall(), list[LineRow]
        )
    }
