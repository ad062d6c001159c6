"""The messages of pgoutput, one after the other, to records in the publisher's queue."""

import time
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from connectors.cdc.acknowledgement import Acknowledgements, Transaction
from connectors.cdc.catalog import read_indexes
from connectors.cdc.envelope import Moment, Record, processed_at, records, source_template
from connectors.cdc.errors import MalformedMessage
from connectors.cdc.fast_path import ROUTE, Shortcut, shortcuts_of
from connectors.cdc.known_values import LARGE_MESSAGE, read_shape
from connectors.cdc.other_events import TransactionMetadata, logical_message, truncated
from connectors.cdc.outbox_router import OutboxRouter
from connectors.cdc.outgoing import OutgoingRecords
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
from connectors.cdc.receipt import Receipt
from connectors.cdc.replication import DATA_HEADER, start_lsn
from connectors.cdc.schema_changes import schema_change
from connectors.cdc.session import Session
from connectors.cdc.tables import Table, table_of
from connectors.cdc.type_catalog import read_types

RowChange = Insert | Update | Delete
_ROW_CHANGES = (Insert, Update, Delete)  # of a tuple isinstance is faster than of a union
_OPERATIONS: dict[type[RowChange], str] = {Insert: "c", Update: "u", Delete: "d"}


class _Nowhere(NamedTuple):
    """What logical messages belong to."""

    schema: str = ""
    name: str = ""


