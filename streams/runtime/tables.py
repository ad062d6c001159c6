# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeStubs=false
"""State tables: Faust tables in RocksDB with a changelog, written a batch at a time.

Every key carries the source offset (by source topic) that last changed it, in the store and in the changelog. A
record at or below that offset is a replay: the state has its effect already and must not take it twice. Together with
the order of a commit (outputs, then changelog, then store, then source offset) this gives exactly-once state without
Kafka transactions, whatever is killed when.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar, cast, overload

import faust
import msgspec

from streams.runtime.entries import Changes, Entry, encode
from streams.runtime.partition_store import DAY_MS, RESERVED, PartitionStore, now_ms
from streams.runtime.records import Record
from streams.runtime.state_memory import StateMemory
from streams.runtime.store import OnRestored, StateStore

V = TypeVar("V")

Key = str | bytes  # a text is the bytes of its UTF-8


class _FaustTable(faust.Table[bytes, bytes]):
    """A Faust table of raw bytes on our store, so that Faust assigns, restores and closes it as any other."""

    def __init__(self, app: faust.App, name: str, make_store: Callable[["_FaustTable"], StateStore]) -> None:
        # A run of records is applied as soon as Faust has two; at 1 it would go on to read the changelog for ever.
        sizes: dict[str, Any] = (
            {"recovery_buffer_size": 2, "standby_buffer_size": 1} if hasattr(app, "run_changelogs") else {}
        )
        super().__init__(app, name=name, key_type=bytes, value_type=bytes, **sizes)
        self._make_store = make_store

    def _new_store(self) -> StateStore:
        return self._make_store(self)


class StateTable(Generic[V]):
    """A table by key, partitioned like the topics that feed it.

    Args:
        app: the Faust app.
        name: of the table.
        value_type: a msgspec type. None is no value: to put it is to delete.
        changelog: name of the changelog topic.
        ttl_seconds: entries are gone when they were not written for so long, by the wall clock. They leave the disk
            within about one more TTL.
        deleted_seconds: how long a deleted key is safe from being brought back by an older record.
        memory: what the tables of a process share; without one the table has memory of its own.
        reuses: values that were put are given to the next that reads them, as long as nobody else writes: for large
            values that change often. Whoever has put one must not look at it once others may have their turn.
        clock: wall clock in ms.
    """

    def __init__(
        self,
        app: faust.App,
        name: str,
        value_type: type[V],
        *,
        changelog: str,
        ttl_seconds: int | None = None,
        deleted_seconds: int = DAY_MS // 1_000,
        memory: StateMemory | None = None,
        reuses: bool = False,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.name = name
        self.changelog = changelog
        self.clock = clock
        self.reuses = reuses
        self.ttl_ms = None if ttl_seconds is None else ttl_seconds * 1_000
        self.decode: Callable[[bytes], Entry[V]] = msgspec.msgpack.Decoder(Entry[value_type]).decode
        memory = memory or StateMemory()

        def make_store(table: _FaustTable) -> StateStore:
            return StateStore(
                app,
                table,
                memory=memory,
                ttl_seconds=ttl_seconds,
                deleted_ms=deleted_seconds * 1_000,
                clock=clock,
                table_name=name,
                key_type=bytes,
                value_type=bytes,
                key_serializer="raw",
                value_serializer="raw",
            )

        runs = cast(Any, app)
        if hasattr(runs, "run_changelogs"):
            runs.run_changelogs |= {changelog}
        self._table = _FaustTable(app, name, make_store)
        raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw"}
        self._table.changelog_topic = app.topic(
            changelog, **raw, acks=False, internal=False, allow_empty=True, maxsize=131_072
        )
        app.tables.add(self._table)

    @property
    def store(self) -> StateStore:
        """The databases below."""
        return cast(StateStore, self._table.data)

    def on_restored(self, tell: OnRestored) -> None:
        """Have `tell` called with (partition, records, offset of the last) when changelog records were applied."""
        self.store.on_restored.append(tell)

    def view(self, partition: int) -> "TableView[V]":
        """Return a view of a partition; agents get theirs from a transaction."""
        return TableView(self, self.store.partition(partition))


class TableView(Generic[V]):
    """One partition of a table inside a transaction: reads see what was written before in the same transaction.

    A value that is changed in place must be put.
    """

    def __init__(self, table: StateTable[V], store: PartitionStore) -> None:
        self._store = store
        self._decode = table.decode
        self._decoded = store.decoded if table.reuses else None
        self._now_ms = table.clock()
        self._expires = table.ttl_ms is not None
        self._expired_ms = -1 if table.ttl_ms is None else self._now_ms - table.ttl_ms
        self._entries: dict[bytes, Entry[V]] = {}
        self._changed: dict[bytes, Entry[V]] = {}

    def get(self, key: Key) -> V | None:
        """Return the value of a key."""
        if isinstance(key, str):
            key = key.encode()
        return (self._entries.get(key) or self._load(key)).value

    def position(self, key: Key, topic: str) -> int:
        """Return the offset of the record of `topic` that last changed this key; -1 when none did.

        A deleted key has a position, too.
        """
        if isinstance(key, str):
            key = key.encode()
        return (self._entries.get(key) or self._load(key)).positions.get(topic, -1)

    def update(self, key: Key, record: Record, change: Callable[[V | None], V | None]) -> V | None:
        """Set a value to `change(value)`, as the effect of a record, unless it has that effect already.

        This is exactly-once state in one line: for a record at or below the key's position, which is a replay, `change`
        is not called.

        Args:
            key: what to change.
            record: of which this is the effect.
            change: gets the value, or None when there is none; returns the new one, or None to delete the key.

        Returns:
            The value of the key now.
        """
        if isinstance(key, str):
            key = key.encode()
        entry = self._entries.get(key) or self._load(key)
        offset = record.offset
        positions = entry.positions
        if offset > positions.get(record.topic, -1):
            entry.value = change(entry.value)
            positions[record.topic] = offset
            self._changed[key] = entry
        return entry.value

    def put(self, key: Key, value: V | None, record: Record | None = None) -> None:
        """Set a value, as the effect of a record, whatever the position of the key is.

        Without a record (at a timer, say) the position stays what it is.
        """
        if isinstance(key, str):
            key = key.encode()
        entry = self._entries.get(key) or self._load(key)
        entry.value = value
        if record is not None and record.offset > entry.positions.get(record.topic, -1):
            entry.positions[record.topic] = record.offset
        self._changed[key] = entry

    def delete(self, key: Key, record: Record | None = None) -> None:
        """Remove a key, as the effect of a record; without one (at a timer, say) its position stays what it is."""
        if record is not None:
            self.put(key, None, record)
            return
        if isinstance(key, str):
            key = key.encode()
        entry = self._entries.get(key) or self._load(key)
        if entry.value is not None:
            entry.value = None
            self._changed[key] = entry

    def prefetch(self, keys: Iterable[Key]) -> None:
        """Read keys at once, which takes a third of the time when most of them are new; for a batch's keys, say."""
        encoded = {key.encode() if isinstance(key, str) else key for key in keys}
        wanted = list(encoded.difference(self._entries))
        for key, raw in zip(wanted, self._store.get_many(wanted), strict=True):
            self._entries[key] = self._read(key, raw)

    @overload
    def starting_with(self, prefix: str) -> Iterator[tuple[str, V]]: ...
    @overload
    def starting_with(self, prefix: bytes) -> Iterator[tuple[bytes, V]]: ...
    def starting_with(self, prefix: Key) -> Iterator[tuple[Key, V]]:
        """Yield the keys that begin with a prefix, in their order and of its type, and their values."""
        if isinstance(prefix, bytes):
            yield from self.between(prefix, _end_of(prefix))
            return
        first = prefix.encode()
        for key, value in self.between(first, _end_of(first)):
            yield key.decode(), value

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, V]]:
        """Yield the keys from `first` to before `end`, in their order, and their values."""
        found = {key for key in self._changed if first <= key < end}
        for key, raw in self._store.between(first, end):
            found.add(key)
            if key not in self._entries:
                self._entries[key] = self._read(key, raw)
        for key in sorted(found):
            value = self._entries[key].value
            if value is not None:
                yield key, value

    def changes(self) -> Changes:
        """Return what is to be committed: the last value of every key that changed, in the order of first changes."""
        changes = Changes([], [])
        for key, entry in self._changed.items():
            if entry.value is None:
                entry.written_ms = self._now_ms
                changes.deletes.append((key, encode(entry), self._now_ms))
            else:
                entry.written_ms = self._now_ms if self._expires else 0
                changes.puts.append((key, encode(entry)))
        return changes

    def stage(self, changes: Changes) -> Callable[[], None]:
        """Have views that are made from now on see changes that are not durable yet, until what is returned is called.

        Called once they were written, or when they never will be.
        """
        staged = self._store.staged
        return partial(staged.drop, staged.add(changes))

    def write(self, changes: Changes, *, reached: int) -> None:
        """Apply changes that are in the changelog up to the offset `reached`."""
        self._store.write(changes, reached=reached)
        if self._decoded is not None:
            for key, raw in changes.puts:
                self._decoded.keep(key, raw, self._changed[key])

    def _load(self, key: bytes) -> Entry[V]:
        entry = self._entries[key] = self._read(key, self._store.get(key))
        return entry

    def _read(self, key: bytes, raw: bytes | None) -> Entry[V]:
        if raw is not None:
            known = None if self._decoded is None else self._decoded.take(key, raw)
            entry = self._decode(raw) if known is None else known
            if entry.written_ms >= self._expired_ms:
                return entry
        return Entry({})


def _end_of(prefix: bytes) -> bytes:
    """Return the first key after all that begin with a prefix."""
    stem = prefix.rstrip(b"\xff")
    return min(RESERVED, stem[:-1] + bytes([stem[-1] + 1])) if stem else RESERVED
