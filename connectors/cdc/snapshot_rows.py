"""The rows of a snapshot, from what COPY prints to records in one pass.

Where a line holds no backslash it holds no null and nothing escaped, and its fields are its values: that is usual, and
saves half of what a row costs.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter

from connectors.cdc.copy_text import parse_row
from connectors.cdc.envelope import processed_at
from connectors.cdc.pgoutput import Tuple
from connectors.cdc.publisher import Outgoing, Report
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
        self._width = len(table.encoders)
        self._value = table.template_with_schema(
            b'{"before":null,"after":'
            + table.row_template
            + b',"source":'
            + source
            + b',"transaction":null,"op":"r",%b}'
        )
        self._key_values: Callable[[list[bytes]], object] | None = itemgetter(*table.key) if table.key else None
        self._lsn = lsn

    def of_lines(self, lines: Iterable[bytes], now_ns: int, report: Report) -> list[Outgoing]:
        """Return the records of rows as COPY prints them.

        Raises:
            MalformedMessage: a row has more or fewer values than the table has columns.
            UnreadableValue: a value is not what its type prints.
        """
        encoders, width, encode_all = self._table.encoders, self._width, self._table.encode
        rows: list[list[bytes]] = []
        for line in lines:
            fields = line[:-1].split(b"\t")
            if b"\\" in line or len(fields) != width:
                rows.append(encode_all(parse_row(line)))
                continue
            try:
                rows.append([encode(value) for encode, value in zip(encoders, fields, strict=True)])
            except (ValueError, KeyError):
                rows.append(encode_all(fields))  # finds the column and says so
        return self._records(rows, now_ns, report)

    def of_values(self, rows: Iterable[Tuple], now_ns: int, report: Report) -> list[Outgoing]:
        """Return the records of rows that have been parsed.

        Raises:
            MalformedMessage, UnreadableValue: see `of_lines`.
        """
        return self._records(map(self._table.encode, rows), now_ns, report)

    def _records(self, rows: Iterable[list[bytes]], now_ns: int, report: Report) -> list[Outgoing]:
        value, key, key_values = self._value, self._table.key_template, self._key_values
        rest = (self._lsn, self._lsn, processed_at(now_ns))
        if key_values is None:
            return [{"key": None, "value": value % (*row, *rest), "callback": report} for row in rows]
        return [{"key": key % key_values(row), "value": value % (*row, *rest), "callback": report} for row in rows]
