# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Look for words in the bytes of files as they lie on a disk, through the compressions that they were written with.

Lucene (Elasticsearch, indexes of Neo4j) compresses with LZ4, which leaves what it meets for the first time as it is:
look there for words that nothing else begins like.
"""

import base64
import gzip
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

_BATCH_HEADER = 61  # of a record batch of version 2, see Kafka's documentation of the message format
_CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_TEXT = 3  # the type of InfluxDB's text fields
_LARGEST = 64 * 1024 * 1024


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
    elif path.suffix == ".tsm":
        yield from _texts_of_points(data)
    elif path.suffix == ".wal":
        yield from _log_of_points(data)
    elif data.startswith(b"REDIS"):
        yield from _strings_of_redis(data)


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


def _texts_of_points(data: bytes) -> Iterator[bytes]:
    """Yield the text fields of an InfluxDB file of points: blocks, an index of them, where that begins."""
    at, end = int.from_bytes(data[-8:]), len(data) - 8
    while at < end:
        at += 2 + int.from_bytes(data[at : at + 2])  # the key: series and field
        kind, count = data[at], int.from_bytes(data[at + 1 : at + 3])
        at += 3
        for entry in range(at, at + 28 * count, 28):
            place, size = int.from_bytes(data[entry + 16 : entry + 24]), int.from_bytes(data[entry + 24 : entry + 28])
            if kind == _TEXT:
                block = data[place + 5 : place + size]  # behind a checksum and its type
                times, begin = _varint(block, 0)
                yield _snappy(block[begin + times + 1 :])
        at += 28 * count


def _log_of_points(data: bytes) -> Iterator[bytes]:
    """Yield the entries of an InfluxDB write-ahead log: a type, a length, what Snappy made."""
    at = 0
    while at + 5 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 5])
        yield _snappy(data[at + 5 : at + 5 + size])
        at += 5 + size


def _strings_of_redis(data: bytes) -> Iterator[bytes]:
    """Yield what LZF has compressed in a snapshot, or in the append-only file's base, which is one."""
    at = data.find(b"\xc3")
    while at >= 0:
        try:
            size, begin = _redis_length(data, at + 1)
            whole, begin = _redis_length(data, begin)
            if 0 < size < whole <= _LARGEST:
                text = _lzf(data[begin : begin + size])
                if len(text) == whole:
                    yield text
        except IndexError:
            pass  # this byte is something else
        at = data.find(b"\xc3", at + 1)


def _redis_length(data: bytes, at: int) -> tuple[int, int]:
    first = data[at]
    match first >> 6:
        case 0:
            return first, at + 1
        case 1:
            return (first & 63) << 8 | data[at + 1], at + 2
        case _:
            return int.from_bytes(data[at + 1 : at + 5]), at + 5


def _lzf(data: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(data):
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[at]
            at += 1
        back = len(out) - ((control & 31) << 8) - data[at] - 1
        at += 1
        if back < 0:
            raise IndexError
        for offset in range(length + 2):
            out.append(out[back + offset])
    return bytes(out)


def _snappy(data: bytes) -> bytes:
    size, _ = _varint(data, 0)
    return pa.decompress(data, decompressed_size=size, codec="snappy", asbytes=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
