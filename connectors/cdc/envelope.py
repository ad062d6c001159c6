"""Row changes to Kafka records in the Debezium format. Pure: values in, bytes out.

Format: Debezium 3.4, Postgres connector, JSON converter with `schemas.enable=false`; the order of the fields is
Debezium's too. `transaction` and `source.xmin` are null, as they are there by default.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from connectors.cdc.errors import KeyUnknown
from connectors.cdc.pgoutput import UNCHANGED, Delete, Insert, Tuple, Update, Value
from connectors.cdc.tables import Table
from connectors.cdc.types import NULL

# Whether a row is part of a snapshot, and where in it.
SnapshotMarker = Literal[
    "first", "first_in_data_collection", "true", "last_in_data_collection", "last", "incremental", "false"
]

NEW_KEY = "__debezium.newkey"
OLD_KEY = "__debezium.oldkey"

Headers = list[tuple[str, str | bytes | None]]

_VALUE = b'{"before":%b,"after":%b,"source":%b,"transaction":null,"op":"%b",%b}'


class Record(NamedTuple):
    """One Kafka record. A value of None is a tombstone; `timestamp_ms` is since 1970, None for when it is sent."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    timestamp_ms: int | None = None


class Database(Struct, frozen=True, kw_only=True):
    """What `source` says about every change: our version, Debezium's `topic.prefix`, the database's name."""

    version: str
    name: str
    db: str


class Moment(Struct, frozen=True, kw_only=True):
    """What `source` says about all changes of one transaction, or of one snapshot.

    `time_us` is when it was committed, in microseconds since 1970; `tx_id` is None outside of transactions.
    `last_commit` is the end of the transaction before it in the stream, None when there is none; with the LSN of a
    change it makes a sequence that orders everything.
    """

    time_us: int
    tx_id: int | None
    last_commit: int | None
    snapshot: SnapshotMarker = "false"


class Named(Protocol):
    """What has a place in a database: a table, or something that belongs to none."""

    @property
    def schema(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102


def source_template(database: Database, table: Named, moment: Moment) -> bytes:
    """Return the block `source` of the changes of one table in one transaction, with two places for the LSN."""

    def text(value: str) -> bytes:
        return msgspec.json.encode(value).replace(b"%", b"%%")

    last_commit = b"null" if moment.last_commit is None else b'\\"%d\\"' % moment.last_commit
    return (
        b'{"version":%b,"connector":"postgresql","name":%b,"ts_ms":%d,"snapshot":%b,"db":%b,'
        b'"sequence":"[%b,\\"%%d\\"]","ts_us":%d,"ts_ns":%d,"schema":%b,"table":%b,"txId":%b,"lsn":%%d,"xmin":null}'
    ) % (
        text(database.version),
        text(database.name),
        moment.time_us // 1000,
        text(moment.snapshot),
        text(database.db),
        last_commit,
        moment.time_us,
        moment.time_us * 1000,
        text(table.schema),
        text(table.name),
        b"null" if moment.tx_id is None else b"%d" % moment.tx_id,
    )


def records(table: Table, change: Insert | Update | Delete, source: bytes, now_ns: int) -> list[Record]:
    """Return the records of one change: one; with the tombstone two for a delete; three for a change of the key.

    Args:
        table: as of the change.
        change: of a row of the table.
        source: the block `source` with the LSN in its places.
        now_ns: when we processed it, in nanoseconds since 1970.

    Raises:
        MalformedMessage: the change does not fit the table.
        UnreadableValue: a value is not what its type prints.
        KeyUnknown: the key is not in the change.
    """
    if isinstance(change, Insert):
        encoded = table.encode(change.new)
        return [Record(table.key_of(encoded), _value(table, NULL, table.row(encoded), source, b"c", now_ns))]
    if isinstance(change, Delete):
        encoded = table.encode(change.old)
        return _deleted(table, encoded, source, now_ns, None)
    return _updated(table, change, source, now_ns)


def _updated(table: Table, change: Update, source: bytes, now_ns: int) -> list[Record]:
    new = change.new
    if UNCHANGED in new:
        new = _filled(table, change)
    encoded = table.encode(new)
    key, row = table.key_of(encoded), table.row(encoded)
    if change.old is None:
        return [Record(key, _value(table, NULL, row, source, b"u", now_ns))]
    before = table.encode(change.old)
    old_key = table.key_of(before)
    if key == old_key or old_key is None:
        return [Record(key, _value(table, table.row(before), row, source, b"u", now_ns))]
    return [
        *_deleted(table, before, source, now_ns, [(NEW_KEY, table.plain_key_of(encoded))]),
        Record(key, _value(table, NULL, row, source, b"c", now_ns), [(OLD_KEY, table.plain_key_of(before))]),
    ]


def _deleted(
    table: Table, before: Sequence[bytes], source: bytes, now_ns: int, headers: Headers | None
) -> list[Record]:
    key = table.key_of(before)
    deleted = Record(key, _value(table, table.row(before), NULL, source, b"d", now_ns), headers)
    # Without a key a tombstone says nothing.
    return [deleted] if key is None else [deleted, Record(key, None, headers)]


def _filled(table: Table, change: Update) -> Tuple:
    """Return the new row with values from the old one where the update left a value outside of the row alone.

    Raises:
        MalformedMessage: the change does not fit the table.
        KeyUnknown: a column of the key is still missing.
    """
    new: list[Value] = list(change.new)
    table.check_width(new)
    if change.old is not None:
        table.check_width(change.old)
    for place, value in enumerate(change.old or ()):
        # An old row that is only a key holds null in all other columns.
        if new[place] is UNCHANGED and (change.old_is_full or place in table.identity):
            new[place] = value
    if any(new[place] is UNCHANGED for place in table.key):
        raise KeyUnknown(f"an update of {table} leaves out its key; ALTER TABLE {table} REPLICA IDENTITY FULL")
    return new


def _value(table: Table, before: bytes, after: bytes, source: bytes, op: bytes, now_ns: int) -> bytes:
    return table.with_schema(_VALUE % (before, after, source, op, processed_at(now_ns)))


def processed_at(now_ns: int) -> bytes:
    """Return the members of the envelope that say when we processed a change, in nanoseconds since 1970."""
    return b'"ts_ms":%d,"ts_us":%d,"ts_ns":%d' % (now_ns // 1_000_000, now_ns // 1000, now_ns)
