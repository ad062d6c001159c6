"""Whether the server will soon remove WAL that the slot needs: said while there is time to do something about it."""

import structlog
from psycopg import Connection

from connectors.cdc.backoff import Complaint
from connectors.cdc.counters import Counters
from connectors.cdc.errors import SlotLost, SlotMissing
from connectors.cdc.notifications import Notifications
from connectors.cdc.slot import read_slot

log = structlog.get_logger(__name__)

REMEDY = "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf()"


class SlotWatch:
    """Looks at the slot that is streamed from, and complains at most once a minute.

    Args:
        connection: to ask with.
        name: of the slot.
        counters: kept up to date.
        notifications: told of what is said.
    """

    def __init__(
        self, connection: Connection, name: str, counters: Counters, notifications: Notifications | None = None
    ) -> None:
        self._connection = connection
        self._name = name
        self._counters = counters
        self._notifications = notifications or Notifications()
        self._complaint = Complaint()

    def look(self, now: float) -> None:
        """Ask for the state of the slot, at the monotonic time `now`.

        Raises:
            SlotMissing: it is gone.
            SlotLost: the server has removed WAL that it needed.
            Fatal, Disconnected: the catalogue cannot be read.
        """
        slot = read_slot(self._connection, self._name)
        if slot is None:
            raise SlotMissing(f"source.slot {self._name} is gone while it was streamed from")
        if slot.lost:
            raise SlotLost(f"source.slot {self._name} is lost: {slot.lost_because}")
        self._counters.slot_retained_bytes = slot.retained_bytes or 0
        self._counters.slot_safe_bytes = slot.safe_wal_size
        self._counters.lag_bytes = slot.lag_bytes or 0
        if slot.soon_lost and self._complaint.due(now):
            status, safe = slot.wal_status or "", str(slot.safe_wal_size)
            self._notifications.send("Slot", "WARNING", slot=self._name, wal_status=status, safe_wal_size=safe)
            log.warning(
                "slot_soon_lost",
                slot=self._name,
                wal_status=slot.wal_status,
                safe_wal_size=slot.safe_wal_size,
                retained_bytes=slot.retained_bytes,
                remedy=REMEDY,
            )
