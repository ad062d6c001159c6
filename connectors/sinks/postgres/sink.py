"""Write relational facts."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import msgspec

from connectors.sinks.contract import Held, Limits, Outcome
from connectors.sinks.errors import SinkError, Unavailable
from connectors.sinks.persons import NO_LINE, Purge, delete_of
from connectors.sinks.postgres import statements
from connectors.sinks.postgres.batch import Batch, read_lines, try_statements
from connectors.sinks.postgres.connection import REQUEST_SECONDS, Connection, connect
from connectors.sinks.postgres.errors import interpreted
from connectors.sinks.postgres.merge import Line, Value
from connectors.sinks.postgres.plan import Place
from connectors.sinks.postgres.schema import prepare
from connectors.sinks.postgres.values import Unfit, checked
from connectors.sinks.undo import emptied
from schemas.entities import entity
from schemas.writes import RelationalTable, RelationalWrite

_PAGE = 500  # entities of a walk that are asked for at once


class RelationalSink:
    """Rows of PostgreSQL, in the schema `travelos`; how writes of parts of a row combine is said in `merge`.

    A batch is one transaction, or several when the server refuses one of its writes; see `batch`. The versions are
    compared and set, so a second writer of the same rows makes a batch fail as unavailable, and never overwrites
    anything.

    Args:
        dsn: the database.
        request_seconds: longest wait for an answer.
    """

    # Of two sinks one makes rows while the other waits for the server.
    limits = Limits(max_records=2_000, requests=2)

    def __init__(self, dsn: str, request_seconds: float = REQUEST_SECONDS) -> None:
        self._dsn = dsn
        self._request_seconds = request_seconds
        self._connection: Connection | None = None

    def open(self) -> None:
        """Connect, migrate the schema, and try every statement on no rows.

        Raises:
            Unavailable: the server does not answer.
            Fatal: address, login, permissions or the tables' types are wrong, or the schema is of a newer release;
                names the option.
        """
        self.close()
        connection = self._connection = connect(self._dsn, self._request_seconds)
        try:
            with interpreted():
                prepare(connection)
                try_statements(connection)
        except SinkError:
            self.close()
            raise

    def write(self, batch: Sequence[RelationalWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        with self._connected() as connection:
            return Batch(connection).apply(batch)

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the tables hold; `copies` is 0 for what was deleted."""
        wanted = ([entity for entity, _ in entities], [source for _, source in entities])
        with self._transaction() as connection:
            rows = msgspec.convert(
                connection.execute(statements.HELD, wanted).fetchall(), list[tuple[str, str, int, bool, int]]
            )
        return {
            (entity, source): Held(version=version, deleted=deleted, copies=copies)
            for entity, source, version, deleted, copies in rows
        }

    def before(self, writes: Sequence[RelationalWrite]) -> list[RelationalWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`. Columns not named are left out."""
        fitting: dict[int, RelationalWrite] = {}
        for index, write in enumerate(writes):
            with suppress(Unfit):
                fitting[index] = checked(write)
        with self._transaction() as connection:
            lines = read_lines(connection, {write.entity for write in fitting.values()})
            rows = _read_rows(connection, {(write.table, write.key) for write in fitting.values()})
        return [
            _undoing(write, lines.get((write.entity, write.source)), rows.get((write.table, write.key)))
            if index in fitting
            else None
            for index, write in enumerate(writes)
        ]

    def of_user(self, user: str) -> list[RelationalWrite]:
        """Return the rows of a person; see `connectors.sinks.persons.Attributing`."""
        with self._transaction() as connection:
            rows = msgspec.convert(
                connection.execute(statements.OF_USER, {"user": user}).fetchall(),
                list[tuple[RelationalTable, str, str, str, int]],
            )
        return [
            delete_of(RelationalWrite, entity, source, version, table=table, key=key)
            for table, key, entity, source, version in rows
        ]

    def purge(self) -> Purge:
        """Rewrite the tables without what was deleted; see `connectors.sinks.persons.Purging`. Locks each meanwhile."""
        connection = connect(self._dsn, self._request_seconds)
        try:
            connection.autocommit = True
            connection.request_seconds = None  # a large table takes its time
            with interpreted():
                for statement in statements.VACUUM:
                    connection.execute(statement)
        finally:
            connection.close()
        return Purge(
            forced="VACUUM FULL",
            keeps="the write-ahead log, until the server overwrites its segments; standbys' and archived ones as long "
            "as they are kept",
        )

    def walk(self) -> Iterator[RelationalWrite]:
        """Yield what the tables hold; see `connectors.sinks.contract.Walking`.

        A row that was not written through a sink has no entity: see `stray`.
        """
        last = ""
        while True:
            with self._transaction() as connection:
                rows = connection.execute(statements.WALK, (last, _PAGE)).fetchall()
            if not rows:
                break
            for name, source, version, table, key in msgspec.convert(rows, list[tuple[str, str, int, str, str]]):
                yield delete_of(RelationalWrite, name, source, version, table=table, key=key)
                last = name
        with self._transaction() as connection:
            strays = connection.execute(statements.STRAY).fetchall()
        for table, key in msgspec.convert(strays, list[tuple[RelationalTable, str]]):
            yield stray(table, key)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        with self._connected() as connection, connection.transaction():
            yield connection

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        if self._connection is None or self._connection.closed:
            self.open()
        assert self._connection is not None
        try:
            with interpreted():
                yield self._connection
        except Unavailable:
            self.close()  # whatever state it is in; the next attempt connects anew
            raise


def stray(table: RelationalTable, key: str) -> RelationalWrite:
    """Return the delete of a row that was not written through a sink, by the name that a write of it would have."""
    return delete_of(RelationalWrite, entity(table, key), NO_LINE, 0, table=table, key=key)


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
