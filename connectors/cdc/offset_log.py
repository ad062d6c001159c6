"""Offsets on their way into Kafka: when to write one, and which one the brokers have."""

from datetime import UTC, datetime

from connectors.cdc.envelope import Record
from connectors.cdc.offsets import CdcOffset, encode_offset
from connectors.cdc.publisher import Publisher


class OffsetLog:
    """Writes the offsets of one slot.

    `acknowledged` is the LSN that Postgres may be told: what a restart would go on from.
    """

    def __init__(self, publisher: Publisher, topic: str, slot: str, system_id: str) -> None:
        self._publisher = publisher
        self._topic = topic
        self._key = slot.encode()
        self._system_id = system_id
        self._written = 0
        self.acknowledged = 0

    def resume(self, lsn: int) -> None:
        """Start from an offset that is in the topic already."""
        self._written = self.acknowledged = lsn

    def write(self, lsn: int, commit_lsn: int | None, *, snapshot_completed: bool = True) -> None:
        """Queue an offset, unless the last one was the same or later."""
        if snapshot_completed and lsn <= self._written:
            return
        self._written = lsn
        offset = CdcOffset(
            lsn=lsn,
            snapshot_completed=snapshot_completed,
            at=datetime.now(UTC),
            commit_lsn=commit_lsn,
            system_id=self._system_id,
        )

        def acknowledged() -> None:
            self.acknowledged = max(self.acknowledged, lsn)

        record = Record(self._key, encode_offset(offset))
        self._publisher.send(self._topic, record, self._publisher.report(acknowledged))
