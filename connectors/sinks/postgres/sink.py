"""Write relational facts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from connectors.sinks.contract import Held, Limits, Outcome, Rejected
from connectors.sinks.errors import SinkError, Unavailable
from connectors.sinks.postgres import statements
from connectors.sinks.postgres.connection import Connection, connect, create_tables
from connectors.sinks.postgres.errors import interpreted, rejection
from connectors.sinks.postgres.merge import Line, RowChange, Value, apply
from connectors.sinks.postgres.tables import TABLES
from connectors.sinks.postgres.values import Unfit, checked
from connectors.sinks.undo import emptied
from schemas.writes import RelationalWrite

Identity = tuple[str, str]  # entity, source
Place = tuple[str, str]  # table, key


class RelationalSink:
    """Rows of PostgreSQL, in the schema `travelos`; how writes of parts of a row combine is said in `merge`.

    A batch is one transaction: it reads the versions, decides, and writes versions and rows back in one statement for
    each table and set of columns. The versions are compared and set, so a second writer of the same rows makes a batch
    fail as unavailable, and never overwrites anything.
    """

    limits = Limits(max_records=2_000)

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None

    def open(self) -> None:
        """Connect, create missing tables, and try every statement on no rows.

        Raises:
            Unavailable: the server does not answer.
            Fatal: address, login, permissions or the tables' types are wrong; names the option.
        """
        connection = self._connected()
        try:
            with interpreted():
                create_tables(connection)
                _try_statements(connection)
        except SinkError:
            self.close()
            raise

    def write(self, batch: Sequence[RelationalWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: dict[int, Outcome] = {}
        fitting: list[tuple[int, RelationalWrite]] = []
        for index, write in enumerate(batch):
            try:
                fitting.append((index, checked(write)))
            except Unfit as error:
                outcomes[index] = Rejected(str(error))
        connection = self._connected()
        try:
            with interpreted(), connection.transaction():
                applied = _apply(connection, [write for _, write in fitting])
        except Unavailable:
            self.close()  # the next attempt connects anew
            raise
        outcomes.update(zip((index for index, _ in fitting), applied, strict=True))
        return [outcomes[index] for index in range(len(batch))]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the tables hold; `copies` is 0 for what was deleted."""
        connection = self._connected()
        wanted = ([entity for entity, _ in entities], [source for _, source in entities])
        with interpreted(), connection.transaction():
            rows = msgspec.convert(
                connection.execute(statements.HELD, wanted).fetchall(), list[tuple[str, str, int, bool, int]]
            )
        return {
            (entity, source): Held(version=version, deleted=deleted, copies=copies)
            for entity, source, version, deleted, copies in rows
        }

    def before(self, writes: Sequence[RelationalWrite]) -> list[RelationalWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`. Columns not named are left out."""
        connection = self._connected()
        with interpreted(), connection.transaction():
            lines = _read_lines(connection, {(write.entity, write.source) for write in writes})
            rows = _read_rows(connection, {(write.table, write.key) for write in writes if write.table in TABLES})
        return [
            _undoing(write, lines.get((write.entity, write.source)), rows.get((write.table, write.key)))
            for write in writes
        ]

    def close(self) -> None:
        """Close the connection; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn)
        return self._connection


def _try_statements(connection: Connection) -> None:
    with connection.transaction():
        for table, columns in TABLES.items():
            connection.execute(statements.upsert(table, tuple(columns)), ("[]",))
            connection.execute(statements.delete(table), ([],))
        connection.execute(statements.SAVE_LINES, ("[]",))


def _apply(connection: Connection, writes: Sequence[RelationalWrite]) -> list[Outcome]:
    """Apply writes together, or, when the server refuses one of them, each half by itself, down to that one."""
    if not writes:
        return []
    try:
        with connection.transaction():  # a savepoint
            return _apply_together(connection, writes)
    except Exception as error:
        reason = rejection(error)
        if reason is None:
            raise
        if len(writes) == 1:
            return [Rejected(reason)]
    middle = len(writes) // 2
    return _apply(connection, writes[:middle]) + _apply(connection, writes[middle:])


def _apply_together(connection: Connection, writes: Sequence[RelationalWrite]) -> list[Outcome]:
    before = _read_lines(connection, {(write.entity, write.source) for write in writes})
    lines = {identity: msgspec.structs.replace(line) for identity, line in before.items()}
    changes: defaultdict[Place, RowChange] = defaultdict(RowChange)
    outcomes: list[Outcome] = []
    for write in writes:
        line = lines.setdefault((write.entity, write.source), Line(table=write.table, key=write.key))
        if (line.table, line.key) != (write.table, write.key):
            outcomes.append(Rejected(f"`key`: {write.entity} is the row {line.key!r} of {line.table} already"))
        else:
            outcomes.append(apply(write, line, changes[write.table, write.key]))
    _save_lines(connection, {identity: line for identity, line in lines.items() if line != before.get(identity)})
    _change_rows(connection, changes)
    return outcomes


def _read_lines(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, Line]:
    wanted = sorted(identities)
    rows = connection.execute(statements.LINES, ([entity for entity, _ in wanted], [source for _, source in wanted]))
    return {
        (str(entity), str(source)): msgspec.convert(dict(zip(Line.__struct_fields__, fields, strict=True)), Line)
        for entity, source, *fields in rows
    }


def _read_rows(connection: Connection, places: Iterable[Place]) -> dict[Place, dict[str, Value]]:
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for table, key in places:
        keys[table].append(key)
    return {
        (table, str(key)): msgspec.convert(row, dict[str, Value])
        for table, wanted in keys.items()
        for key, row in connection.execute(statements.rows(table), (wanted,))
    }


def _undoing(write: RelationalWrite, line: Line | None, row: Mapping[str, Value] | None) -> RelationalWrite | None:
    if line is not None and line.version >= write.version:
        return None
    if row is None:
        return emptied(write)
    names = row if write.op == "delete" else write.columns
    columns = {name: row[name] for name in names if name in row}
    version = 0 if line is None else line.version
    return msgspec.structs.replace(write, columns=columns, op="upsert", version=version, undo=False)


def _save_lines(connection: Connection, lines: Mapping[Identity, Line]) -> None:
    if not lines:
        return
    rows = [
        {"entity": entity, "source": source, **msgspec.structs.asdict(line)}
        for (entity, source), line in sorted(lines.items())
    ]
    saved = connection.execute(statements.SAVE_LINES, (msgspec.json.encode(rows).decode(),)).rowcount
    if saved != len(lines):
        raise Unavailable("another process is writing the same rows; it should stop, or this one")


def _change_rows(connection: Connection, changes: Mapping[Place, RowChange]) -> None:
    removed: defaultdict[str, list[str]] = defaultdict(list)
    upserted: defaultdict[tuple[str, tuple[str, ...]], list[dict[str, Value]]] = defaultdict(list)
    for (table, key), change in sorted(changes.items(), key=lambda item: item[0]):  # one order for all: no deadlocks
        if change.remove:
            removed[table].append(key)
        if change.columns is not None:
            upserted[table, tuple(sorted(change.columns))].append({"key": key, **change.columns})
    for table, keys in removed.items():
        connection.execute(statements.delete(table), (keys,))
    for (table, columns), rows in upserted.items():
        connection.execute(statements.upsert(table, columns), (msgspec.json.encode(rows).decode(),))
