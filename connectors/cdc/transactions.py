"""The messages of pgoutput, one after the other, to records in the publisher's queue."""

import time
from collections import defaultdict
from collections.abc import Iterable

from connectors.cdc.acknowledgement import Acknowledgements, Transaction
from connectors.cdc.catalog import read_indexes
from connectors.cdc.envelope import Moment, Record, processed_at, records, source_template
from connectors.cdc.errors import MalformedMessage
from connectors.cdc.fast_path import ROUTE, FastPath, Shortcut
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
    decode,
)
from connectors.cdc.publisher import Outgoing, Report
from connectors.cdc.replication import DATA_HEADER, start_lsn
from connectors.cdc.session import Session
from connectors.cdc.tables import Table, table_of
from connectors.cdc.type_catalog import read_types

RowChange = Insert | Update | Delete
_ROW_CHANGES = (Insert, Update, Delete)  # of a tuple isinstance is faster than of a union
_INSERT, _UPDATE, _DELETE = b"IUD"
_OPERATIONS: dict[type[RowChange], str] = {Insert: "c", Update: "u", Delete: "d"}
_KINDS = {b"I": "c", b"U": "u", b"D": "d"}


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
        self._window = session.window
        self._counters = session.counters
        self._skipped = frozenset(session.config.filters.skipped_operations)
        self._acknowledgements = acknowledgements
        self._last_commit = acknowledgements.last_commit
        self._tables: dict[int, Table | None] = {}
        # The open transaction, and what is the same for all its changes of a table.
        self._begin = Begin(0, 0, 0)
        self._transaction: Transaction | None = None
        self._report: Report | None = None
        self._sources: dict[int, bytes] = {}
        self._shortcuts: dict[bytes, tuple[Shortcut, Table]] = {}
        # The run of messages: when they are processed, and their records by topic.
        self._now_ns = 0
        self._now = b""
        self._outgoing: defaultdict[str, list[Outgoing]] = defaultdict(list)

    def handle_all(self, messages: Iterable[bytes]) -> None:
        """Handle messages of the stream, each with its header, and hand their records to the publisher.

        They are processed at one time, which all their records carry.

        Raises:
            Fatal: one cannot be turned into records without guessing.
            Disconnected: the catalogue cannot be read.
        """
        self._now_ns = time.time_ns()
        self._now = processed_at(self._now_ns)
        # A window looks at the values of each change.
        shortcuts = {} if self._window.is_open else self._shortcuts
        for message in messages:
            found = shortcuts.get(message[ROUTE])
            if found is None or not self._take(message, *found):
                self._handle(start_lsn(message), decode(message, DATA_HEADER))
        for topic, records_of_topic in self._outgoing.items():
            self._publisher.send_all(topic, records_of_topic)
        self._outgoing.clear()

    def _take(self, message: bytes, shortcut: Shortcut, table: Table) -> bool:
        made = shortcut(message, self._now)
        if made is None:
            return False
        assert self._transaction is not None  # else there would be no shortcut
        key, value = made
        outgoing = self._outgoing[table.topic]
        outgoing.append({"key": key, "value": value, "callback": self._report})
        kind = message[DATA_HEADER]
        if kind == _DELETE and key is not None:
            outgoing.append({"key": key, "value": None, "callback": self._report})
            self._transaction.sent(2)
        else:
            self._transaction.sent()
        if kind == _INSERT:
            self._counters.created += 1
        elif kind == _UPDATE:
            self._counters.updated += 1
        else:
            self._counters.deleted += 1
        return True

    def _handle(self, lsn: int, message: Message) -> None:
        if isinstance(message, _ROW_CHANGES):
            self._change(lsn, message)
        elif isinstance(message, Begin):
            self._begin = message
            self._window.began(message.xid)
            self._transaction = self._acknowledgements.begin()
            self._report = self._publisher.report(self._transaction.acknowledged)
            self._sources.clear()
            self._shortcuts.clear()
        elif isinstance(message, Commit):
            self._commit(message)
        elif isinstance(message, Relation):
            self._tables[message.oid] = self._table(message)
            self._sources.pop(message.oid, None)
            self._shortcuts.clear()
        elif isinstance(message, Truncate):
            truncated = [table for oid in message.relations if (table := self._tables.get(oid)) is not None]
            self._counters.truncates_skipped += len(truncated)
            for table in truncated:
                self._window.truncated(table)
        elif isinstance(message, LogicalMessage):
            self._counters.messages_skipped += 1

    def _change(self, lsn: int, change: RowChange) -> None:
        if self._transaction is None:
            raise MalformedMessage("a change outside of a transaction")
        try:
            table = self._tables[change.relation]
        except KeyError:
            raise MalformedMessage(f"a change of relation {change.relation}, which was not described") from None
        if table is None:
            return
        if self._window.is_open:
            self._window.changed(table, change)
        if _OPERATIONS[type(change)] in self._skipped:
            return
        source = self._sources.get(change.relation)
        if source is None:
            source = self._describe(change.relation, table)
        found = records(table, change, source % (lsn, lsn), self._now_ns)
        for record in found:
            self._send(table.topic, record)
        self._count(change, len(found))

    def _describe(self, oid: int, table: Table) -> bytes:
        """Return the block `source` of a table's changes in this transaction, and take the shortcut for the others."""
        moment = Moment(time_us=self._begin.time_us, tx_id=self._begin.xid, last_commit=self._last_commit)
        source = self._sources[oid] = source_template(self._database, table, moment)
        for kind, shortcut in FastPath(table, source).shortcuts.items():
            if _KINDS[kind] not in self._skipped:
                self._shortcuts[kind + oid.to_bytes(4)] = shortcut, table
        return source

    def _send(self, topic: str, record: Record) -> None:
        assert self._transaction is not None
        assert self._report is not None
        self._transaction.sent()
        key, value, headers = record
        if headers is None:
            self._outgoing[topic].append({"key": key, "value": value, "callback": self._report})
            return
        # Those before it first: records of one topic and key keep their order.
        before = self._outgoing.pop(topic, None)
        if before is not None:
            self._publisher.send_all(topic, before)
        self._publisher.send(topic, record, self._report)

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
        self._shortcuts.clear()
        self._last_commit = commit.end_lsn
        self._counters.transactions += 1
        self._counters.committed_at_us = commit.time_us

    def _table(self, relation: Relation) -> Table | None:
        topic = self._config.topics.get(f"{relation.schema}.{relation.name}")
        if topic is None:
            return None
        config = self._config
        indexes = read_indexes(self._control, relation.oid)
        types = read_types(self._control, [column.type_oid for column in relation.columns])
        return table_of(relation, indexes, topic.name, encoding=config.encoding, filters=config.filters, types=types)
