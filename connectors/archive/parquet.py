# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false
"""Records as Parquet (zstd), without loss: `key`, `value` and headers are binary columns."""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.archive.errors import Unreadable
from connectors.kafka.reading import StoredRecord

CONTENT_TYPE = "application/vnd.apache.parquet"  # registered with IANA
COLUMNS: Any = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),  # as Kafka has it; -1 is no time, and 2^62 is allowed
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field(
            "headers",
            pa.list_(pa.struct([pa.field("name", pa.string(), nullable=False), pa.field("value", pa.binary())])),
            nullable=False,
        ),
    ]
)
_CHUNK = 5_000  # records that wait as Python objects to become a row group
# As Python objects, without the bytes that are in them; measured, as is what an open writer takes.
_RECORD_BYTES, _HEADER_BYTES = 230, 160
_WRITER_BYTES = 281_000


class Parquet:
    """Collects records, a row group after the other."""

    content_type = CONTENT_TYPE

    def __init__(self) -> None:
        self._sink = io.BytesIO()
        self._writer: Any = pq.ParquetWriter(self._sink, COLUMNS, compression="zstd")
        self._waiting: list[StoredRecord] = []
        self._waiting_bytes = 0
        self._waiting_headers = 0

    @property
    def size(self) -> int:
        """At most how large the object is, about."""
        return self._sink.tell() + self._waiting_bytes

    @property
    def memory(self) -> int:
        """About how much memory this takes now."""
        return _WRITER_BYTES + self.size + _RECORD_BYTES * len(self._waiting) + _HEADER_BYTES * self._waiting_headers

    def add(self, record: StoredRecord) -> None:
        """Add the next record."""
        self._waiting.append(record)
        self._waiting_bytes += len(record.key or b"") + len(record.value or b"")
        self._waiting_bytes += sum(len(name) + len(value or b"") for name, value in record.headers)
        self._waiting_headers += len(record.headers)
        if len(self._waiting) >= _CHUNK:
            self._write()

    def finish(self) -> bytes:
        """Return the object; nothing can be added after."""
        self._write()
        self._writer.close()
        return self._sink.getvalue()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(_table(self._waiting))
            self._waiting, self._waiting_bytes, self._waiting_headers = [], 0, 0


def read_parquet(topic: str, data: bytes) -> Iterator[StoredRecord]:
    """Yield the records of an object.

    Raises:
        Unreadable: it is damaged.
    """
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            for group in range(file.num_row_groups):
                for row in file.read_row_group(group).to_pylist():
                    headers = [(one["name"], one["value"]) for one in row.pop("headers")] or ()
                    yield StoredRecord(topic=topic, headers=headers, **row)
    except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
        raise Unreadable(f"no Parquet of an archive: {type(error).__name__}") from error


def _table(records: list[StoredRecord]) -> Any:
    columns = [
        [record.partition for record in records],
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [[{"name": name, "value": value} for name, value in record.headers] for record in records],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, COLUMNS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=COLUMNS)
