"""The messages of pgoutput, one after the other, to records in the publisher's queue."""

import time

from connectors.cdc.acknowledgement import Acknowledgements, Transaction
from connectors.cdc.catalog import read_indexes
from connectors.cdc.envelope import Moment, records, source_template
from connectors.cdc.errors import MalformedMessage
from connectors.cdc.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Relation,
    Truncate,
    Update,
)
from connectors.cdc.publisher import Report
from connectors.cdc.session import Session
from connectors.cdc.tables import Table, table_of

RowChange = Insert | Update | Delete
_ROW_CHANGES = (Insert, Update, Delete)  # of a tuple isinstance is faster than of a union


class TransactionReader:
    """Keeps what one message says about those that follow: the open transaction, and the tables as they were then.

    Args:
        session: its control connection is asked for the key of each table that is described.
        acknowledgements: told of every transaction.
    """

    def __init__(self, session: Session, acknowledgements: Acknowledgements) -> None:
        self._config = session.config
        self._database = session.database
        self._control = session.control
        self._publisher = session.publisher
        self._counters = session.counters
        self._acknowledgements = acknowledgements
        self._last_commit = acknowledgements.last_commit
        self._tables: dict[int, Table | None] = {}
        # The open transaction, and the block `source` of its changes for each table.
        self._begin = Begin(0, 0, 0)
        self._transaction: Transaction | None = None
        self._report: Report | None = None
        self._sources: dict[int, bytes] = {}

    def handle(self, lsn: int, message: Message) -> None:
        """Handle one message that comes from `lsn` in the WAL.

        Raises:
            Fatal: it cannot be turned into records without guessing.
            Disconnected: the catalogue cannot be read.
        """
        if isinstance(message, _ROW_CHANGES):
            self._change(lsn, message)
        elif isinstance(message, Begin):
            self._begin = message
            self._transaction = self._acknowledgements.begin()
            self._report = self._publisher.report(self._transaction.acknowledged)
            self._sources.clear()
        elif isinstance(message, Commit):
            self._commit(message)
        elif isinstance(message, Relation):
            self._tables[message.oid] = self._table(message)
            self._sources.pop(message.oid, None)
        elif isinstance(message, Truncate):
            self._counters.truncates_skipped += sum(self._tables.get(oid) is not None for oid in message.relations)
        elif isinstance(message, LogicalMessage):
            self._counters.messages_skipped += 1

    def _change(self, lsn: int, change: RowChange) -> None:
        transaction, report = self._transaction, self._report
        if transaction is None or report is None:
            raise MalformedMessage("a change outside of a transaction")
        try:
            table = self._tables[change.relation]
        except KeyError:
            raise MalformedMessage(f"a change of relation {change.relation}, which was not described") from None
        if table is None:
            return
        template = self._sources.get(change.relation)
        if template is None:
            moment = Moment(time_us=self._begin.time_us, tx_id=self._begin.xid, last_commit=self._last_commit)
            template = self._sources[change.relation] = source_template(self._database, table, moment)
        found = records(table, change, template % (lsn, lsn), time.time_ns())
        for record in found:
            transaction.sent()
            self._publisher.send(table.topic, record, report)
        self._count(change, len(found))

    def _count(self, change: RowChange, made: int) -> None:
        if isinstance(change, Insert):
            self._counters.created += 1
        elif isinstance(change, Delete):
            self._counters.deleted += 1
        elif made == 1:
            self._counters.updated += 1
        else:  # a change of the key
            self._counters.deleted += 1
            self._counters.created += 1

    def _commit(self, commit: Commit) -> None:
        if self._transaction is None:
            raise MalformedMessage("a commit outside of a transaction")
        self._acknowledgements.commit(self._transaction, commit.end_lsn)
        self._transaction = None
        self._last_commit = commit.end_lsn
        self._counters.transactions += 1
        self._counters.committed_at_us = commit.time_us

    def _table(self, relation: Relation) -> Table | None:
        topic = self._config.topics.get(f"{relation.schema}.{relation.name}")
        if topic is None:
            return None
        return table_of(relation, read_indexes(self._control, relation.oid), topic.name, self._config.decimals)
