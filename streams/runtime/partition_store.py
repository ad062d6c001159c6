# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""One partition of a state table: a RocksDB database that is always a prefix of the partition's changelog.

There is no write-ahead log; the changelog is that. Every write is one atomic batch with the changelog offset that it
reaches, and RocksDB keeps batches in order, so after a crash the database is what it was a moment before, and the rest
is restored from the offset it has.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import rocksdict
import structlog

from streams.runtime.decoded import Decoded
from streams.runtime.entries import Changes, Entry, deleted_entry, encode, envelope, supersedes
from streams.runtime.publisher import TryAgain
from streams.runtime.staged import Staged
from streams.runtime.state_memory import StateMemory

log = structlog.get_logger(__name__)

# No key of a table begins so; it sorts after every UTF-8 text.
RESERVED = b"\xff\xff\xff"
_OFFSET = RESERVED + b"offset"
_DELETED = RESERVED + b"deleted\0"  # + key -> entry without a value
_DELETED_AT = RESERVED + b"deleted-at\0"  # + time in ms (8 bytes) + key
_TIME = len(_DELETED_AT)
_KEY = _TIME + 8
DAMAGED = "DAMAGED"

DAY_MS = 24 * 3_600_000
# What a crash leaves to be restored is bounded by the write buffers, and by this: a delete must be on disk before
# compaction drops its record from the changelog (days).
FLUSH_MS = 10 * 60_000
PURGE_MS = 10_000
PURGED_AT_ONCE = 1_000


class StateUnavailable(TryAgain):
    """A partition's state cannot be read or written now: it was taken away, the disk is full, ..."""


class StateDamaged(StateUnavailable):
    """The database of a partition is damaged; the worker stops, and the next one restores it from the changelog."""


class StateUnreadable(ValueError):  # noqa: N818 - as StateUnavailable and StateDamaged
    """A changelog record is no entry of a state table: nothing can be restored past it without losing something."""


