"""The replication slot as the server has it."""

from msgspec import Struct
from psycopg import Connection

from connectors.cdc.connect import translated

_SLOT = b"""
SELECT plugin::text, database::text, active_pid, pg_wal_lsn_diff(restart_lsn, '0/0')::int8,
       pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8, wal_status, safe_wal_size,
       pg_wal_lsn_diff(here.lsn, restart_lsn)::int8, pg_wal_lsn_diff(here.lsn, confirmed_flush_lsn)::int8,
       coalesce((to_jsonb(s) ->> 'failover')::bool, false),
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                CASE WHEN (to_jsonb(s) ->> 'conflicting')::bool THEN 'rows_removed' END)
FROM pg_replication_slots s
CROSS JOIN (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) here(lsn)
WHERE slot_name = %s
"""
# PostgreSQL documentation, pg_replication_slots: `invalidation_reason`.
_LOST = {
    "wal_removed": "the server has removed WAL that we had not read; raise max_slot_wal_keep_size",
    "rows_removed": "recovery conflict: the primary has removed rows of its catalogue that it needed; on the standby "
    "set hot_standby_feedback = on and primary_slot_name",
    "wal_level_insufficient": "wal_level of the primary is not logical any more; ALTER SYSTEM SET wal_level = logical "
    "there and restart it",
    "idle_timeout": "nobody has read it for too long; raise idle_replication_slot_timeout",
}
LEAST_PART = 0.25  # of the WAL that may be kept: with less left a slot is soon lost


class SlotState(Struct, frozen=True, kw_only=True):
    """A slot at one moment; sizes in bytes.

    Attributes:
        plugin: None for a physical slot.
        database: the one it belongs to.
        active_pid: the server process that streams from it, None when nobody does.
        restart_lsn: WAL from here on is kept for it; None when it has lost that.
        confirmed_lsn: streaming starts here or later.
        wal_status: "reserved", "extended", "unreserved" or "lost".
        safe_wal_size: how much more WAL can be written before it is lost; None without a limit.
        retained_bytes: WAL kept for it.
        lag_bytes: WAL written since what we have confirmed.
        failover: whether it is kept on standbys too (PostgreSQL 17 and later).
        invalidation_reason: why it was lost, as servers since 17 say it; those before tell only of conflicts.
    """

    plugin: str | None = "pgoutput"
    database: str | None = None
    active_pid: int | None = None
    restart_lsn: int | None = None
    confirmed_lsn: int | None = None
    wal_status: str | None = None
    safe_wal_size: int | None = None
    retained_bytes: int | None = None
    lag_bytes: int | None = None
    failover: bool = False
    invalidation_reason: str | None = None

    @property
    def lost(self) -> bool:
        """Whether WAL that it still needed is gone."""
        return self.wal_status == "lost" or self.restart_lsn is None or self.invalidation_reason is not None

    @property
    def lost_because(self) -> str:
        """Why it was lost, as far as the server says, and what keeps it from being lost again."""
        return _LOST.get(self.invalidation_reason or "wal_removed", self.invalidation_reason or "")

    @property
    def soon_lost(self) -> bool:
        """Whether little more WAL can be written before it is lost."""
        if self.wal_status == "unreserved":
            return True
        if self.safe_wal_size is None or self.lost:
            return False
        return self.safe_wal_size < LEAST_PART * (self.safe_wal_size + (self.retained_bytes or 0))


def read_slot(connection: Connection, name: str) -> SlotState | None:
    """Return the state of a slot; None when there is none of that name.

    Raises:
        Fatal, Disconnected: the catalogue cannot be read.
    """
    with translated("reading pg_replication_slots"):
        row = connection.execute(_SLOT, (name,)).fetchone()
    if row is None:
        return None
    return SlotState(**dict(zip(SlotState.__struct_fields__, row, strict=True)))


def drop_slot(connection: Connection, name: str) -> None:
    """Drop a slot; harmless when there is none.

    Raises:
        SlotBusy: somebody streams from it.
        Fatal, Disconnected: it cannot be dropped.
    """
    with translated(f"dropping source.slot {name}"):
        connection.execute(
            b"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
        )


def take_lock(connection: Connection, slot: str) -> bool:
    """Become the one source of a slot for as long as this connection lives; whether that worked.

    A slot shows that somebody streams from it, but not that somebody is taking its snapshot.
    """
    with translated("taking the lock of the source"):
        row = connection.execute(
            b"SELECT pg_try_advisory_lock(hashtext('travelos cdc'), hashtext(%s))", (slot,)
        ).fetchone()
    return row is not None and bool(row[0])
