# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Look for words in the bytes of files as they lie on a disk, through the compressions that the project writes with."""

import base64
import gzip
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

_BATCH_HEADER = 61  # of a record batch of version 2, see Kafka's documentation of the message format
_CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


def forms(words: str) -> list[bytes]:
    """Return a text as it may stand in a file: as it is, and inside Base64 wherever it begins there."""
    plain = words.encode()
    found = [plain]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        # The first and the last characters also hold bits of what stands beside it.
        found.append(encoded[-(-before * 8 // 6) + (1 if before else 0) : -4])
    return found


def where(folders: Iterable[Path], words: Sequence[str]) -> dict[str, list[str]]:
    """Return which of the words lie in which file below some folders."""
    wanted = {one: forms(one) for one in words}
    found: dict[str, list[str]] = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*") if _may_hold_text(path)):
        try:
            contents = list(_contents(path))
        except FileNotFoundError:  # a server has removed it meanwhile
            continue
        here = [one for one, shapes in wanted.items() if any(shape in text for shape in shapes for text in contents)]
        if here:
            found[str(path)] = here
    return found


def _may_hold_text(path: Path) -> bool:
    # Indexes of Kafka are numbers, and set aside 10 MB each.
    return path.is_file() and path.suffix not in (".index", ".timeindex")


def _contents(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data.startswith(b"PAR1") and data.endswith(b"PAR1"):
        yield str(parquet.read_table(BytesIO(data)).to_pylist()).encode()
    elif path.suffix == ".log" and path.stem.isdecimal():
        yield from _batches(data)


def _batches(data: bytes) -> Iterator[bytes]:
    """Yield the records of a Kafka segment, decompressed."""
    start = 0
    while start + _BATCH_HEADER <= len(data):
        length = int.from_bytes(data[start + 8 : start + 12]) + 12
        if length <= _BATCH_HEADER:
            return  # room that was set aside
        codec = int.from_bytes(data[start + 21 : start + 23]) & 7
        body = data[start + _BATCH_HEADER : start + length]
        if codec:
            with pa.input_stream(pa.py_buffer(body), compression=_CODECS[codec]) as stream:
                body = stream.read()
        yield body
        start += length
