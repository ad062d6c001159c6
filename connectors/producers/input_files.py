"""Files that people have: plain or gzip, with or without a byte order mark, read line by line in bounded memory."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, cast

from schemas.events import Event, InvalidEvent

MAX_LINE_BYTES = 1024 * 1024  # intake takes no larger value
READ_ERRORS = (EOFError, OSError, zlib.error)  # what a truncated or damaged gzip file raises, besides the disk itself
_GZIP = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_SKIP_BYTES = 64 * 1024

Numbered = tuple[int, Event | InvalidEvent]  # where in the file (see Reading.unit), and what was found there
Line = tuple[int, bytes | InvalidEvent]


class UnreadableFile(ValueError):  # noqa: N818 - reads as a statement
    """A file that cannot be used at all; the message says what was expected."""


class Reading(NamedTuple):
    """The records of a file. `unit` says what their numbers count, from 1: "line" or "point"."""

    unit: str
    records: Iterator[Numbered]


class InputFile:
    """A file, or standard input, opened for reading; decompressed when it is gzip, whatever its name says.

    Args:
        path: None for standard input.

    Raises:
        UnreadableFile: it does not exist, is a folder, or may not be read.
    """

    def __init__(self, path: Path | None) -> None:
        self.name = "standard input" if path is None else str(path)
        self.size: int | None = None
        self._file: BinaryIO | None = None
        if path is not None:
            try:
                self._file = path.open("rb")
            except OSError as error:
                raise UnreadableFile(f"{path} cannot be read: {error.strerror}") from error
            self.size = path.stat().st_size

    @cached_property
    def _stream(self) -> io.BufferedReader:
        # Made when it is first read, because the first look at standard input may wait for somebody to type.
        plain = _buffered(self._file or sys.stdin.buffer)
        return _buffered(gzip.GzipFile(fileobj=plain)) if plain.peek(2)[:2] == _GZIP else plain

    @property
    def position(self) -> int:
        """Bytes of the file that were read so far, before decompression; 0 for standard input."""
        return self._file.tell() if self._file is not None else 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read; waits for the first byte of standard input."""
        return not self.head(1)

    def head(self, count: int) -> bytes:
        """Return up to `count` of the next bytes without consuming them; of a damaged file, none."""
        try:
            return self._stream.peek(count)[:count]
        except READ_ERRORS:
            return b""

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes; none at the end. Raises one of READ_ERRORS."""
        return self._stream.read(count)

    def lines(self, limit: int = MAX_LINE_BYTES) -> Iterator[Line]:
        """Yield each line with its number from 1, without its end and without a byte order mark.

        A line of more than `limit` bytes is yielded as an error and skipped; an error of reading ends the file.
        """
        number = 0
        try:
            while line := self._stream.readline(limit + 1):
                number += 1
                if len(line) > limit and not line.endswith(b"\n"):
                    self._skip_line()
                    yield number, InvalidEvent(f"Expected a line of at most {limit} bytes")
                else:
                    yield number, line.removeprefix(_UTF8_MARK).rstrip(b"\r\n") if number == 1 else line.rstrip(b"\r\n")
        except READ_ERRORS as error:
            yield number + 1, InvalidEvent(f"the rest of the file cannot be read: {error}")

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._file is not None:
            self._file.close()

    def _skip_line(self) -> None:
        while (rest := self._stream.readline(_SKIP_BYTES)) and not rest.endswith(b"\n"):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _buffered(source: object) -> io.BufferedReader:
    if isinstance(source, io.BufferedReader):
        return cast(io.BufferedReader, source)
    return io.BufferedReader(cast(io.RawIOBase, source))
