"""Events that are about no row: truncated tables, logical messages, and where transactions begin and end. Pure.

Format: Debezium 3.4, Postgres connector, JSON converter with `schemas.enable=false`.
"""

from binascii import b2a_base64
from collections import Counter
from collections.abc import Sequence

import msgspec

from connectors.cdc.envelope import Record, processed_at
from connectors.cdc.pgoutput import LogicalMessage

_NOTHING = b',"transaction":null,'
_TRUNCATED = b'{"before":null,"after":null,"source":%b,"transaction":null,"op":"t",%b}'


def truncated(source: bytes, now_ns: int) -> bytes:
    """Return the value of the record that says that a table was emptied. It has no key.

    Args:
        source: the block `source`.
        now_ns: when we processed it, in nanoseconds since 1970.
    """
    return _TRUNCATED % (source, processed_at(now_ns))


def logical_message(message: LogicalMessage, source: bytes, now_ns: int) -> Record:
    """Return the record of a message that somebody wrote with `pg_logical_emit_message`; its key is the prefix."""
    prefix = msgspec.json.encode(message.prefix)
    content = b2a_base64(message.content, newline=False)
    value = b'{"op":"m","ts_ms":%d,"source":%b,"transaction":null,"message":{"prefix":%b,"content":"%b"}}'
    return Record(b'{"prefix":%b}' % prefix, value % (now_ns // 1_000_000, source, prefix, content))


class TransactionMetadata:
    """The open transaction as Debezium's transaction topic describes it, and the place of each event in it.

    The id of a transaction is its number and the LSN of the event in question, as Debezium's is.
    """

    def __init__(self) -> None:
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
        return Record(msgspec.json.encode({"id": identity}), msgspec.json.encode(value))
