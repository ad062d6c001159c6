# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false
"""State tables: Faust tables in RocksDB with a changelog, written a batch at a time.

Every value carries the source offset (by source topic) that last changed it, in the store and in the changelog. A
record at or below that offset is a replay: the state has its effect already and must not take it twice. Together with
the order of a commit (outputs, then changelog, then store, then source offset) this gives exactly-once state without
Kafka transactions, whatever is killed when.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import faust
import msgspec
import rocksdict
from faust.stores.rocksdb import Store as RocksStore
from faust.types import TP
from yarl import URL

from streams.runtime.publisher import Outgoing, Publisher
from streams.runtime.records import Record

V = TypeVar("V")

# One RocksDB for each table and partition: Faust's defaults (3 x 64 MB of write buffers, a 2 GB cache) are per database
# and would add up to more than the machine has.
ROCKSDB_OPTIONS: Mapping[str, int] = {
    "write_buffer_size": 8 * 1024 * 1024,
    "max_write_buffer_number": 2,
    "block_cache_size": 16 * 1024 * 1024,
    "max_open_files": 256,
}


class Entry(msgspec.Struct, Generic[V], array_like=True, frozen=True):
    """A value as it lies in the store and in the changelog (MessagePack)."""

    positions: dict[str, int]  # source topic -> offset of the record that changed the value last
    value: V


_positions = msgspec.msgpack.Decoder(Entry[msgspec.Raw])


class _Store(RocksStore):
    """Faust's RocksDB store; restoring keeps, per key, the value with the highest source offsets."""

    def apply_changelog_batch(
        self,
        batch: Iterable[Any],
        to_key: Callable[[Any], Any],  # noqa: ARG002 - keys and values are bytes, there is nothing to decode
        to_value: Callable[[Any], Any],  # noqa: ARG002
    ) -> None:
        """Apply changelog events while restoring; called by Faust."""
        newest: dict[int, dict[bytes, bytes | None]] = {}
        offsets: dict[TP, int] = {}
        for event in batch:
            message = event.message
            changes = newest.setdefault(message.partition, {})
            known = changes[message.key] if message.key in changes else self.raw(message.partition, message.key)
            if supersedes(message.value, known):
                changes[message.key] = message.value
            offsets[message.tp] = max(message.offset, offsets.get(message.tp, -1))
        for tp, offset in offsets.items():
            self.write(tp.partition, newest.get(tp.partition, {}), changelog_offset=offset)

    def write(self, partition: int, changes: Mapping[bytes, bytes | None], *, changelog_offset: int) -> None:
        """Apply changes and the changelog offset they reach to, in one atomic write."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.offset_key, str(changelog_offset).encode())
        self._db_for_partition(partition).write(batch)

    def raw(self, partition: int, key: bytes) -> bytes | None:
        """Return the encoded entry of a key."""
        value = self._db_for_partition(partition).get(key)
        return cast("bytes | None", value)

    def starting_with(self, partition: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the keys of a partition that begin with a prefix, and their values, in the order of keys."""
        found = cast("Iterator[tuple[bytes, bytes]]", self._db_for_partition(partition).items(from_key=prefix))
        for key, value in found:
            if not key.startswith(prefix):
                return
            if key != self.offset_key:
                yield key, value


def supersedes(new: bytes | None, known: bytes | None) -> bool:
    """Whether a changelog record replaces what is known.

    A worker that lost its partition without knowing may still write to the changelog, after its successor did. Its
    records carry lower source offsets, and lose.
    """
    if new is None or known is None:
        return True
    ours, theirs = _positions.decode(new).positions, _positions.decode(known).positions
    return all(offset >= theirs.get(topic, -1) for topic, offset in ours.items())


class _FaustTable(faust.Table[bytes, bytes]):
    """A Faust table of raw bytes on our store, so that Faust assigns, restores and closes it as any other."""

    def _new_store(self) -> _Store:
        return _Store(
            URL("rocksdb:"),
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_serializer=self.value_serializer,
            value_type=self.value_type,
            loop=self.loop,
            options=dict(self.options or {}),
        )


