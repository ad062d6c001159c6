"""Decode the messages of Postgres's output plugin `pgoutput`, protocol versions 1 to 4. Pure: bytes in, values out.

Of the later versions these are the messages about transactions that are streamed while they run; changes within those
carry a number more, which `connectors.cdc.streamed` takes out. Prepared transactions are never asked for.

Format: PostgreSQL documentation, "Logical Replication Message Formats". Columns stay the text that Postgres printed;
`connectors.cdc.types` gives it a meaning.
"""

from collections.abc import Callable
from enum import Enum
from struct import Struct as Layout
from struct import error as LayoutError  # noqa: N812
from typing import Final, Literal

from msgspec import Struct

from connectors.cdc.errors import MalformedMessage

# Postgres counts microseconds from 2000-01-01.
POSTGRES_EPOCH_US = 946_684_800_000_000


class Unchanged(Enum):
    """The one value of a column that an update did not touch and that lies outside of the row (TOAST)."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
Value = bytes | None | Literal[Unchanged.UNCHANGED]
Tuple = list[Value]


class Begin(Struct, frozen=True, gc=False):
    """A transaction starts; all that follows until Commit belongs to it. `time_us` is its commit, since 1970."""

    final_lsn: int
    time_us: int
    xid: int


class Commit(Struct, frozen=True, gc=False):
    """A transaction ends. Streaming from `end_lsn` on leaves out this transaction and everything before it."""

    lsn: int
    end_lsn: int
    time_us: int


class Origin(Struct, frozen=True, gc=False):
    """The transaction was replicated from elsewhere."""

    lsn: int
    name: str


class RelationColumn(Struct, frozen=True, gc=False):
    """A column as of the change: `identity` when it is part of the replica identity."""

    name: str
    type_oid: int
    typmod: int
    identity: bool


class Relation(Struct, frozen=True):
    """A table as of the changes that follow. `identity`: d (primary key), f (full), i (index), n (nothing)."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]


class Type(Struct, frozen=True, gc=False):
    """A type that is not built in."""

    oid: int
    schema: str
    name: str


class Insert(Struct, frozen=True):
    """A new row."""

    relation: int
    new: Tuple


class Update(Struct, frozen=True):
    """A changed row. `old` is what the replica identity kept; `old_is_full` tells a whole row from key columns."""

    relation: int
    old: Tuple | None
    old_is_full: bool
    new: Tuple


class Delete(Struct, frozen=True):
    """A removed row."""

    relation: int
    old: Tuple
    old_is_full: bool


class Truncate(Struct, frozen=True):
    """Emptied tables."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


class LogicalMessage(Struct, frozen=True):
    """What somebody wrote with `pg_logical_emit_message`."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


class StreamStart(Struct, frozen=True, gc=False):
    """A part of a running transaction follows, up to StreamStop; `first` when nothing of it came before."""

    xid: int
    first: bool


class StreamStop(Struct, frozen=True, gc=False):
    """The part ends."""


class StreamCommit(Struct, frozen=True, gc=False):
    """A streamed transaction ends well. See Commit."""

    xid: int
    lsn: int
    end_lsn: int
    time_us: int


class StreamAbort(Struct, frozen=True, gc=False):
    """A part of a streamed transaction is rolled back, or all of it: then `subxid` is `xid`."""

    xid: int
    subxid: int


Streaming = StreamStart | StreamStop | StreamCommit | StreamAbort
Message = Begin | Commit | Origin | Relation | Type | Insert | Update | Delete | Truncate | LogicalMessage | Streaming

_U32 = Layout(">I")
_BEGIN = Layout(">QqI")
_COMMIT = Layout(">BQQq")
_RELATION_OID = Layout(">I")
_COLUMN_TYPE = Layout(">Ii")
_MESSAGE = Layout(">BQ")
_STREAM_START = Layout(">IB")
_STREAM_COMMIT = Layout(">IBQQq")
_STREAM_ABORT = Layout(">II")
_STREAM_ABORT_AT = (
    16  # bytes more with `streaming parallel`: where and when, which nobody needs who waits for the commit
)

_TEXT, _NULL, _UNCHANGED = b"tnu"
_NEW, _OLD, _KEY = b"NOK"
_IDENTITIES = b"dfin"


def decode(data: bytes, start: int = 0) -> Message:
    """Read the message that fills `data` from `start` to its end.

    Raises:
        MalformedMessage: whatever the bytes are, nothing else is raised, and no part of them is taken for a message.
    """
    try:
        decoder = _DECODERS.get(data[start])
        if decoder is None:
            raise MalformedMessage(f"unknown message type {data[start : start + 1]!r}")
        message, end = decoder(data, start + 1)
    except (IndexError, LayoutError, UnicodeDecodeError, ValueError) as error:
        raise MalformedMessage(f"message of type {data[start : start + 1]!r} is cut off or damaged: {error}") from error
    if end != len(data):
        # Slices of bytes never fail: a length that points past the end is found here.
        kind = data[start : start + 1]
        raise MalformedMessage(f"message of type {kind!r} has {len(data) - start} bytes, its fields {end - start}")
    return message


def _tuple(data: bytes, at: int) -> tuple[Tuple, int]:
    count = data[at] << 8 | data[at + 1]
    at += 2
    values: Tuple = []
    append = values.append
    for _ in range(count):
        kind = data[at]
        if kind == _TEXT:
            begin = at + 5
            at = begin + int.from_bytes(data[at + 1 : begin])
            append(data[begin:at])
        elif kind == _NULL:
            append(None)
            at += 1
        elif kind == _UNCHANGED:
            append(UNCHANGED)
            at += 1
        else:
            raise MalformedMessage(f"unknown kind of column {data[at : at + 1]!r}")
    return values, at


