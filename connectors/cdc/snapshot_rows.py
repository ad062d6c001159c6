"""The rows of a snapshot, from what COPY prints to records, column by column.

Where a line holds no backslash it holds no null and nothing escaped, and its fields are its values. And what is the
same for all values of a column is decided once for a batch of rows. Both together save half of what a row costs.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

from connectors.cdc.columns import encoded_column
from connectors.cdc.copy_text import parse_row
from connectors.cdc.envelope import processed_at
from connectors.cdc.pgoutput import Value
from connectors.cdc.publisher import Outgoing
from connectors.cdc.receipt import Receipt
from connectors.cdc.tables import Table


class SnapshotRows:
    """Makes the records of one table's rows.

    Args:
        table: as it was read.
        source: the block `source` of its rows, with two places for the LSN.
        lsn: that the rows carry.
    """

    def __init__(self, table: Table, source: bytes, lsn: int) -> None:
        self._table = table
        self._value = table.template_with_schema(
            b'{"before":null,"after":'
            + table.row_template
            + b',"source":'
            + source
            + b',"transaction":null,"op":"r",%b}'
        )
        self._key_values: Callable[[Sequence[bytes]], object] | None = itemgetter(*table.key) if table.key else None
        self._lsn = lsn

    def of_lines(self, lines: Iterable[bytes], now_ns: int, receipt: Receipt) -> list[Outgoing]:
        """Return the records of rows as COPY prints them.

        Raises:
            MalformedMessage: a row has more or fewer values than the table has columns.
            UnreadableValue: a value is not what its type prints.
        """
        rows = [parse_row(line) if b"\\" in line else line[:-1].split(b"\t") for line in lines]
        return self.of_values(rows, now_ns, receipt)

    def of_values(self, rows: Sequence[Sequence[Value]], now_ns: int, receipt: Receipt) -> list[Outgoing]:
        """Return the records of rows that have been parsed.

        Raises:
            MalformedMessage, UnreadableValue: see `of_lines`.
        """
        if not rows:
            return []
        try:
            columns = [
                encoded_column(encode, null, column)
                for encode, null, column in zip(
                    self._table.encoders, self._table.nulls, zip(*rows, strict=True), strict=True
                )
            ]
            encoded = list(zip(*columns, strict=True))
        except (ValueError, KeyError):
            encoded = [tuple(self._table.encode(row)) for row in rows]  # finds the row and the column, and says so
        value, key, key_values = self._value, self._table.key_template, self._key_values
        rest = (self._lsn, self._lsn, processed_at(now_ns))
        if key_values is None:
            return [{"key": None, "value": value % (row + rest), "callback": receipt} for row in encoded]
        return [{"key": key % key_values(row), "value": value % (row + rest), "callback": receipt} for row in encoded]
