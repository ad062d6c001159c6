"""The rows of a snapshot on their way: to their table's topic, or where the outbox routes them."""

import time
from collections.abc import Sequence
from typing import Protocol

from connectors.cdc.copy_text import parse_row
from connectors.cdc.envelope import Moment, source_template
from connectors.cdc.outbox_router import OutboxRouter
from connectors.cdc.pgoutput import Value
from connectors.cdc.publisher import Publisher
from connectors.cdc.receipt import Receipt
from connectors.cdc.session import Session
from connectors.cdc.snapshot_rows import SnapshotRows
from connectors.cdc.tables import Table


class RowSender(Protocol):
    """Queues one record for each row of a table.

    Raises:
        MalformedMessage: a row has more or fewer values than the table has columns.
        UnreadableValue: a value is not what its type prints.
        Misconfigured: a row of the outbox says not where it belongs.
    """

    def send_lines(self, lines: Sequence[bytes], receipt: Receipt) -> None:
        """Send rows as COPY prints them."""
        ...

    def send_values(self, rows: Sequence[Sequence[Value]], receipt: Receipt) -> None:
        """Send rows that have been parsed."""
        ...


def sender_of(session: Session, table: Table, moment: Moment, lsn: int) -> RowSender:
    """Return what sends rows of a table.

    Args:
        session: its publisher takes the records.
        table: as it was read.
        moment: of the rows, as `source` says it.
        lsn: that the rows carry.
    """
    router = OutboxRouter.of(session)
    if router is not None and router.is_outbox(table):
        return _OutboxRows(table, router, session.publisher)
    return _TableRows(
        table, SnapshotRows(table, source_template(session.database, table, moment), lsn), session.publisher
    )


class _TableRows:
    def __init__(self, table: Table, rows: SnapshotRows, publisher: Publisher) -> None:
        self._topic = table.topic
        self._rows = rows
        self._publisher = publisher

    def send_lines(self, lines: Sequence[bytes], receipt: Receipt) -> None:
        self._publisher.send_all(self._topic, self._rows.of_lines(lines, time.time_ns(), receipt))

    def send_values(self, rows: Sequence[Sequence[Value]], receipt: Receipt) -> None:
        self._publisher.send_all(self._topic, self._rows.of_values(rows, time.time_ns(), receipt))


class _OutboxRows:
    def __init__(self, table: Table, router: OutboxRouter, publisher: Publisher) -> None:
        self._table = table
        self._router = router
        self._publisher = publisher

    def send_lines(self, lines: Sequence[bytes], receipt: Receipt) -> None:
        self.send_values([parse_row(line) for line in lines], receipt)

    def send_values(self, rows: Sequence[Sequence[Value]], receipt: Receipt) -> None:
        for row in rows:
            topic, partition, record = self._router.route(self._table, self._table.encode(row))
            self._publisher.send(topic, record, receipt, partition)
