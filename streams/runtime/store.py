# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingTypeStubs=false
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false
"""The databases of a state table as Faust sees them: opened, restored and closed as partitions come and go."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
from faust.stores.rocksdb import Store as RocksStore
from faust.types import TP
from yarl import URL

from streams.runtime.partition_store import (
    DAMAGED,
    DAY_MS,
    ChangelogRecord,
    PartitionStore,
    StateUnavailable,
    StateUnreadable,
    is_damage,
    now_ms,
)
from streams.runtime.state_memory import StateMemory

log = structlog.get_logger(__name__)

# Called when records of a changelog were applied: partition, number of records, offset of the last.
OnRestored = Callable[[int, int, int], None]


class StateStore(RocksStore):
    """Faust's store of a table, with a `PartitionStore` for each partition.

    A database that is damaged is removed, and so restored from the beginning of the changelog, as one that is missing
    is. When the damage shows only in a read or a write, the worker stops, and the next one does that.

    A changelog record that cannot be read stops the worker: what Faust does with errors while restoring is to log and
    go on.
    """

    def __init__(
        self,
        app: Any,
        table: Any,
        *,
        memory: StateMemory,
        ttl_seconds: int | None = None,
        deleted_ms: int = DAY_MS,
        clock: Callable[[], int] = now_ms,
        **settings: Any,
    ) -> None:
        super().__init__(URL("rocksdb:"), app, table, options={}, **settings)
        self.restored: Counter[int] = Counter()
        self.on_restored: list[OnRestored] = []
        self._restore_began: dict[int, float] = {}
        self._memory = memory
        self._ttl_seconds = ttl_seconds
        self._deleted_ms = deleted_ms
        self._clock = clock
        self._failure: Exception | None = None
        self._stopping: asyncio.Task[None] | None = None

    def partition(self, partition: int) -> PartitionStore:
        """Return the database of a partition.

        Raises:
            StateUnavailable: the worker stops, because the state could not be restored.
        """
        if self._failure is not None:
            raise StateUnavailable(f"the worker stops: {self._failure}")
        return self._opened(partition)

    def partition_path(self, partition: int) -> Path:
        """Return the folder of a partition's database; one with entries that expire has another format."""
        kind = "state" if self._ttl_seconds is None else "expiring"
        return self.path / f"{self.table_name}-{partition}.{kind}"

    def persisted_offset(self, tp: TP) -> int | None:
        """Return the changelog offset that a partition has reached."""
        return self._opened(tp.partition).reached

    def apply_changelog_batch(
        self,
        batch: Iterable[Any],
        to_key: Callable[[Any], Any],  # noqa: ARG002 - keys and entries are bytes, there is nothing to decode
        to_value: Callable[[Any], Any],  # noqa: ARG002
    ) -> None:
        """Apply what was read of changelogs while restoring; called by Faust.

        A message is one record, or a list of consecutive records of a partition.

        Raises:
            StateUnreadable: a record is no entry of a state table; the worker is stopping.
            StateUnavailable: a database cannot be written; the worker is stopping.
        """
        if self._failure is not None:
            return  # the worker stops; what comes after the record that failed must not be applied
        found: dict[TP, list[ChangelogRecord]] = {}
        reached: dict[TP, int] = {}
        for event in batch:
            message = event.message
            records = found.setdefault(message.tp, [])
            if isinstance(message.value, list):
                records.extend(message.value)
            else:
                records.append(message)
            reached[message.tp] = message.offset
        for tp, records in found.items():
            try:
                self._restore(tp, records, reached[tp])
            except (StateUnreadable, StateUnavailable) as error:
                self._stop_worker(error)
                raise

    def _restore(self, tp: TP, records: list[ChangelogRecord], reached: int) -> None:
        self._restore_began.setdefault(tp.partition, time.monotonic())
        try:
            self._opened(tp.partition).restore(records, reached=reached)
        except StateUnreadable as error:
            raise StateUnreadable(
                f"table {self.table_name!r}, changelog {tp.topic}, partition {tp.partition}: {error}. "
                "Run the version of the program that wrote it; or empty the changelog topic and replay "
                "the table's source topics from the beginning."
            ) from error
        self.restored[tp.partition] += len(records)
        for tell in self.on_restored:
            tell(tp.partition, len(records), reached)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Tell what was restored; called by Faust when the table is up to date."""
        for partition, began in self._restore_began.items():
            seconds = round(time.monotonic() - began, 3)
            records = self.restored[partition]
            log.info("state_restored", table=self.table_name, partition=partition, records=records, seconds=seconds)
        self._restore_began.clear()
        await super().on_recovery_completed(active_tps, standby_tps)

    def _opened(self, partition: int) -> PartitionStore:
        return cast(Any, self._db_for_partition(partition))

    def _open_for_partition(self, partition: int) -> Any:
        path = self.partition_path(partition)
        mark = path / DAMAGED
        if mark.exists():
            self._discard(partition, mark.read_text())
        try:
            return self._open(partition)
        except Exception as error:
            if not is_damage(str(error)):
                raise
            self._discard(partition, str(error).partition("\n")[0])
            return self._open(partition)

    def _open(self, partition: int) -> PartitionStore:
        store = PartitionStore(
            self.partition_path(partition),
            self._memory,
            ttl_seconds=self._ttl_seconds,
            deleted_ms=self._deleted_ms,
            on_damage=partial(self._on_damage, partition),
            clock=self._clock,
        )
        if store.reached is None:
            log.info("state_empty", table=self.table_name, partition=partition, restored_from="the changelog")
        return store

    def _discard(self, partition: int, reason: str) -> None:
        path = self.partition_path(partition)
        log.warning(
            "state_discarded", table=self.table_name, partition=partition, reason=reason, restored_from="the changelog"
        )
        shutil.rmtree(path)

    def _on_damage(self, partition: int, reason: str) -> None:
        log.error("state_damaged", table=self.table_name, partition=partition, reason=reason)
        self._stop_worker(StateUnavailable(f"table {self.table_name!r}, partition {partition} is damaged: {reason}"))

    def _stop_worker(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            self._stopping = asyncio.get_running_loop().create_task(self.app.crash(error))

    def revoke_partitions(self, table: Any, tps: set[TP]) -> None:
        """Close the databases of partitions that were taken away."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics and tp.partition in self._dbs:
                self._opened(tp.partition).close()
                del self._dbs[tp.partition]

    async def stop(self) -> None:
        """Close all databases."""
        self._close()

    def reset_state(self) -> None:
        """Remove all local state; the changelog stays."""
        self._close()
        super().reset_state()

    def _close(self) -> None:
        for store in self._dbs.values():
            store.close()
        self._dbs.clear()
