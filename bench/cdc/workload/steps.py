"""The workload itself: interleaved transactions of some sessions, decided by a seed alone."""

from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct

from bench.cdc.workload.mix import Mix
from bench.cdc.workload.tables import CHANGING, TABLES, Table, identifier
from bench.cdc.workload.values import literal, quoted, text

SESSIONS = 3
LARGE_ROWS = 5_000
USUAL = Mix()
_PLAIN_DEFAULTS = {"text": ["abc", "x y", "7"], "timestamptz": ["2026-01-02 03:04:05+02", "1999-12-31 23:59:59.5+00"]}
TYPES_OF_NEW_COLUMNS = ("text", "bigint", "jsonb", "timestamptz", "integer[]")


def _default(draw: Random, type_name: str) -> str:
    """Return a default of a type as SQL that Debezium can read; those that it cannot are those of one table."""
    plain = _PLAIN_DEFAULTS.get(type_name)
    return literal(draw, type_name) if plain is None else quoted(draw.choice(plain))


class Step(Struct, frozen=True):
    """One statement of one session. It never waits for a lock of another session."""

    session: int
    sql: str


class Settle(Struct, frozen=True):
    """No transaction is open; whoever reads the changes may be waited for before the steps go on."""


class Workload:
    """Random statements on the tables.

    Each session has rows of its own, so that none waits for another one although all are driven by one thread. What
    locks whole tables (TRUNCATE, ALTER) comes when no transaction is open.

    Args:
        seed: decides everything.
        tables: to work on, see `prepare`.
        alter: whether columns come, go and change.
        truncate: whether tables are emptied at once, of which events tell only when they are asked to.
        large_rows: of a large transaction.
        messages: whether logical messages are written, in transactions and aside.
        settle: whether readers may catch up before and after columns change.
        mix: how often what is done.
    """

    def __init__(
        self,
        seed: int,
        tables: Sequence[Table] = TABLES,
        *,
        alter: bool = True,
        truncate: bool = True,
        large_rows: int = LARGE_ROWS,
        messages: bool = False,
        settle: bool = True,
        mix: Mix = USUAL,
    ) -> None:
        self._draw = Random(seed)
        self._tables = tables
        self._truncate = truncate
        self._large_rows = large_rows
        self._messages = messages
        self._settle = settle
        self._mix = mix
        self._alter = alter and CHANGING in tables
        self._extra: dict[str, str] = {}  # columns that were added to CHANGING, with their types
        self._columns = 0
        self._last = [0] * SESSIONS

    def steps(self, statements: int) -> Iterator[Step | Settle]:
        """Yield steps with about so many statements in them, transaction control not counted."""
        done = 0
        while done < statements:
            for _ in range(self._draw.randint(3, 8)):
                for step in self._concurrent():
                    done += 1
                    yield step
            yield from self._alone()
            done += 2

    def _concurrent(self) -> Iterator[Step]:
        """Yield some transactions side by side."""
        open_ones = [self._transaction(session) for session in range(SESSIONS)]
        while open_ones:
            one = self._draw.choice(open_ones)
            step = next(one, None)
            if step is None:
                open_ones.remove(one)
            else:
                yield step

    def _transaction(self, session: int) -> Iterator[Step]:
        draw = self._draw
        yield Step(session, "BEGIN")
        for _ in range(draw.randint(1, self._mix.statements)):
            yield Step(session, self.statement(session))
            if draw.random() < self._mix.savepoint:
                yield from self._savepoint(session, 1)
        yield Step(session, "ROLLBACK" if draw.random() < self._mix.rollback else "COMMIT")

    def _savepoint(self, session: int, depth: int) -> Iterator[Step]:
        draw = self._draw
        yield Step(session, f"SAVEPOINT s{depth}")
        for _ in range(draw.randint(1, 3)):
            yield Step(session, self.statement(session))
            if depth < 3 and draw.random() < self._mix.savepoint:
                yield from self._savepoint(session, depth + 1)
        end = "ROLLBACK TO" if draw.random() < 0.5 else "RELEASE"
        yield Step(session, f"{end} SAVEPOINT s{depth}")

    def _alone(self) -> Iterator[Step | Settle]:
        """Yield what nothing else may run beside of."""
        kind = self._draw.random()
        if kind < 0.15 and self._truncate:
            yield Step(0, f"TRUNCATE {self._draw.choice(self._tables).sql}")
        elif kind < 0.4:
            yield from self._large()
        elif self._alter:
            if self._settle:
                yield Settle()
            yield Step(0, self._altered())
            if self._settle:
                yield Settle()

    def _large(self) -> Iterator[Step]:
        """Yield one transaction of many rows, more than `logical_decoding_work_mem` holds when that is small."""
        table, session = self._draw.choice(self._tables), 0
        first = self._fresh(session)
        self._last[session] += self._large_rows
        key = identifier(table.key)
        rows = f"generate_series({first}, {first + (self._large_rows - 1) * SESSIONS}, {SESSIONS}) g"
        yield Step(session, "BEGIN")
        yield Step(session, f"INSERT INTO {table.sql} ({key}) SELECT g FROM {rows}")
        yield Step(session, "SAVEPOINT s1")
        yield Step(session, f"INSERT INTO {table.sql} ({key}) SELECT g + 1000000000 FROM {rows}")
        yield Step(session, "ROLLBACK TO SAVEPOINT s1")
        if table.may_change:
            yield Step(session, f"DELETE FROM {table.sql} WHERE {key} >= {first} AND {key} % {SESSIONS} = {session}")
        yield Step(session, "COMMIT")

    def statement(self, session: int) -> str:
        """Return one change of one table, of rows of a session."""
        draw = self._draw
        if self._messages and draw.random() < 0.1:
            inside = draw.choice(["true", "false"])
            return f"SELECT pg_logical_emit_message({inside}, 'note', {quoted(text(draw))})"
        table = draw.choice(self._tables)
        mix, kind = self._mix, draw.random()
        if kind < mix.insert or not table.may_change:
            return self._insert(table, session)
        key, row = identifier(table.key), self._row(session)
        where = f"WHERE {key} = {row}"
        kind -= mix.insert
        if kind < mix.update:
            return f"UPDATE {table.sql} SET {self._changed(table)} {where}"
        kind -= mix.update
        if kind < mix.rekey:
            other = self._row(session)
            taken = f"SELECT FROM {table.sql} WHERE {key} = {other}"
            return f"UPDATE {table.sql} SET {key} = {other} {where} AND NOT EXISTS ({taken})"
        if kind >= mix.rekey + mix.delete:
            where = f"WHERE {key} % {SESSIONS} = {session} AND {key} >= {row}"
            if draw.random() < 0.7:
                return f"UPDATE {table.sql} SET {self._changed(table)} {where}"
        return f"DELETE FROM {table.sql} {where}"

    def _changed(self, table: Table) -> str:
        """Return new values for few columns, so that large values of others stay where they are."""
        names = self._names(table)
        changed = self._draw.sample(names, k=min(len(names), self._draw.randint(1, 3)))
        return ", ".join(f"{identifier(name)} = {self._value(table, name)}" for name in changed)

    def _insert(self, table: Table, session: int) -> str:
        names = self._names(table)
        unique = "UNIQUE" in table.constraints or "PRIMARY KEY" in table.constraints
        row = self._row(session) if table.may_change else self._fresh(session)
        columns = ", ".join([identifier(table.key), *map(identifier, names)])
        values = ", ".join([str(row), *(self._value(table, name) for name in names)])
        rest = f" ON CONFLICT ({identifier(table.key)}) DO NOTHING" if unique else ""
        return f"INSERT INTO {table.sql} ({columns}) VALUES ({values}){rest}"

    def _altered(self) -> str:
        """Return one change of the columns of the table that changes."""
        draw, table = self._draw, CHANGING.sql
        kind = draw.choice(["add", "add", "drop", "rename", "retype", "default"])
        if kind == "add" or not self._extra:
            name, type_name = self._new_name(), draw.choice(TYPES_OF_NEW_COLUMNS)
            self._extra[name] = type_name
            default = f" DEFAULT {_default(draw, type_name)}" if draw.random() < 0.5 else ""
            return f"ALTER TABLE {table} ADD COLUMN {name} {type_name}{default}"
        name = draw.choice(list(self._extra))
        if kind == "drop":
            del self._extra[name]
            return f"ALTER TABLE {table} DROP COLUMN {name}"
        if kind == "default":
            change = draw.choice([f"SET DEFAULT {_default(draw, self._extra[name])}", "DROP DEFAULT"])
            return f"ALTER TABLE {table} ALTER COLUMN {name} {change}"
        if kind == "rename":
            fresh = self._new_name()
            self._extra[fresh] = self._extra.pop(name)
            return f"ALTER TABLE {table} RENAME COLUMN {name} TO {fresh}"
        self._extra[name] = "text"
        return f"ALTER TABLE {table} ALTER COLUMN {name} TYPE text USING {name}::text"

    def _names(self, table: Table) -> list[str]:
        return [*table.columns, *(self._extra if table is CHANGING else ())]

    def _value(self, table: Table, name: str) -> str:
        added = self._extra.get(name) if table is CHANGING else None
        return table.value(self._draw, name) if added is None else literal(self._draw, added)

    def _new_name(self) -> str:
        self._columns += 1
        return f"extra_{self._columns}"

    def _row(self, session: int) -> int:
        return self._draw.randrange(self._mix.rows) * SESSIONS + session

    def _fresh(self, session: int) -> int:
        self._last[session] += 1
        return (self._mix.rows + self._last[session]) * SESSIONS + session
