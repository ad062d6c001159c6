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
from typing import cast

from connectors.cdc.publisher import Outgoing, Report
from connectors.cdc.replication import DATA_HEADER
from connectors.cdc.tables import Table

# From a message of the stream, with its header, and the members of the envelope that say when it is processed, to its
# record, the tombstone after a delete left out; None when the message has to go the other way.
Make = Callable[[bytes, bytes], Outgoing | None]
# The kind of a message and the table's OID, which tell what to do with it.
ROUTE = slice(DATA_HEADER, DATA_HEADER + 5)

_ROW = ROUTE.stop + 3
_HEAD = slice(ROUTE.stop, _ROW)  # what the row is, and its number of columns
_TEXT, _NULL = b"tn"
_value_at = Layout(">BI").unpack_from  # the kind of a value, and its length where it has one
_lsn_of = Layout(">xQ").unpack_from
# A null in the last column is one byte, where a kind and a length are read: without these they would lie past the end.
_PADDING = bytes(4)


class Shortcut:
    """What is done with the usual messages of one kind for one table in one transaction.

    Attributes:
        kind: of message: "I", "U" or "D".
        op: of event: "c", "u" or "d".
        table: as of these changes.
        make: makes a record of a message.
        append: takes the record.
        count: of records that nobody has been told of yet.
    """

    __slots__ = ("append", "count", "kind", "make", "op", "table")

    def __init__(self, kind: bytes, op: str, table: Table, make: Make, append: Callable[[Outgoing], None]) -> None:
        self.kind = kind
        self.op = op
        self.table = table
        self.make = make
        self.append = append
        self.count = 0


def shortcuts_of(table: Table, source: bytes, report: Report, outgoing: list[Outgoing]) -> list[Shortcut]:
    """Return what is done with a table's usual changes in one transaction.

    Args:
        table: as of these changes.
        source: the block `source` of these changes, with two places for the LSN.
        report: of the records.
        outgoing: the list that they go to.
    """
    source = b',"source":' + source + b',"transaction":null,"op":'
    row = table.row_template
    created = b'{"before":null,"after":' + row + source + b'"c",%b}'
    updated = b'{"before":null,"after":' + row + source + b'"u",%b}'
    deleted = b'{"before":' + row + b',"after":null' + source + b'"d",%b}'
    return [
        Shortcut(b"I", "c", table, _maker(table, b"N", created, report), outgoing.append),
        Shortcut(b"U", "u", table, _maker(table, b"N", updated, report), outgoing.append),
        # Whether the old row is a whole one or a key, what is not in it is null.
        Shortcut(b"D", "d", table, _maker(table, b"OK", deleted, report), outgoing.append),
    ]


def _maker(table: Table, kinds: bytes, template: bytes, report: Report) -> Make:
    # Everything that a row needs is a local name here: it is looked up for each column of each row.
    encoders, nulls = table.encoders, table.nulls
    template = table.template_with_schema(template)
    heads = tuple([b"%c" % kind + len(encoders).to_bytes(2) for kind in kinds])
    key_template = table.key_template
    key_values = cast("Callable[[list[bytes]], object] | None", itemgetter(*table.key) if table.key else None)

    def make(message: bytes, now: bytes) -> Outgoing | None:
        if message[_HEAD] not in heads:
            return None
        padded = message + _PADDING
        at = _ROW
        encoded: list[bytes] = []
        append = encoded.append
        try:
            for encode in encoders:
                kind, size = _value_at(padded, at)
                if kind == _TEXT:
                    at += 5
                    end = at + size
                    append(encode(padded[at:end]))
                    at = end
                elif kind == _NULL:
                    append(nulls[len(encoded)])
                    at += 1
                else:
                    return None
        except (ValueError, KeyError, IndexError, LayoutError):
            return None  # the other way finds the column and says so
        if at != len(message):
            return None
        lsn = _lsn_of(message)
        return {
            "key": None if key_values is None else key_template % key_values(encoded),
            "value": template % (*encoded, *lsn, *lsn, now),
            "callback": report,
        }

    return make