def _name(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _begin(data: bytes, at: int) -> tuple[Begin, int]:
    final_lsn, time_us, xid = _BEGIN.unpack_from(data, at)
    return Begin(final_lsn, time_us + POSTGRES_EPOCH_US, xid), at + _BEGIN.size


def _commit(data: bytes, at: int) -> tuple[Commit, int]:
    _, lsn, end_lsn, time_us = _COMMIT.unpack_from(data, at)
    return Commit(lsn, end_lsn, time_us + POSTGRES_EPOCH_US), at + _COMMIT.size


def _origin(data: bytes, at: int) -> tuple[Origin, int]:
    name, end = _name(data, at + 8)
    return Origin(int.from_bytes(data[at : at + 8]), name), end


def _relation(data: bytes, at: int) -> tuple[Relation, int]:
    (oid,) = _U32.unpack_from(data, at)
    schema, at = _name(data, at + 4)
    name, at = _name(data, at)
    identity = data[at]
    if identity not in _IDENTITIES:
        raise MalformedMessage(f"unknown replica identity {data[at : at + 1]!r}")
    count = data[at + 1] << 8 | data[at + 2]
    at += 3
    columns: list[RelationColumn] = []
    for _ in range(count):
        flags = data[at]
        column, at = _name(data, at + 1)
        type_oid, typmod = _COLUMN_TYPE.unpack_from(data, at)
        at += _COLUMN_TYPE.size
        columns.append(RelationColumn(column, type_oid, typmod, bool(flags & 1)))
    # pg_catalog is sent as an empty name.
    return Relation(oid, schema or "pg_catalog", name, chr(identity), tuple(columns)), at


def _type(data: bytes, at: int) -> tuple[Type, int]:
    (oid,) = _U32.unpack_from(data, at)
    schema, at = _name(data, at + 4)
    name, at = _name(data, at)
    return Type(oid, schema or "pg_catalog", name), at


def _insert(data: bytes, at: int) -> tuple[Insert, int]:
    (relation,) = _RELATION_OID.unpack_from(data, at)
    new, end = _new(data, at + 4)
    return Insert(relation, new), end


def _update(data: bytes, at: int) -> tuple[Update, int]:
    (relation,) = _RELATION_OID.unpack_from(data, at)
    at += 4
    kind = data[at]
    old = None
    if kind in (_OLD, _KEY):
        old, at = _tuple(data, at + 1)
    new, end = _new(data, at)
    return Update(relation, old, kind == _OLD, new), end


def _delete(data: bytes, at: int) -> tuple[Delete, int]:
    (relation,) = _RELATION_OID.unpack_from(data, at)
    kind = data[at + 4]
    if kind not in (_OLD, _KEY):
        raise MalformedMessage(f"a delete without the old row: {data[at + 4 : at + 5]!r}")
    old, end = _tuple(data, at + 5)
    return Delete(relation, old, kind == _OLD), end


def _new(data: bytes, at: int) -> tuple[Tuple, int]:
    if data[at] != _NEW:
        raise MalformedMessage(f"a change without the new row: {data[at : at + 1]!r}")
    return _tuple(data, at + 1)


def _truncate(data: bytes, at: int) -> tuple[Truncate, int]:
    (count,) = _U32.unpack_from(data, at)
    options = data[at + 4]
    at += 5
    if len(data) - at != 4 * count:
        raise MalformedMessage(f"a truncate of {count} tables with {len(data) - at} bytes")
    relations = tuple(oid for (oid,) in _U32.iter_unpack(data[at:]))
    return Truncate(relations, bool(options & 1), bool(options & 2)), len(data)


def _message(data: bytes, at: int) -> tuple[LogicalMessage, int]:
    flags, lsn = _MESSAGE.unpack_from(data, at)
    prefix, at = _name(data, at + _MESSAGE.size)
    (length,) = _U32.unpack_from(data, at)
    at += 4
    return LogicalMessage(bool(flags & 1), lsn, prefix, data[at : at + length]), at + length


def _stream_start(data: bytes, at: int) -> tuple[StreamStart, int]:
    xid, first = _STREAM_START.unpack_from(data, at)
    return StreamStart(xid, bool(first)), at + _STREAM_START.size


def _stream_stop(_: bytes, at: int) -> tuple[StreamStop, int]:
    return StreamStop(), at


def _stream_commit(data: bytes, at: int) -> tuple[StreamCommit, int]:
    xid, _, lsn, end_lsn, time_us = _STREAM_COMMIT.unpack_from(data, at)
    return StreamCommit(xid, lsn, end_lsn, time_us + POSTGRES_EPOCH_US), at + _STREAM_COMMIT.size


def _stream_abort(data: bytes, at: int) -> tuple[StreamAbort, int]:
    xid, subxid = _STREAM_ABORT.unpack_from(data, at)
    at += _STREAM_ABORT.size
    return StreamAbort(xid, subxid), at if at == len(data) else at + _STREAM_ABORT_AT


_DECODERS: dict[int, Callable[[bytes, int], tuple[Message, int]]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("O"): _origin,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _message,
    ord("S"): _stream_start,
    ord("E"): _stream_stop,
    ord("c"): _stream_commit,
    ord("A"): _stream_abort,
}
