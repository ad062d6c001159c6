"""Read files of JSON documents: JSON lines or one array, plain or gzip, MongoDB extended JSON understood.

Extended JSON is read in its canonical, relaxed and shell-era forms ("MongoDB Extended JSON (v2)", and v1's
`{"$date": <milliseconds>}`).
"""

import gzip
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Document = dict[str, Any]


class TableFileError(ValueError):
    """A file of which nothing can be read; the message names it and says what is expected."""


class Problem(Struct, frozen=True):
    """What is wrong with one document of a file. `number` is its line, or its place in the array, from 1."""

    number: int
    message: str


def read_documents(path: Path) -> tuple[list[tuple[int, Document]], list[Problem]]:
    """Return the objects of a file with their numbers, extended JSON made plain, and what could not be read.

    Raises:
        TableFileError: the file cannot be opened, is damaged gzip, or is an array that is no JSON.
    """
    data = _read(path)
    problems: list[Problem] = []
    found: list[tuple[int, Document]] = []
    if data.lstrip().startswith(b"["):
        try:
            values: list[tuple[int, Any]] = list(enumerate(msgspec.json.decode(data, type=list[Any]), 1))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TableFileError(f"{path} begins as a JSON array but is none: {error}") from error
    else:
        values = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    for number, value in values:
        try:
            plain = unwrap(msgspec.json.decode(value) if isinstance(value, bytes) else value)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
            problems.append(Problem(number, f"cannot be read: {error}"))
            continue
        if isinstance(plain, dict):
            found.append((number, plain))  # pyright: ignore[reportUnknownArgumentType] - JSON's keys are text
        else:
            problems.append(Problem(number, f"is no object but {type(plain).__name__}"))
    return found, problems


def unwrap(value: Any) -> Any:
    """Return a JSON value with extended JSON's wrappers (`$date`, `$numberLong`, `$oid`, ...) replaced by plain values.

    Raises:
        ValueError: a wrapper holds what it cannot hold.
        TypeError: likewise.
        OverflowError: a date outside the years 1 to 9999.
    """
    if isinstance(value, list):
        return [unwrap(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, dict):
        return value
    document = cast(Document, value)
    if len(document) == 1:
        ((name, inner),) = document.items()
        if name in _WRAPPERS:
            return _WRAPPERS[name](inner)
    return {name: unwrap(inner) for name, inner in document.items()}


def _date(value: Any) -> datetime:
    value = unwrap(value)
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, int | float):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
    raise ValueError(f"`$date` holds {type(value).__name__} instead of milliseconds or ISO 8601 text")


_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "$date": _date,
    "$numberInt": int,
    "$numberLong": int,
    "$numberDouble": float,
    "$numberDecimal": float,
    "$oid": str,
}


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableFileError(f"{path} is damaged gzip: {error}") from error
    except OSError as error:
        raise TableFileError(f"{path} cannot be read: {error.strerror}") from error
    return data.removeprefix(BYTE_ORDER_MARK)
