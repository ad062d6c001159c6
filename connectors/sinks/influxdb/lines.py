"""Line protocol, written by ourselves: a fifth of the time of the client's `Point`, and nothing is dropped silently.

Format: InfluxDB v2 documentation, "Line protocol". Tags are sorted by name, as the server would sort them otherwise.
What the format cannot say is refused and never changed: the official clients write a line break as backslash and n, by
which two series become one.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from schemas.writes import TimeSeriesWrite

Field = str | int | float | bool

ENTITY = "entity"  # the field that names a point's entity
VERSION = "version."  # a field of each source: the version that the point has from it
DELETED = "deleted:"  # before a measurement: what was deleted of it
CLAIM, CLAIMED_BY = "travelos:writer", "writer"  # the measurement that says who wrote last, and its field
RESERVED = ("_", DELETED, "travelos:")

EARLIEST, LATEST = -(2**63) + 2, 2**63 - 2  # the times that InfluxDB takes
MAX_SERIES_BYTES = 65_535 - 1_000  # the server's limit is one of series key and field name together
MAX_TEXT_BYTES = 1_048_576

INT64 = range(-(2**63), 2**63)
_UNSAYABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|\\\Z")
_RESERVED_TAGS = ("time", "_measurement", "_field")
_NAME = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ "})


class Unfit(ValueError):  # noqa: N818 - becomes the outcome Rejected
    """A point that InfluxDB cannot hold; the message names the field."""


class Series(NamedTuple):
    """The identity of what points of different times have in common. Tags are sorted, none is empty."""

    measurement: str
    tags: tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """The identity of a point. Tags are sorted, none is empty."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    time_ns: int


def place_of(write: TimeSeriesWrite) -> Point:
    """Return which point a write is about.

    Raises:
        Unfit: its time is none that InfluxDB has, or line protocol has no way to say measurement or tags.
    """
    if not EARLIEST <= write.time_ns <= LATEST:
        raise Unfit(f"`time_ns` is outside of {EARLIEST}..{LATEST}")
    return Point(*series_of(write.measurement, tuple(write.tags.items()))[1], write.time_ns)


def line(point: Point, *, entity: str, versions: Mapping[str, int], fields: Mapping[str, Field]) -> bytes:
    """Return a point as one line, without its line break.

    Args:
        point: which one.
        entity: what it is called elsewhere.
        versions: by source.
        fields: its content.

    Raises:
        Unfit: there are no fields, or one is no finite number, too large or has a name that is ours.
    """
    if not fields:
        raise Unfit("`fields` are empty")
    values = [
        # Most fields are finite numbers: these are worth a line of their own. (inf - inf and nan - nan are nan.)
        field_name(name) + (repr(value) if type(value) is float and value - value == 0.0 else _field_value(name, value))
        for name, value in fields.items()
    ]
    values.append(f"{ENTITY}={_text(ENTITY, entity)}")
    values += [f"{version_field(source)}{version}i" for source, version in versions.items()]
    return _encoded(f"{series_key(point.measurement, point.tags)} {','.join(values)} {point.time_ns}")


@lru_cache(maxsize=65_536)
def series_key(measurement: str, tags: tuple[tuple[str, str], ...]) -> str:
    """Return measurement and tags as they begin a line.

    Raises:
        Unfit: line protocol has no way to say them.
    """
    if not measurement:
        raise Unfit("`measurement` is empty")
    if measurement.startswith(RESERVED):
        raise Unfit(f"`measurement` begins with {' or '.join(f'`{one}`' for one in RESERVED)}, which are reserved")
    parts = [_plain("measurement", measurement).translate(_MEASUREMENT)]
    for name, value in tags:
        if not name or name in _RESERVED_TAGS:
            raise Unfit(f"`tags` has the reserved name {name!r}")
        parts.append(f"{_plain('tags', name).translate(_NAME)}={_plain(f'tags.{name}', value).translate(_NAME)}")
    key = ",".join(parts)
    if len(_encoded(key)) > MAX_SERIES_BYTES:
        raise Unfit(f"`measurement` and `tags` have more than {MAX_SERIES_BYTES:,} bytes")
    return key


def tombstone_line(point: Point, *, entity: str, versions: Mapping[str, tuple[int, bool]]) -> bytes:
    """Return the line that remembers versions, by source, with whether the source's last word was a delete.

    A delete of version v is written as -1 - v: one field, one atomic value, and all of int64 has room.
    """
    values = [f"{ENTITY}={_text(ENTITY, entity)}"]
    for source, (version, gone) in versions.items():
        values.append(f"{version_field(source)}{-1 - version if gone else version}i")
    return _encoded(f"{DELETED}{series_key(point.measurement, point.tags)} {','.join(values)} {point.time_ns}")


def claim_line(writer: str, time_ns: int) -> bytes:
    """Return the line that says who writes from now on; a name has no character that would have to be escaped."""
    return f'{CLAIM} {CLAIMED_BY}="{writer}" {time_ns}'.encode()


@lru_cache(maxsize=65_536)
def series_of(measurement: str, tags: tuple[tuple[str, str], ...]) -> tuple[str, Series]:
    """Return how the lines of a series begin, and the series; tags come in any order, and may be empty.

    Raises:
        Unfit: line protocol has no way to say them.
    """
    in_order = tuple(sorted((name, value) for name, value in tags if value))
    return series_key(measurement, in_order), Series(measurement, in_order)


@lru_cache(maxsize=4_096)
def field_name(name: str) -> str:
    """Return how a field begins in a line.

    Raises:
        Unfit: its name is one that is ours or the server's, or line protocol cannot say it.
    """
    if not name or name in ("time", ENTITY) or name.startswith(("_", VERSION)):
        raise Unfit(f"`fields` has the reserved name {name!r}")
    return _plain("fields", name).translate(_NAME) + "="


@lru_cache(maxsize=4_096)
def version_field(source: str) -> str:
    """Return how the field of a source's version begins in a line.

    Raises:
        Unfit: line protocol cannot say the source's name.
    """
    return VERSION + _plain("source", source).translate(_NAME) + "="


def _field_value(name: str, value: Field) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            if not math.isfinite(value):
                raise Unfit(f"`fields.{name}` is not a finite number: {value}")
            return repr(value)
        case int():
            if value not in INT64:
                raise Unfit(f"`fields.{name}` does not fit into 64 bits")
            return f"{value}i"
        case str():
            return _text(f"fields.{name}", value)


def _text(field: str, value: str) -> str:
    if len(value) > MAX_TEXT_BYTES // 4 and len(value.encode()) > MAX_TEXT_BYTES:
        raise Unfit(f"`{field}` has more than {MAX_TEXT_BYTES:,} bytes")
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _plain(field: str, value: str) -> str:
    if _UNSAYABLE.search(value):
        raise Unfit(f"`{field}` has a control character or ends in a backslash, which line protocol cannot say")
    return value


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Unfit(f"text is not valid Unicode: {error.reason}") from error
