"""One batch in one transaction: read the version lines, decide, copy what changes.

New lines are copied where they stay. Everything else is copied into a temporary table first, from which one statement
for each table and set of columns takes it over: a COPY cannot update.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import msgspec
import psycopg
from psycopg.sql import Composed

from connectors.sinks.contract import Outcome, Rejected
from connectors.sinks.errors import Unavailable
from connectors.sinks.postgres import statements
from connectors.sinks.postgres.connection import Connection
from connectors.sinks.postgres.errors import rejection
from connectors.sinks.postgres.merge import Line, RowChange, Value, apply
from connectors.sinks.postgres.tables import TABLES
from schemas.writes import RelationalWrite

Identity = tuple[str, str]  # entity, source
Place = tuple[str, str]  # table, key

_Found = tuple[str, str, str, str, int, bool, int, str, int]
_ANOTHER = "another process is writing the same rows; it should stop, or this one"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, int]).decode


class Batch:
    """Applies writes inside of a transaction that is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts = count()

    def apply(self, writes: Sequence[RelationalWrite]) -> list[Outcome]:
        """Apply writes together, or, when the server refuses one of them, each half by itself, down to that one.

        Raises:
            Unavailable: somebody else has changed the same rows meanwhile.
            psycopg.Error: not the fault of a single write.
        """
        if not writes:
            return []
        try:
            with self._connection.transaction():  # a savepoint
                return self._apply_together(writes)
        except psycopg.Error as error:
            reason = rejection(error)
            if reason is None:
                raise
            if len(writes) == 1:
                return [Rejected(reason)]
        middle = len(writes) // 2
        return self.apply(writes[:middle]) + self.apply(writes[middle:])

    def _apply_together(self, writes: Sequence[RelationalWrite]) -> list[Outcome]:
        before = read_lines(self._connection, {(write.entity, write.source) for write in writes})
        lines = {identity: msgspec.structs.replace(line) for identity, line in before.items()}
        changes: defaultdict[Place, RowChange] = defaultdict(RowChange)
        outcomes: list[Outcome] = []
        for write in writes:
            identity = (write.entity, write.source)
            line = lines.get(identity)
            if line is None:
                line = lines[identity] = Line(table=write.table, key=write.key)
            if (line.table, line.key) != (write.table, write.key):
                outcomes.append(Rejected(f"`key`: {write.entity} is the row {line.key!r} of {line.table} already"))
            else:
                outcomes.append(apply(write, line, changes[write.table, write.key]))
        self._copy_lines({identity: line for identity, line in lines.items() if identity not in before})
        self._save_lines({identity: line for identity, line in lines.items() if line != before.get(identity, line)})
        self._change_rows(changes)
        return outcomes

    def _copy_lines(self, lines: Mapping[Identity, Line]) -> None:
        try:
            self._copy(
                statements.COPY_LINES, [_row(identity, line) for identity, line in sorted(lines.items(), key=_identity)]
            )
        except psycopg.errors.UniqueViolation as error:
            raise Unavailable(_ANOTHER) from error

    def _save_lines(self, lines: Mapping[Identity, Line]) -> None:
        if not lines:
            return
        part = next(self._parts)
        ordered = sorted(lines.items(), key=_identity)
        self._stage([(part, *_row(identity, line)) for identity, line in ordered])
        if self._connection.execute(statements.SAVE_LINES, (part,)).rowcount != len(lines):
            raise Unavailable(_ANOTHER)

    def _change_rows(self, changes: Mapping[Place, RowChange]) -> None:
        removed: defaultdict[str, list[str]] = defaultdict(list)
        upserted: defaultdict[tuple[str, tuple[str, ...]], list[tuple[str, Mapping[str, Value]]]] = defaultdict(list)
        ordered: dict[tuple[str, ...], tuple[str, ...]] = {}
        for (table, key), change in sorted(changes.items(), key=_place):  # one order for all: no deadlocks
            if change.remove:
                removed[table].append(key)
            if change.columns is not None:
                names = tuple(change.columns)
                columns = ordered.get(names) or ordered.setdefault(names, tuple(sorted(names)))
                upserted[table, columns].append((key, change.columns))
        for table, keys in removed.items():
            self._connection.execute(statements.delete(table), (keys,))
        for (table, columns), rows in upserted.items():
            part = next(self._parts)
            staged = [(part, key, *map(values.__getitem__, columns)) for key, values in rows]
            self._stage(staged)
            self._connection.execute(statements.upsert(table, columns), (part,))

    def _stage(self, rows: Sequence[tuple[Value, ...]]) -> None:
        self._copy(statements.stage(len(rows[0]) - 1), rows)

    def _copy(self, statement: Composed, rows: Sequence[tuple[Value, ...]]) -> None:
        if not rows:
            return
        with self._connection.cursor().copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


def try_statements(connection: Connection) -> None:
    """Make the table that batches are staged in, and run every statement on no rows."""
    with connection.transaction():
        connection.execute(statements.STAGING)
        for table, columns in TABLES.items():
            connection.execute(statements.upsert(table, tuple(columns)), (0,))
            connection.execute(statements.delete(table), ([],))
        connection.execute(statements.SAVE_LINES, (0,))


def read_lines(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, Line]:
    """Return the version lines that are there."""
    wanted = sorted(identities)
    found = connection.execute(statements.LINES, ([entity for entity, _ in wanted], [source for _, source in wanted]))
    return {
        (entity, source): Line(
            table=table,
            key=key,
            version=version,
            deleted=deleted,
            removed=removed,
            columns=_decode(columns),
            revision=revision,
        )
        for entity, source, table, key, version, deleted, removed, columns, revision in msgspec.convert(
            found.fetchall(), list[_Found]
        )
    }


def _row(identity: Identity, line: Line) -> tuple[Value, ...]:
    versions = _encode(line.columns).decode()
    return (*identity, line.table, line.key, line.version, line.deleted, line.removed, versions, line.revision + 1)


def _identity(item: tuple[Identity, Line]) -> Identity:
    return item[0]


def _place(item: tuple[Place, RowChange]) -> Place:
    return item[0]
