"""What the source has done so far, for whoever watches it."""

from typing import Any, Literal

from msgspec import Struct, field, structs

from connectors.cdc.lag import Lag

Phase = Literal["connecting", "snapshot", "streaming", "waiting", "stopped"]


class Counters(Struct):
    """Written by the source's thread, read by any other. Counts are since the start of the process.

    Attributes:
        phase: "waiting" between two attempts to connect.
        snapshot_rows: read events of the present or last snapshot.
        snapshot_estimated_rows: how many there may be, as of the last ANALYZE; 0 when nobody knows.
        snapshot_eta_seconds: how long the rest may take; None when nobody knows.
        snapshots: completed snapshots.
        created: create events, the second halves of key changes among them.
        updated: update events.
        deleted: delete events, each followed by a tombstone.
        transactions: with or without captured rows.
        truncated: truncate events.
        messages: events of logical messages.
        truncates_skipped: truncated captured tables; they make no event.
        messages_skipped: logical messages, our heartbeats among them; they make no event.
        disconnects: connections that were lost or not made.
        received_lsn: end of what has arrived from the server.
        confirmed_lsn: what the server may forget.
        slot_retained_bytes: WAL that the server keeps for the slot.
        slot_safe_bytes: how much more may be written before the slot is lost; None without a limit.
        lag_bytes: WAL that was written since what is confirmed.
        queued: records that Kafka has not acknowledged.
        committed_at_us: when the last transaction was committed, in microseconds since 1970.
        turned_at: when the loop of the stream turned last, in monotonic seconds.
        events: how many there were, by table and op.
        lag: from commits until they were handled.
    """

    phase: Phase = "connecting"
    snapshot_rows: int = 0
    snapshot_estimated_rows: int = 0
    snapshot_eta_seconds: int | None = None
    snapshots: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    transactions: int = 0
    truncated: int = 0
    messages: int = 0
    truncates_skipped: int = 0
    messages_skipped: int = 0
    disconnects: int = 0
    received_lsn: int = 0
    confirmed_lsn: int = 0
    slot_retained_bytes: int = 0
    slot_safe_bytes: int | None = None
    lag_bytes: int = 0
    queued: int = 0
    committed_at_us: int = 0
    turned_at: float = 0.0
    events: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    lag: Lag = field(default_factory=Lag)

    @property
    def connected(self) -> bool:
        """Whether changes or rows are being read."""
        return self.phase in ("streaming", "snapshot")

    def count(self, table: str, op: str, events: int = 1) -> None:
        """Count events of a table, tombstones left out. Rows of a snapshot have their own counter as well."""
        self.events[table, op] = self.events.get((table, op), 0) + events
        if op == "c":
            self.created += events
        elif op == "u":
            self.updated += events
        elif op == "d":
            self.deleted += events

    def told(self) -> dict[str, Any]:
        """Return what there is to print: the counts, events by table and op, and the lag in milliseconds."""
        values = structs.asdict(self)
        del values["turned_at"]
        tables: dict[str, dict[str, int]] = {}
        for (table, op), count in self.events.copy().items():
            tables.setdefault(table, {})[op] = count
        values["events"] = tables
        lags = self.lag.quantiles(0.5, 0.95, 0.99)
        values["lag"] = {name: round(lag, 1) for name, lag in zip(("p50_ms", "p95_ms", "p99_ms"), lags, strict=False)}
        return values

    @property
    def streamed_rows(self) -> int:
        """Events of the stream, without tombstones."""
        return self.created + self.updated + self.deleted
