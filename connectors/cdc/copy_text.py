"""Rows of `COPY ... TO STDOUT` in text format.

Format: PostgreSQL documentation, COPY, "Text Format".
"""

import re

from connectors.cdc.pgoutput import Tuple

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def parse_row(line: bytes) -> Tuple:
    """Return the values of one row, None for null; the same texts that pgoutput sends."""
    fields = line.removesuffix(b"\n").split(b"\t")
    if b"\\" not in line:
        return [*fields]
    return [None if field == b"\\N" else _plain(field) for field in fields]


def _plain(field: bytes) -> bytes:
    return _ESCAPED.sub(_unescaped, field) if b"\\" in field else field


def _unescaped(match: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(match[1], match[1])