class StateTable(Generic[V]):
    """A table by key, partitioned like the topics that feed it.

    Args:
        app: the Faust app.
        name: of the table.
        value_type: a msgspec type.
        changelog: name of the changelog topic.
        ttl_seconds: entries not written for so long may vanish (RocksDB drops them when it compacts).
    """

    def __init__(
        self, app: faust.App, name: str, value_type: type[V], *, changelog: str, ttl_seconds: int | None = None
    ) -> None:
        self.name = name
        self.changelog = changelog
        self._decoder: msgspec.msgpack.Decoder[Entry[V]] = msgspec.msgpack.Decoder(Entry[value_type])
        options = dict(ROCKSDB_OPTIONS) | ({"ttl": ttl_seconds} if ttl_seconds else {})
        self._table = _FaustTable(app, name=name, options=options, key_type=bytes, value_type=bytes)
        raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw"}
        self._table.changelog_topic = app.topic(
            changelog, **raw, acks=False, internal=False, allow_empty=True, maxsize=131_072
        )
        app.tables.add(self._table)

    @property
    def store(self) -> _Store:
        """The store below."""
        return cast(_Store, self._table.data)

    def decode(self, raw: bytes) -> Entry[V]:
        """Read an entry."""
        return self._decoder.decode(raw)


class TableView(Generic[V]):
    """One partition of a table inside a transaction: reads see what was written before in the same transaction."""

    def __init__(self, table: StateTable[V], partition: int) -> None:
        self._table = table
        self._partition = partition
        self._read: dict[str, Entry[V] | None] = {}
        self._changed: dict[str, None] = {}

    def _entry(self, key: str) -> Entry[V] | None:
        if key not in self._read:
            raw = self._table.store.raw(self._partition, key.encode())
            self._read[key] = None if raw is None else self._table.decode(raw)
        return self._read[key]

    def get(self, key: str) -> V | None:
        """Return the value of a key."""
        entry = self._entry(key)
        return None if entry is None else entry.value

    def starting_with(self, prefix: str) -> Iterator[tuple[str, V]]:
        """Yield every key that begins with a prefix, and its value: what is stored and what was put here since."""
        stored = [key.decode() for key, _ in self._table.store.starting_with(self._partition, prefix.encode())]
        added = [key for key in self._changed if key.startswith(prefix)]
        for key in dict.fromkeys((*stored, *added)):
            entry = self._entry(key)
            if entry is not None:
                yield key, entry.value

    def position(self, key: str, topic: str) -> int:
        """Return the offset of the record of `topic` that last changed this key; -1 when none did."""
        entry = self._entry(key)
        return -1 if entry is None else entry.positions.get(topic, -1)

    def put(self, key: str, value: V, record: Record) -> None:
        """Set a value, as the effect of a record."""
        entry = self._entry(key)
        positions = {} if entry is None else dict(entry.positions)
        positions[record.topic] = max(record.offset, positions.get(record.topic, -1))
        self._read[key] = Entry(positions, value)
        self._changed[key] = None

    def delete(self, key: str) -> None:
        """Remove a key."""
        self._read[key] = None
        self._changed[key] = None

    def changes(self) -> dict[bytes, bytes | None]:
        """Return the last value of every key that changed, encoded; None for a removed one."""
        encode = msgspec.msgpack.encode
        found = {key: self._read[key] for key in self._changed}
        return {key.encode(): None if entry is None else encode(entry) for key, entry in found.items()}


class Transaction:
    """The changes that one batch of records makes to the tables of one partition: all, or none that anyone sees."""

    def __init__(self, partition: int, publisher: Publisher) -> None:
        self.partition = partition
        self._publisher = publisher
        self._views: dict[str, tuple[StateTable[Any], TableView[Any]]] = {}

    def view(self, table: StateTable[V]) -> TableView[V]:
        """Return this transaction's view of a table."""
        if table.name not in self._views:
            self._views[table.name] = (table, TableView(table, self.partition))
        return self._views[table.name][1]

    async def commit(self) -> None:
        """Make the changes durable: in the changelog first, then in the store.

        Called once the batch's outputs are acknowledged. In that order a crash leaves state that is behind what was
        sent out, never ahead of it: the replay computes the same outputs again from the same state.

        Raises:
            PublishFailed: the changelog did not take them; nothing was changed.
            Unpublishable: a value is too large for the changelog; nothing was changed.
        """
        changes = {name: (table, view.changes()) for name, (table, view) in self._views.items()}
        records = [
            Outgoing(table.changelog, key, value, partition=self.partition)
            for table, changed in changes.values()
            for key, value in changed.items()
        ]
        offsets = await self._publisher.publish(records)
        for table, changed in changes.values():
            if changed:
                reached = offsets[table.changelog, self.partition]
                table.store.write(self.partition, changed, changelog_offset=reached)


class Transactions:
    """Gives out transactions, one at a time for each partition: agents of several topics share its tables."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._locks: dict[int, asyncio.Lock] = {}

    def lock(self, partition: int) -> asyncio.Lock:
        """Return the lock to hold around `begin` and `commit`."""
        return self._locks.setdefault(partition, asyncio.Lock())

    def begin(self, partition: int) -> Transaction:
        """Start a transaction."""
        return Transaction(partition, self._publisher)
