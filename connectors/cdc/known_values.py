"""The last known large values of rows, to fill in what an update left alone and the WAL therefore does not hold.

A value outside of the row (TOAST) that an update does not touch is not in the stream. What the snapshot or an earlier
change showed of it is still right, unless something changes values without a change in the stream: a rewrite of the
table, or a time outside of the publication. After both the server describes the table again, and what was known is
forgotten unless the catalogue proves that nothing happened. See docs/decisions/0011-unchanged-large-values.md.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from psycopg import Connection

from connectors.cdc.connect import translated
from connectors.cdc.copy_text import parse_row
from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Tuple, Update, Value
from connectors.cdc.tables import Table

LIMIT_BYTES = 64 << 20
# Postgres moves nothing out of a row of less than some 2,000 bytes; as text, numbers may be shorter than that.
LARGE_MESSAGE = 1_000
LARGE_VALUES = 500
_OVERHEAD = 300  # bytes that Python takes for an entry

# Whatever rewrites the table, describes it anew or changes what is published of it changes one of these.
_SHAPE = b"""
SELECT concat_ws(' ', c.xmin, c.relfilenode,
    (SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid),
    (SELECT p.xmin FROM pg_publication p WHERE p.pubname = %(publication)s),
    (SELECT string_agg(r.xmin::text, ',' ORDER BY r.oid) FROM pg_publication_rel r WHERE r.prrelid = c.oid))
FROM pg_class c WHERE c.oid = %(oid)s AND c.relkind = 'r'
"""


class KnownValues:
    """Large values by topic, key and column, those that were not used for the longest time dropped first.

    Columns are known by their names: a publication may leave some out that a snapshot reads, and then a column has not
    the same place in both.

    Args:
        limit: bytes to keep; 0 to know nothing.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._rows: OrderedDict[tuple[str, bytes], Mapping[str, bytes | None]] = OrderedDict()
        self._shapes: dict[str, str | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def wants(self, table: Table) -> bool:
        """Whether rows of a table may have values that can be filled in."""
        return self._limit > 0 and bool(table.key) and bool(table.large)

    def learn(self, table: Table, values: Tuple) -> None:
        """Note a whole row, as of now."""
        if self.wants(table) and (key := table.key_of_values(values)) is not None:
            self._keep(table, key, values)

    def learn_lines(self, table: Table, lines: Sequence[bytes]) -> None:
        """Note rows as COPY prints them."""
        if self.wants(table):
            for line in lines:
                if len(line) >= LARGE_MESSAGE:
                    self.learn(table, parse_row(line))

    @overload
    def seen(self, table: Table, change: Insert) -> Insert: ...
    @overload
    def seen(self, table: Table, change: Update) -> Update: ...
    @overload
    def seen(self, table: Table, change: Delete) -> Delete: ...
    def seen(self, table: Table, change: Insert | Update | Delete) -> Insert | Update | Delete:
        """Note a change, and return it with the values that it leaves out as far as they are known."""
        if not self.wants(table):
            return change
        if isinstance(change, Insert):
            self.learn(table, change.new)
            return change
        if isinstance(change, Delete):
            self.forget(table.topic, table.key_of_values(change.old))
            return change
        return self._updated(table, change)

    def forget(self, topic: str, key: bytes | None) -> None:
        """Forget a row: it is gone, or has become so small that nothing of it is left out."""
        if key is not None and (row := self._rows.pop((topic, key), None)) is not None:
            self._size -= _size_of(row)

    def forget_table(self, topic: str) -> None:
        """Forget all rows of a table."""
        for name, key in [entry for entry in self._rows if entry[0] == topic]:
            self.forget(name, key)

    def begin(self, topic: str, shape: str | None) -> None:
        """Note what a table is like, before its rows are read and before the stream begins."""
        self._shapes[topic] = shape

    def described(self, topic: str, shape: str | None) -> None:
        """Forget what a new description of a table may have made wrong: all, unless nothing changed since `begin`.

        Without `begin` there is no telling: the stream may be behind what the catalogue shows now.
        """
        expected = self._shapes.get(topic)
        if expected is None or shape != expected:
            self._shapes.pop(topic, None)
            self.forget_table(topic)

    def _updated(self, table: Table, change: Update) -> Update:
        old_key = table.key_of_values(change.new if change.old is None else change.old)
        known: Mapping[str, bytes | None] = {}
        if old_key is not None:
            known = self._rows.get((table.topic, old_key), known)
        new: Tuple = change.new
        if UNCHANGED in new and len(new) == len(table.columns):
            new = list(_filled(table, new, change.old if change.old_is_full else None, known))
            change = Update(change.relation, change.old, change.old_is_full, new)
        self.forget(table.topic, old_key)
        self.learn(table, new)
        return change

    def _keep(self, table: Table, key: bytes, values: Tuple) -> None:
        self.forget(table.topic, key)
        row = {table.columns[place].name: value for place in table.large if (value := values[place]) is not UNCHANGED}
        if _size_of(row) < LARGE_VALUES + _OVERHEAD:
            return
        self._rows[table.topic, key] = row
        self._size += _size_of(row)
        while self._size > self._limit:
            self.forget(*next(iter(self._rows)))


def read_shape(connection: Connection, oid: int, publication: str) -> str | None:
    """Return what changes with everything that changes values without a change in the stream; None for partitions.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading the catalogue"):
        row = connection.execute(_SHAPE, {"oid": oid, "publication": publication}).fetchone()
    return None if row is None else row[0]


def _filled(table: Table, new: Tuple, old: Tuple | None, known: Mapping[str, bytes | None]) -> Iterator[Value]:
    for place, value in enumerate(new):
        if value is not UNCHANGED:
            yield value
        elif old is not None and place < len(old):
            yield old[place]
        else:
            yield known.get(table.columns[place].name, UNCHANGED)


def _size_of(row: Mapping[str, bytes | None]) -> int:
    return _OVERHEAD + sum(len(value) for value in row.values() if value is not None)
