"""A topic: what it carries, how it is kept, and who may write to it."""

from typing import Literal

from msgspec import Struct, structs

CleanupPolicy = Literal["delete", "compact", "compact,delete"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MIB = 1024 * 1024


class Topic(Struct, frozen=True, kw_only=True):
    """One topic: what it carries, how it is kept, and who may write to it.

    `key` and `value` say what the bytes are; `value` is the name of a type in `schemas` or a word for raw bytes.
    A topic that `may_lack_keys` carries the changes of a table, and whether that has a key only its database knows:
    both this topic and `without_keys` are right. `segment_ms` is how old a segment may become before another one
    begins; None is the brokers' default. Only whole segments leave the disk.
    """

    name: str
    key: str
    value: str
    owner: str
    purpose: str
    partitions: int
    cleanup: CleanupPolicy = "delete"
    retention_ms: int | None = 7 * DAY_MS
    max_message_bytes: int = MIB
    may_lack_keys: bool = False
    segment_ms: int | None = None

    def without_keys(self) -> "Topic":
        """Return the topic for records without a key: it is kept whole, because a compacted one refuses them."""
        return structs.replace(self, cleanup="delete", retention_ms=-1)

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings as the broker names them."""
        config = {"cleanup.policy": self.cleanup, "max.message.bytes": str(self.max_message_bytes)}
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        if self.segment_ms is not None:
            config["segment.ms"] = str(self.segment_ms)
        if "compact" in self.cleanup:
            # Tombstones of deletes have to outlive the slowest reader of a compacted topic.
            config["delete.retention.ms"] = str(7 * DAY_MS)
        return config
