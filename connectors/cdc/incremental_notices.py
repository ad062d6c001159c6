"""What is told of snapshots beside the stream, in the form of Debezium's "Incremental Snapshot" notifications."""

from typing import Literal

from connectors.cdc.notifications import Notifications
from connectors.cdc.snapshot_state import Key, SnapshotState, TableToRead

AGGREGATE = "Incremental Snapshot"

# How the scan of a table ended, as Debezium names it.
ScanStatus = Literal["SUCCEEDED", "EMPTY", "SQL_EXCEPTION", "UNKNOWN_SCHEMA"]


class IncrementalNotices:
    """Tells of what is being read. The id of a notification is that of the signal that asked, where one did.

    As in Debezium, STARTED is told once for all tables that are waiting, and so is COMPLETED. There is no
    `maximum_key`: nobody asks the table for it.
    """

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications
        self._begun = False

    def begins(self, state: SnapshotState, entry: TableToRead) -> None:
        """Tell that the first of the tables is about to be read, unless that was told."""
        if not self._begun:
            self._begun = True
            self._notifications.send(AGGREGATE, "STARTED", entry.signal, data_collections=_names(state))

    def progressed(self, state: SnapshotState, entry: TableToRead, last: Key | None) -> None:
        """Tell that Kafka has the rows of a table up to a key."""
        self._notifications.send(
            AGGREGATE,
            "IN_PROGRESS",
            entry.signal,
            data_collections=_names(state),
            current_collection_in_progress=entry.table,
            last_processed_key=b",".join(last or ()).decode("utf-8", "replace"),
        )

    def scanned(self, state: SnapshotState, entry: TableToRead, rows: int, status: ScanStatus) -> None:
        """Tell that a table is done with.

        Args:
            state: while it was not.
            entry: the table.
            rows: of it that Kafka has.
            status: how it ended.
        """
        self._notifications.send(
            AGGREGATE,
            "TABLE_SCAN_COMPLETED",
            entry.signal,
            data_collections=_names(state),
            scanned_collection=entry.table,
            total_rows_scanned=str(rows),
            status=status,
        )

    def completed(self, entry: TableToRead) -> None:
        """Tell that nothing is left after a table."""
        self._begun = False
        self._notifications.send(AGGREGATE, "COMPLETED", entry.signal)

    def changed(self, before: SnapshotState, after: SnapshotState, signal: str) -> None:
        """Tell what a signal has done: pause, resume or stop what is being read. It tells nothing of what is idle."""
        if before.done:
            return
        stopped = [one.table for one in before.tables if not after.has(one.run)]
        if stopped:
            self._begun = self._begun and not after.done
            self._notifications.send(AGGREGATE, "ABORTED", signal, data_collections=",".join(stopped))
        if before.paused != after.paused:
            kind = "PAUSED" if after.paused else "RESUMED"
            self._notifications.send(AGGREGATE, kind, signal, data_collections=_names(after))


def _names(state: SnapshotState) -> str:
    return ",".join(one.table for one in state.tables)