class ChangelogRecord(Protocol):
    """What is read of a record when restoring."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...  # noqa: D102


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def is_damage(reason: str) -> bool:
    """Whether an error of RocksDB says that its files are damaged, rather than locked, out of reach or out of space."""
    return reason.startswith("Corruption") or "No such file or directory" in reason


class PartitionStore:
    """Keys and encoded entries of one partition.

    A delete leaves the key's positions behind for `deleted_ms`, so that a replay or a late write of an older record
    does not bring the key back.

    Args:
        path: folder of the database; made when missing.
        memory: what all databases of the process share.
        ttl_seconds: entries written longer ago are removed from the disk within about one more TTL.
        deleted_ms: how long the positions of deleted keys are kept.
        on_damage: called with the reason when a read or a write finds the database damaged.
        clock: wall clock in ms.

    Raises:
        Exception: RocksDB has no errors of its own; `is_damage` tells from the text.
    """

    def __init__(
        self,
        path: Path,
        memory: StateMemory,
        *,
        ttl_seconds: int | None = None,
        deleted_ms: int = DAY_MS,
        on_damage: Callable[[str], None] = lambda _: None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.path = path
        self.staged = Staged()  # reads see it
        self.decoded = Decoded()  # for tables that reuse values
        self._on_damage = on_damage
        self._clock = clock
        self._ttl_ms = None if ttl_seconds is None else ttl_seconds * 1_000
        self._deleted_ms = deleted_ms
        access = rocksdict.AccessType.read_write()
        if ttl_seconds is not None:
            access = rocksdict.AccessType.with_ttl(ttl_seconds)
        self._db = rocksdict.Rdict(str(path), memory.options(), access_type=access)
        if ttl_seconds is not None:
            # RocksDB drops what has expired when it compacts a file, and files of keys that ascend with time (as ids
            # with a time in front do) are never compacted otherwise: 20 MB instead of 5 after four TTLs, and growing.
            self._db.set_options({"periodic_compaction_seconds": str(ttl_seconds)})
        without_log: Any = rocksdict.WriteOptions()  # its stub has the setter wrong
        without_log.disable_wal = True
        self._db.set_write_options(without_log)
        reached = self._db.get(_OFFSET)
        self.reached: int | None = None if reached is None else int(reached)
        self._alone = True
        self._purged_to = _DELETED_AT
        self._purge_at_ms = 0
        self._flush_at_ms = clock() + FLUSH_MS
        self._has_deleted = bool(self._rows(_DELETED, RESERVED + b"deleted\1", limit=1))

    def get(self, key: bytes) -> bytes | None:
        """Return the entry of a key, which has no value when the key was deleted lately."""
        if key >= RESERVED:
            raise ValueError(f"the key {key[:64]!r} begins with the bytes {RESERVED!r}, which state tables reserve")
        if self.staged and (staged := self.staged.get(key)) is not None:
            return staged
        try:
            entry = self._db.get(key)
            if entry is None and self._has_deleted:
                entry = self._db.get(_DELETED + key)
        except Exception as error:
            raise self._failed(error) from error
        return cast("bytes | None", entry)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the entries of keys, in their order; for many keys this takes a third of the time."""
        if keys and max(keys) >= RESERVED:
            raise ValueError(f"a key begins with the bytes {RESERVED!r}, which state tables reserve")
        try:
            found = cast("list[bytes | None]", self._db.get(cast(Any, keys)))
            if self._has_deleted:
                missing = [index for index, entry in enumerate(found) if entry is None]
                deleted = cast("list[bytes | None]", self._db.get(cast(Any, [_DELETED + keys[one] for one in missing])))
                for index, entry in zip(missing, deleted, strict=True):
                    found[index] = entry
        except Exception as error:
            raise self._failed(error) from error
        if self.staged:
            return [self.staged.get(key) or entry for key, entry in zip(keys, found, strict=True)]
        return found

    def between(self, first: bytes, end: bytes = RESERVED) -> list[tuple[bytes, bytes]]:
        """Return the keys from `first` to before `end` and their entries, in the order of keys."""
        rows = self._rows(first, end)
        return self.staged.over(rows, first, end) if self.staged else rows

    def _rows(self, first: bytes, end: bytes, *, limit: int | None = None) -> list[tuple[bytes, bytes]]:
        options = rocksdict.ReadOptions()
        options.set_iterate_upper_bound(end)
        found: list[tuple[bytes, bytes]] = []
        try:
            at = self._db.iter(options)
            at.seek(first)
            while at.valid() and len(found) != limit:
                found.append((at.key(), at.value()))
                at.next()
            at.status()  # a damaged block ends the iteration like the last key does
        except Exception as error:
            raise self._failed(error) from error
        return found

    def write(self, changes: Changes, *, reached: int) -> None:
        """Apply changes, of which the last has the offset `reached` in the changelog, in one atomic write.

        When somebody else wrote to the changelog in between, the offset stays where it is: restoring begins there and
        reads what the other one wrote, too.
        """
        if self.reached is None or reached - self.reached == len(changes):
            self.reached = reached
        elif self._alone:
            self._alone = False
            log.warning("changelog_written_by_another", store=self.path.name, expected=self.reached, got=reached)
        self._write(changes)

    def restore(self, records: Iterable[ChangelogRecord], *, reached: int) -> None:
        """Apply changelog records; of each key, the record with the highest source offsets counts.

        Raises:
            StateUnreadable: a record is no entry; nothing of `records` was applied.
        """
        newest: dict[bytes, tuple[dict[str, int], bytes, int | None]] = {}
        expired_ms = -1 if self._ttl_ms is None else self._clock() - self._ttl_ms
        for record in records:
            key, value = record.key, record.value
            entry = value
            if entry is None:
                entry = deleted_entry(record.headers) or encode(Entry[None]({}, None, self._clock()))
            try:
                read = envelope(entry)
            except msgspec.DecodeError as error:
                raise StateUnreadable(f"the record at offset {record.offset} is no state entry: {error}") from error
            if key is None or key >= RESERVED:
                raise StateUnreadable(f"the record at offset {record.offset} has no key of a state table: {key!r}")
            if read.written_ms < expired_ms:
                continue
            previous = newest.get(key)
            if previous is None or supersedes(read.positions, previous[0]):
                newest[key] = (read.positions, entry, read.written_ms if value is None else None)
        changes = Changes([], [])
        for (key, (positions, entry, deleted_at)), known in zip(
            newest.items(), self.get_many(list(newest)), strict=True
        ):
            if known is not None and not supersedes(positions, envelope(known).positions):
                continue
            if deleted_at is None:
                changes.puts.append((key, entry))
            else:
                changes.deletes.append((key, entry, deleted_at))
        self.reached = reached
        self._alone = True
        self._write(changes)

    def _write(self, changes: Changes) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, entry in changes.puts:
            put(key, entry)
        for key, entry, at_ms in changes.deletes:
            batch.delete(key)
            put(_DELETED + key, entry)
            put(_DELETED_AT + at_ms.to_bytes(8, "big") + key, b"")
        self._has_deleted = self._has_deleted or bool(changes.deletes)
        if self.reached is not None:
            put(_OFFSET, str(self.reached).encode())
        now = self._clock()
        try:
            if self._has_deleted and now >= self._purge_at_ms:
                self._purge(batch, now)
            self._db.write(batch)
            if now >= self._flush_at_ms:
                self._flush_at_ms = now + FLUSH_MS
                self._db.flush(wait=False)
        except StateUnavailable:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _purge(self, batch: rocksdict.WriteBatch, now: int) -> None:
        """Forget some of the keys whose delete is long ago. Going on from the last one skips what was removed."""
        end = _DELETED_AT + max(0, now - self._deleted_ms).to_bytes(8, "big")
        due = [key for key, _ in self._rows(self._purged_to, end, limit=PURGED_AT_ONCE)]
        entries = cast("list[bytes | None]", self._db.get(cast(Any, [_DELETED + key[_KEY:] for key in due])))
        for index, entry in zip(due, entries, strict=True):
            batch.delete(index)
            # Deleted again since: that delete has an index of its own.
            if entry is not None and envelope(entry).written_ms == int.from_bytes(index[_TIME:_KEY], "big"):
                batch.delete(_DELETED + index[_KEY:])
        if len(due) < PURGED_AT_ONCE:
            self._purge_at_ms = now + PURGE_MS
        if due:
            self._purged_to = due[-1]

    def close(self) -> None:
        """Write what is in memory to disk and close; twice is harmless. Reads and writes raise then."""
        with contextlib.suppress(rocksdict.DbClosedError):
            self._db.close()

    def _failed(self, error: Exception) -> StateUnavailable:
        if isinstance(error, StateUnavailable):
            return error
        reason = str(error).partition("\n")[0]
        if not is_damage(reason):
            return StateUnavailable(f"the state in {self.path} is not available: {reason}")
        (self.path / DAMAGED).write_text(reason)
        self._on_damage(reason)
        return StateDamaged(f"the state in {self.path} is damaged: {reason}")
