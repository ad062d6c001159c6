"""The common changes of one table, from the bytes of a message to a record in one pass.

Decoding a message into values, those into JSON and that into an envelope, one step after the other as `pgoutput`,
`tables` and `envelope` do it, costs twice as much. Here all that is the same for the rows of a table in a
transaction is one template, and only what is usual is understood: inserts, updates without an old row, deletes.
Several of them in a row are made column by column, which costs less than half of that again.
Everything else, and everything that looks damaged, is left to those modules, which know what to make of it and what to
say about it. A test compares the ways on whatever hypothesis thinks of.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from operator import itemgetter
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812
from typing import cast

from connectors.cdc.columns import encoded_column
from connectors.cdc.publisher import Outgoing
from connectors.cdc.receipt import Receipt
from connectors.cdc.replication import DATA_HEADER
from connectors.cdc.tables import Table

# From a message of the stream, with its header, and the members of the envelope that say when it is processed, to its
# record, the tombstone after a delete left out; None when the message has to go the other way.
Make = Callable[[bytes, bytes], Outgoing | None]
# The same for messages of one kind and one table; None when one of them has to go the other way, or to go alone.
MakeAll = Callable[[Sequence[bytes], bytes], list[Outgoing] | None]
# The kind of a message and the table's OID, which tell what to do with it.
ROUTE = slice(DATA_HEADER, DATA_HEADER + 5)

_ROW = ROUTE.stop + 3
_HEAD = slice(ROUTE.stop, _ROW)  # what the row is, and its number of columns
_TEXT, _NULL = b"tn"
# How a column begins whose text has fewer than 256 bytes; the last byte of its length follows. Postgres stores no NUL
# in a text, so a row that holds this as often as it has columns holds it at the head of each and nowhere else.
_SHORT_TEXT = b"t\0\0\0"
_without_length = itemgetter(slice(1, None))
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
        make_all: makes records of several.
        outgoing: takes the records.
        count: of records that nobody has been told of yet.
    """

    __slots__ = ("count", "kind", "make", "make_all", "op", "outgoing", "table")

    def __init__(
        self, kind: bytes, op: str, table: Table, make: Make, make_all: MakeAll, outgoing: list[Outgoing]
    ) -> None:
        self.kind = kind
        self.op = op
        self.table = table
        self.make = make
        self.make_all = make_all
        self.outgoing = outgoing
        self.count = 0


def shortcuts_of(table: Table, source: bytes, receipt: Receipt, outgoing: list[Outgoing]) -> list[Shortcut]:
    """Return what is done with a table's usual changes in one transaction.

    Args:
        table: as of these changes.
        source: the block `source` of these changes, with two places for the LSN.
        receipt: of the records.
        outgoing: the list that they go to.
    """
    source = b',"source":' + source + b',"transaction":null,"op":'
    row = table.row_template
    ways = [
        (b"I", "c", b"N", b'{"before":null,"after":' + row + source + b'"c",%b}'),
        (b"U", "u", b"N", b'{"before":null,"after":' + row + source + b'"u",%b}'),
        # Whether the old row is a whole one or a key, what is not in it is null.
        (b"D", "d", b"OK", b'{"before":' + row + b',"after":null' + source + b'"d",%b}'),
    ]
    found: list[Shortcut] = []
    for kind, op, rows, template in ways:
        heads = tuple([b"%c" % row_kind + len(table.encoders).to_bytes(2) for row_kind in rows])
        whole = table.template_with_schema(template)
        one, many = _maker(table, heads, whole, receipt), _maker_of_many(table, heads, whole, receipt)
        found.append(Shortcut(kind, op, table, one, many, outgoing))
    return found


def _maker(table: Table, heads: tuple[bytes, ...], template: bytes, receipt: Receipt) -> Make:
    # Everything that a row needs is a local name here: it is looked up for each column of each row.
    encoders, nulls = table.encoders, table.nulls
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
            "callback": receipt,
        }

    return make


def _maker_of_many(table: Table, heads: tuple[bytes, ...], template: bytes, receipt: Receipt) -> MakeAll:
    encoders, nulls, key = table.encoders, table.nulls, table.key
    key_template, width = table.key_template, len(encoders)

    def make_all(messages: Sequence[bytes], now: bytes) -> list[Outgoing] | None:
        rows: list[Sequence[bytes | None]] = []
        for message in messages:
            if message[_HEAD] not in heads:
                return None
            first, *texts = message[_ROW:].split(_SHORT_TEXT)
            row = list(map(_without_length, texts)) if len(texts) == width and not first else _row_of(message, width)
            if row is None:
                return None
            rows.append(row)
        try:
            columns = [
                list(encoded_column(encode, null, column))
                for encode, null, column in zip(encoders, nulls, zip(*rows, strict=True), strict=True)
            ]
        except (ValueError, KeyError):
            return None  # the other way finds the row and the column, and says so
        lsns = [lsn for (lsn,) in map(_lsn_of, messages)]
        values = map(template.__mod__, zip(*columns, lsns, lsns, repeat(now, len(lsns)), strict=True))
        if not key:
            return [{"key": None, "value": value, "callback": receipt} for value in values]
        keys = map(key_template.__mod__, zip(*[columns[place] for place in key], strict=True))
        return [{"key": key, "value": value, "callback": receipt} for key, value in zip(keys, values, strict=True)]

    return make_all


def _row_of(message: bytes, width: int) -> list[bytes | None] | None:
    """Return the values of a row in which some are null or long; None when it holds anything else."""
    at = _ROW
    row: list[bytes | None] = []
    padded = message + _PADDING
    try:
        for _ in range(width):
            kind, size = _value_at(padded, at)
            if kind == _TEXT:
                at += 5 + size
                row.append(padded[at - size : at])
            elif kind == _NULL:
                at += 1
                row.append(None)
            else:
                return None
    except LayoutError:
        return None
    return row if at == len(message) else None
