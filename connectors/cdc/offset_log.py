"""Offsets on their way into Kafka: when to write one, and which one the brokers have."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from connectors.cdc.envelope import Record
from connectors.cdc.offsets import CdcOffset, encode_offset
from connectors.cdc.publisher import Publisher
from connectors.cdc.snapshot_state import SnapshotState


class OffsetLog:
    """Writes the offsets of one slot, and beside each what is still to be read.

    `acknowledged` is the LSN that Postgres may be told: what a restart would go on from.

    Args:
        publisher: for the offsets.
        topic: of the offsets.
        slot: their key.
        system_id: of the server.
        tables: those that are captured.
    """

    def __init__(self, publisher: Publisher, topic: str, slot: str, system_id: str, tables: Sequence[str] = ()) -> None:
        self._publisher = publisher
        self._topic = topic
        self._key = slot.encode()
        self._system_id = system_id
        self._tables = tuple(tables)
        self._written = 0
        self._commit_lsn: int | None = None
        self._changed = False
        self.snapshot = SnapshotState()
        self.signals: Mapping[int, int] = {}
        self.acknowledged = 0

    def resume(self, lsn: int) -> None:
        """Start from an offset that is in the topic already."""
        self._written = self.acknowledged = lsn

    def keep(self, snapshot: SnapshotState) -> None:
        """Have the next offset say what is still to be read."""
        self._changed |= snapshot != self.snapshot
        self.snapshot = snapshot

    def keep_signals(self, positions: Mapping[int, int]) -> None:
        """Have the next offset say which signals have been followed: in each partition those before an offset."""
        self._changed |= positions != self.signals
        self.signals = dict(positions)

    def write(self, lsn: int, commit_lsn: int | None) -> None:
        """Queue an offset, unless the last one said the same, or was later."""
        if lsn <= self._written and not self._changed:
            return
        if lsn >= self._written:
            self._written, self._commit_lsn = lsn, commit_lsn
        self._changed = False
        written = self._written
        offset = CdcOffset(
            lsn=written,
            snapshot_completed=self.snapshot.done or not self.snapshot.initial,
            at=datetime.now(UTC),
            commit_lsn=self._commit_lsn,
            system_id=self._system_id,
            tables=self._tables,
            snapshot=None if self.snapshot.done else self.snapshot,
            signals=self.signals,
        )

        def acknowledged() -> None:
            self.acknowledged = max(self.acknowledged, written)

        record = Record(self._key, encode_offset(offset))
        self._publisher.send(self._topic, record, self._publisher.receipt(acknowledged))