_NOWHERE = _Nowhere()
FEW = 8  # changes for which it does not pay to make them at once
_route_of = itemgetter(ROUTE)
_MESSAGES = "LOGICAL_DECODING_MESSAGE"  # Debezium's name of them in a transaction


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
        self._outbox = OutboxRouter.of(session)
        self._window = session.window
        self._signal_table = session.signal_table
        self._known = session.known
        self._counters = session.counters
        self._skipped = frozenset(session.config.filters.skipped_operations)
        self._acknowledgements = acknowledgements
        self._last_commit = acknowledgements.last_commit
        self._tables: dict[int, Table | None] = {}
        # The open transaction, and what is the same for all its changes of a table.
        self._begin = Begin(0, 0, 0)
        self._transaction: Transaction | None = None
        self._receipt: Receipt | None = None
        self._sources: dict[int, bytes] = {}
        self._shortcuts: dict[bytes, Shortcut] = {}
        # The run of messages: when they are processed, and their records by topic.
        self._now_ns = 0
        self._now = b""
        self._outgoing = OutgoingRecords(session.publisher)
        self._schemas = session.config.encoding.schemas
        self._metadata = TransactionMetadata(schemas=self._schemas) if session.config.transactions is not None else None

    @property
    def is_between(self) -> bool:
        """Whether no transaction is open, so that nothing would have to be sent again."""
        return self._transaction is None

    def handle_all(self, messages: Iterable[bytes]) -> None:
        """Handle messages of the stream, each with its header, and hand their records to the publisher.

        They are processed at one time, which all their records carry.

        Raises:
            Fatal: one cannot be turned into records without guessing.
            Disconnected: the catalogue cannot be read.
        """
        self._now_ns = time.time_ns()
        self._now = processed_at(self._now_ns)
        for route, changes in groupby(messages, _route_of):
            first, *others = changes
            self._make(first)  # only then it is known how the others are made
            if len(others) < FEW or not self._make_all(route, others):
                for message in others:
                    self._make(message)
        self._settle()
        self._outgoing.send()

    def _make_all(self, route: bytes, run: list[bytes]) -> bool:
        """Make records of changes of one kind of one table at once; whether that could be done."""
        shortcut = self._shortcut(route)
        if shortcut is None or shortcut.op == "d" or self._wants_values(shortcut, max(map(len, run))):
            return False
        made = shortcut.make_all(run, self._now)
        if made is None:
            return False
        shortcut.outgoing.extend(made)
        shortcut.count += len(made)
        if self._known:
            for one in made:
                self._known.forget(shortcut.table.topic, one["key"])
        return True

    def _make(self, message: bytes) -> None:
        shortcut, made = self._shortcut(message[ROUTE]), None
        if shortcut is not None and not self._wants_values(shortcut, len(message)):
            made = shortcut.make(message, self._now)
        if made is None or shortcut is None:
            self._handle(start_lsn(message), decode(message, DATA_HEADER))
            return
        shortcut.outgoing.append(made)
        shortcut.count += 1
        if shortcut.op == "d" and made["key"] is not None:
            self._add(shortcut.table.topic, Record(made["key"], None))
        if self._known:
            self._known.forget(shortcut.table.topic, made["key"])

    def _shortcut(self, route: bytes) -> Shortcut | None:
        return (
            None if self._window.is_open else self._shortcuts.get(route)
        )  # a window looks at the values of each change

    def _wants_values(self, shortcut: Shortcut, size: int) -> bool:
        return size >= LARGE_MESSAGE and self._known.wants(shortcut.table)

    def _settle(self) -> None:
        """Tell of the records that were made on the short way."""
        for shortcut in self._shortcuts.values():
            if shortcut.count and self._transaction is not None:
                self._counters.count(str(shortcut.table), shortcut.op, shortcut.count)
                shortcut.count = 0

    def _forget_shortcuts(self) -> None:
        self._settle()
        self._shortcuts.clear()

    def _handle(self, lsn: int, message: Message) -> None:
        if isinstance(message, _ROW_CHANGES):
            self._change(lsn, message)
        elif isinstance(message, Begin):
            self._begin = message
            self._window.began(message.xid)
            self._transaction = self._acknowledgements.begin()
            self._receipt = self._receipt_of(self._transaction)
            self._sources.clear()
            self._forget_shortcuts()
            if self._metadata is not None and self._config.transactions is not None:
                begins = self._metadata.begin(message.xid, lsn, message.time_us // 1000)
                self._add(self._config.transactions.name, begins)
        elif isinstance(message, Commit):
            self._commit(lsn, message)
        elif isinstance(message, Relation):
            self._relation(message)
            self._signal_table.described(message)
        elif isinstance(message, Truncate):
            self._truncate(lsn, message)
        elif isinstance(message, LogicalMessage):
            self._message(lsn, message)

    def _relation(self, relation: Relation) -> None:
        before = self._tables.get(relation.oid)
        after = self._tables[relation.oid] = self._table(relation)
        self._sources.pop(relation.oid, None)
        self._forget_shortcuts()
        if after is not None and self._known:
            shape = read_shape(self._control, relation.oid, self._config.publication)
            self._known.described(after.topic, shape)
        topic = self._config.schema_changes
        if after is None or topic is None or self._transaction is None:
            return
        lsn = self._begin.final_lsn  # descriptions come without one
        source = source_template(self._database, after, self._moment()) % (lsn, lsn)
        record = schema_change(self._database.db, before, after, source, self._now_ns)
        if record is not None:
            self._add(topic.name, record)

    def _moment(self) -> Moment:
        return Moment(time_us=self._begin.time_us, tx_id=self._begin.xid, last_commit=self._last_commit)

    def _change(self, lsn: int, change: RowChange) -> None:
        if self._transaction is None:
            raise MalformedMessage("a change outside of a transaction")
        if change.relation == self._signal_table.oid:
            self._signal_table.changed(change)
        try:
            table = self._tables[change.relation]
        except KeyError:
            raise MalformedMessage(f"a change of relation {change.relation}, which was not described") from None
        if table is None:
            return
        is_message = self._is_message(table)
        if self._window.is_open and (not is_message or isinstance(change, Insert)):
            self._window.changed(table, change)
        change = self._known.seen(table, change)
        if _OPERATIONS[type(change)] in self._skipped:
            return
        if self._outbox is not None and is_message:
            self._route(self._outbox, table, change)
            return
        source = self._sources.get(change.relation)
        if source is None:
            source = self._describe(change.relation, table)
        found = records(table, change, source % (lsn, lsn), self._now_ns)
        for record in found:
            self._send(table, record, lsn)
        self._count(table, change, len(found))

    def _is_message(self, table: Table) -> bool:
        """Whether rows are messages: what was read of them is sent even when they are gone; deletes send nothing."""
        return self._outbox is not None and self._outbox.is_outbox(table)

    def _route(self, outbox: OutboxRouter, table: Table, change: RowChange) -> None:
        if isinstance(change, Insert):
            assert self._receipt is not None
            topic, partition, record = outbox.route(table, table.encode(change.new))
            self._outgoing.add(topic, record, self._receipt, partition=partition)
            self._counters.created += 1
        elif isinstance(change, Update):
            outbox.refuse_update()

    def _describe(self, oid: int, table: Table) -> bytes:
        """Return the block `source` of a table's changes in this transaction, and take the shortcut for the others."""
        source = self._sources[oid] = source_template(self._database, table, self._moment())
        if self._metadata is not None:
            return source  # each event has a place of its own
        if oid == self._signal_table.oid:
            return source  # each row is looked at
        assert self._receipt is not None
        for shortcut in shortcuts_of(table, source, self._receipt, self._outgoing.of(table.topic)):
            if shortcut.op not in self._skipped:
                self._shortcuts[shortcut.kind + oid.to_bytes(4)] = shortcut
        return source

    def _send(self, table: Table, record: Record, lsn: int) -> None:
        if self._metadata is not None and record.value is not None:
            record = record._replace(value=self._metadata.placed(record.value, str(table), lsn))
        self._add(table.topic, record)

    def _add(self, topic: str, record: Record) -> None:
        if record.value is None and not self._config.tombstones:
            return
        assert self._receipt is not None
        self._outgoing.add(topic, record, self._receipt)

    def _truncate(self, lsn: int, truncate: Truncate) -> None:
        for oid in truncate.relations:
            table = self._tables.get(oid)
            if table is None:
                continue
            if not self._is_message(table):
                self._window.truncated(table)
            self._known.forget_table(table.topic)
            if "t" in self._skipped or self._transaction is None:
                self._counters.truncates_skipped += 1
                continue
            source = self._sources.get(oid) or self._describe(oid, table)
            value = table.with_schema(truncated(source % (lsn, lsn), self._now_ns))
            self._send(table, Record(None, value), lsn)
            self._counters.truncated += 1

    def _message(self, lsn: int, message: LogicalMessage) -> None:
        topic = self._config.messages
        if topic is None or not self._config.filters.hears(message.prefix):
            self._counters.messages_skipped += 1
            return
        inside = self._transaction if message.transactional else None
        moment = self._moment()
        if inside is None:
            moment = Moment(time_us=self._now_ns // 1000, tx_id=None, last_commit=self._last_commit)
        source = source_template(self._database, _NOWHERE, moment) % (lsn, lsn)
        record = logical_message(message, source, self._now_ns, schemas=self._schemas)
        if inside is not None and self._metadata is not None and record.value is not None:
            record = record._replace(value=self._metadata.placed(record.value, _MESSAGES, lsn))
        receipt = self._receipt if inside is not None else self._receipt_of(self._acknowledgements.aside(lsn))
        assert receipt is not None
        self._outgoing.add(topic.name, record, receipt)
        self._counters.messages += 1

    def _count(self, table: Table, change: RowChange, made: int) -> None:
        if isinstance(change, Insert):
            ops = "c"
        elif isinstance(change, Delete):
            ops = "d"
        else:
            ops = "u" if made == 1 else "dc"  # a change of the key is two events
        for op in ops:
            self._counters.count(str(table), op)

    def _receipt_of(self, transaction: Transaction) -> Receipt:
        transaction.awaits()
        return self._publisher.receipt(transaction.acknowledged)

    def _commit(self, lsn: int, commit: Commit) -> None:
        if self._transaction is None:
            raise MalformedMessage("a commit outside of a transaction")
        if self._metadata is not None and self._config.transactions is not None:
            self._add(self._config.transactions.name, self._metadata.end(lsn, commit.time_us // 1000))
        self._forget_shortcuts()
        self._acknowledgements.commit(self._transaction, commit.end_lsn)
        self._transaction = self._receipt = None
        self._last_commit = commit.end_lsn
        self._counters.transactions += 1
        self._counters.committed_at_us = commit.time_us
        self._counters.lag.observe((time.time_ns() // 1_000 - commit.time_us) / 1_000)

    def _table(self, relation: Relation) -> Table | None:
        topic = self._config.topics.get(f"{relation.schema}.{relation.name}")
        if topic is None:
            return None
        config = self._config
        indexes = read_indexes(self._control, relation.oid)
        types = read_types(self._control, [column.type_oid for column in relation.columns])
        return table_of(relation, indexes, topic.name, encoding=config.encoding, filters=config.filters, types=types)
