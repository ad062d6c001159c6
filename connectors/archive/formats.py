"""The formats of an archive's objects by name."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from connectors.archive.jsonl import JsonLines, read_lines
from connectors.archive.names import Format
from connectors.archive.parquet import Parquet, read_parquet
from connectors.kafka.reading import StoredRecord


class Encoder(Protocol):
    """Makes one object of records that are added one after the other. The same records give the same bytes."""

    content_type: str

    @property
    def size(self) -> int:
        """About how large the object is."""
        ...

    @property
    def memory(self) -> int:
        """About how much memory this takes now."""
        ...

    def add(self, record: StoredRecord) -> None:
        """Add the next record."""
        ...

    def finish(self) -> bytes:
        """Return the object; nothing can be added after."""
        ...


class _Codec(NamedTuple):
    encoder: Callable[[], Encoder]
    read: Callable[[str, bytes], Iterator[StoredRecord]]


_CODECS: dict[Format, _Codec] = {"jsonl": _Codec(JsonLines, read_lines), "parquet": _Codec(Parquet, read_parquet)}


def encoder_of(form: Format) -> Encoder:
    """Return a new encoder."""
    return _CODECS[form].encoder()


def records_in(form: Format, topic: str, data: bytes) -> Iterator[StoredRecord]:
    """Yield the records of an object in order.

    Raises:
        Unreadable: it is damaged.
    """
    return _CODECS[form].read(topic, data)
