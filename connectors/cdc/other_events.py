"""Events that are about no row: truncated tables, logical messages, and where transactions begin and end. Pure.

Format: Debezium 3.4, Postgres connector, JSON converter.
"""

from binascii import b2a_base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from connectors.cdc.envelope import Record, processed_at
from connectors.cdc.pgoutput import LogicalMessage
from connectors.cdc.schema_blocks import SOURCE, TRANSACTION, Schema, array_of, placed, simple, struct_of, wrapped

_NOTHING = b',"transaction":null,'
_TRUNCATED = b'{"before":null,"after":null,"source":%b,"transaction":null,"op":"t",%b}'


def _required(name: str, kind: str) -> dict[str, Any]:
    return placed(simple(kind), optional=False, field=name)


def _optional(name: str, kind: str) -> dict[str, Any]:
    return placed(simple(kind), optional=True, field=name)


def _named(name: str, *fields: dict[str, Any]) -> bytes:
    """Return a schema of the first version as JSON."""
    return msgspec.json.encode(placed(struct_of(fields, name=name, version=1), optional=False))


_COLLECTION: Schema = struct_of(
    [_required("data_collection", "string"), _required("event_count", "int64")], name="event.collection", version=1
)
_MESSAGE: Schema = struct_of(
    [_optional("prefix", "string"), _optional("content", "bytes")],
    name="io.debezium.connector.postgresql.Message",
    version=1,
)
_TRANSACTION_KEY = _named("io.debezium.connector.common.TransactionMetadataKey", _required("id", "string"))
_TRANSACTION_VALUE = _named(
    "io.debezium.connector.common.TransactionMetadataValue",
    _required("status", "string"),
    _required("id", "string"),
    _optional("event_count", "int64"),
    placed(array_of(_COLLECTION), optional=True, field="data_collections"),
    _required("ts_ms", "int64"),
)
_MESSAGE_KEY = _named("io.debezium.connector.postgresql.MessageKey", _optional("prefix", "string"))
_MESSAGE_VALUE = _named(
    "io.debezium.connector.postgresql.MessageValue",
    _required("op", "string"),
    _optional("ts_ms", "int64"),
    placed(SOURCE, optional=False, field="source"),
    placed(TRANSACTION, optional=True, field="transaction"),
    placed(_MESSAGE, optional=False, field="message"),
)


def truncated(source: bytes, now_ns: int) -> bytes:
    """Return the value of the record that says that a table was emptied. It has no key.

    Args:
        source: the block `source`.
        now_ns: when we processed it, in nanoseconds since 1970.
    """
    return _TRUNCATED % (source, processed_at(now_ns))


def logical_message(message: LogicalMessage, source: bytes, now_ns: int, *, schemas: bool) -> Record:
    """Return the record of a message that somebody wrote with `pg_logical_emit_message`; its key is the prefix.

    Args:
        message: what was written.
        source: the block `source`.
        now_ns: when we processed it, in nanoseconds since 1970.
        schemas: whether key and value bring their schemas.
    """
    prefix = msgspec.json.encode(message.prefix)
    content = b2a_base64(message.content, newline=False)
    value = b'{"op":"m","ts_ms":%d,"source":%b,"transaction":null,"message":{"prefix":%b,"content":"%b"}}'
    key, value = b'{"prefix":%b}' % prefix, value % (now_ns // 1_000_000, source, prefix, content)
    return Record(wrapped(_MESSAGE_KEY, key), wrapped(_MESSAGE_VALUE, value)) if schemas else Record(key, value)


class TransactionMetadata:
    """The open transaction as Debezium's transaction topic describes it, and the place of each event in it.

    The id of a transaction is its number and the LSN of the event in question, as Debezium's is.

    Args:
        schemas: whether keys and values bring their schemas.
    """

    def __init__(self, *, schemas: bool) -> None:
        self._schemas = schemas
        self._xid = 0
        self._counts: Counter[str] = Counter()

    def begin(self, xid: int, lsn: int, committed_ms: int) -> Record:
        """Return the record that says that a transaction begins."""
        self._xid = xid
        self._counts.clear()
        return self._record("BEGIN", lsn, committed_ms, None, None)

    def placed(self, value: bytes, table: str, lsn: int) -> bytes:
        """Return the value of the next event with its place in the transaction.

        Args:
            value: with null as `transaction`. That member stands behind the row, so the last one is meant.
            table: as "<schema>.<table>".
            lsn: of the event.
        """
        self._counts[table] += 1
        place = b',"transaction":{"id":"%d:%d","total_order":%d,"data_collection_order":%d},' % (
            self._xid,
            lsn,
            self._counts.total(),
            self._counts[table],
        )
        head, _, tail = value.rpartition(_NOTHING)
        return head + place + tail

    def end(self, lsn: int, committed_ms: int) -> Record:
        """Return the record that says that the transaction has ended, and how many events of each table it had."""
        collections = [{"data_collection": table, "event_count": count} for table, count in self._counts.items()]
        return self._record("END", lsn, committed_ms, self._counts.total(), collections)

    def _record(
        self, status: str, lsn: int, committed_ms: int, count: int | None, collections: Sequence[object] | None
    ) -> Record:
        identity = f"{self._xid}:{lsn}"
        value = {
            "status": status,
            "id": identity,
            "event_count": count,
            "data_collections": collections,
            "ts_ms": committed_ms,
        }
        told, place = msgspec.json.encode(value), msgspec.json.encode({"id": identity})
        if not self._schemas:
            return Record(place, told)
        return Record(wrapped(_TRANSACTION_KEY, place), wrapped(_TRANSACTION_VALUE, told))
