"""The common changes of one table, from the bytes of a message to a record in one pass.

Decoding a message into values, those into JSON and that into an envelope, one step after the other as `pgoutput`,
`tables` and `envelope` do it, costs twice as much. Here all that is the same for the rows of a table in a
transaction is one template, and only what is usual is understood: inserts, updates without an old row, deletes.
Everything else, and everything that looks damaged, is left to those modules, which know what to make of it and what to
say about it. A test compares the two ways on whatever hypothesis thinks of.
"""

from collections.abc import Callable
from operator import itemgetter
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812

from connectors.cdc.replication import DATA_HEADER
from connectors.cdc.tables import Table
from connectors.cdc.types import NULL

# From a message of the stream, with its header, and the members of the envelope that say when it is processed, to key
# and value of its record, the tombstone after a delete left out; None when the message has to go the other way.
Shortcut = Callable[[bytes, bytes], tuple[bytes | None, bytes] | None]
# The kind of a message and the table's OID, which tell what to do with it.
ROUTE = slice(DATA_HEADER, DATA_HEADER + 5)

_FIRST_TUPLE = ROUTE.stop  # its own kind, then its number of columns
_ROW = _FIRST_TUPLE + 3
_NEW, _OLD, _KEY = b"NOK"
_TEXT, _NULL = b"tn"
_head_of = Layout(">BI").unpack_from  # the kind of a value, and its length where it has one
_lsn_of = Layout(">xQ").unpack_from
# A null in the last column is one byte, where a head is read: without these it would lie past the end.
_PADDING = bytes(4)


class FastPath:
    """The usual changes of one table within one transaction.

    Args:
        table: as of these changes.
        source: the block `source` of these changes, with two places for the LSN.

    Attributes:
        shortcuts: by kind of message ("I", "U", "D").
    """

    def __init__(self, table: Table, source: bytes) -> None:
        self._encoders = table.encoders
        self._width = len(table.encoders).to_bytes(2)
        source = b',"source":' + source + b',"transaction":null,"op":'
        row = table.row_template
        in_schema = table.template_with_schema
        self._created = in_schema(b'{"before":null,"after":' + row + source + b'"c",%b}')
        self._updated = in_schema(b'{"before":null,"after":' + row + source + b'"u",%b}')
        self._deleted = in_schema(b'{"before":' + row + b',"after":null' + source + b'"d",%b}')
        self._key = table.key_template
        self._key_values: Callable[[list[bytes | int]], object] | None = itemgetter(*table.key) if table.key else None

        self.shortcuts: dict[bytes, Shortcut] = {b"I": self._insert, b"U": self._update, b"D": self._delete}

    def _insert(self, message: bytes, now: bytes) -> tuple[bytes | None, bytes] | None:
        return self._record(message, _NEW, self._created, now)

    def _update(self, message: bytes, now: bytes) -> tuple[bytes | None, bytes] | None:
        return self._record(message, _NEW, self._updated, now)

    def _delete(self, message: bytes, now: bytes) -> tuple[bytes | None, bytes] | None:
        # Whether the old row is a whole one or a key, what is not in it is null.
        kind = _OLD if message[_FIRST_TUPLE : _FIRST_TUPLE + 1] == b"O" else _KEY
        return self._record(message, kind, self._deleted, now)

    def _record(self, message: bytes, kind: int, template: bytes, now: bytes) -> tuple[bytes | None, bytes] | None:
        if len(message) < _ROW or message[_FIRST_TUPLE] != kind or message[_FIRST_TUPLE + 1 : _ROW] != self._width:
            return None
        padded = message + _PADDING
        at = _ROW
        encoded: list[bytes | int] = []
        append = encoded.append
        try:
            for encode in self._encoders:
                kind, size = _head_of(padded, at)
                if kind == _TEXT:
                    at += 5
                    end = at + size
                    append(encode(padded[at:end]))
                    at = end
                elif kind == _NULL:
                    append(NULL)
                    at += 1
                else:
                    return None
        except (ValueError, KeyError, IndexError, LayoutError):
            return None  # the other way finds the column and says so
        if at != len(message):
            return None
        key = None if self._key_values is None else self._key % self._key_values(encoded)
        (lsn,) = _lsn_of(message)
        return key, template % (*encoded, lsn, lsn, now)
