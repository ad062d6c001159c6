"""Large transactions that the server sends while they run, kept until they are committed.

Such a transaction comes in parts, between those of others (protocol version 2 and later, option `streaming`). It may
still be rolled back, whole or by savepoints. So its messages are kept, in a file without a name once they are more than
a few, and come out at its commit in the form of version 1: Begin, the changes that count, Commit. Whoever handles
messages knows only that form.

Format: PostgreSQL documentation, "Logical Replication Message Formats", the messages of streamed transactions.
"""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct as Layout
from tempfile import TemporaryFile
from typing import IO

from connectors.cdc.errors import Disconnected, MalformedMessage
from connectors.cdc.pgoutput import POSTGRES_EPOCH_US, StreamAbort, StreamCommit, StreamStart, StreamStop, decode
from connectors.cdc.replication import DATA_HEADER, RUN_BYTES, RUN_MESSAGES

BUFFER_BYTES = 1 << 18  # of one transaction in memory
READ_BYTES = 1 << 20

# Kinds that only streaming has; and those that describe tables, which count even when what came with them does not.
CONTROL = frozenset((b"S", b"E", b"c", b"A"))
_DESCRIBING = b"RY"
_ORIGIN = ord("O")  # has no transaction's number, and says nothing that is used

_BODY = DATA_HEADER + 5  # behind the kind and the number of the (sub-)transaction
_XID = slice(DATA_HEADER + 1, _BODY)
_LENGTH = Layout(">I")  # before each message in the file
_BEGIN = Layout(">cQqI")
_COMMIT = Layout(">cBQQq")

Run = list[bytes]


class StreamedTransactions:
    """Takes the messages of the stream and keeps those of transactions that run.

    Memory is bounded by BUFFER_BYTES a transaction; the server streams only those that are larger than its
    `logical_decoding_work_mem`.

    Args:
        folder: for the files; None for the system's own.

    Attributes:
        inside: whether a part is coming: then every message is one of it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._kept: dict[int, _Kept] = {}
        self._open: _Kept | None = None  # whose part is coming
        self.inside = False

    def keep(self, message: bytes) -> None:
        """Keep a message that is inside of a part and whose kind is none of CONTROL.

        Raises:
            MalformedMessage: it is none.
            Disconnected: it cannot be kept, because the disk is full for one.
        """
        if self._open is None or len(message) < _BODY:
            raise MalformedMessage("a message of a streamed transaction is cut off")
        try:
            self._open.write(message)
        except OSError as error:
            raise _no_room(error) from error

    def take(self, message: bytes) -> Iterator[Run] | None:
        """Take a message whose kind is one of CONTROL.

        Returns:
            With a commit, the messages of the transaction in runs; they are read as they are asked for, and have to be
            before the next message is taken. Else None.

        Raises:
            MalformedMessage: it is none, or comes at the wrong time.
            Disconnected: it cannot be kept, because the disk is full for one.
        """
        try:
            control = decode(message, DATA_HEADER)
            if isinstance(control, StreamCommit):
                return self._committed(message, control)
            if isinstance(control, StreamStart) and self._open is None:
                self._start(message, control)
            elif isinstance(control, StreamStop) and self._open is not None:
                self._open, self.inside = None, False
            elif isinstance(control, StreamAbort) and self._open is None:
                self._abort(control)
            else:
                raise MalformedMessage(
                    f"a streamed transaction goes on with {type(control).__name__} at the wrong time"
                )
        except OSError as error:
            raise _no_room(error) from error
        return None

    def close(self) -> None:
        """Forget everything; the server sends it again."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()
        self._open, self.inside = None, False

    def _start(self, message: bytes, control: StreamStart) -> None:
        kept = self._kept.get(control.xid)
        if kept is None:
            if not control.first:
                raise MalformedMessage(f"transaction {control.xid} goes on without a beginning")
            kept = self._kept[control.xid] = _Kept(self._folder, message[:DATA_HEADER])
        self._open, self.inside = kept, True

    def _abort(self, control: StreamAbort) -> None:
        # With nothing kept, the transaction was rolled back before anything of it was sent.
        if control.subxid != control.xid:
            if (kept := self._kept.get(control.xid)) is not None:
                kept.aborted.add(control.subxid.to_bytes(4))
        elif (kept := self._kept.pop(control.xid, None)) is not None:
            kept.close()

    def _committed(self, message: bytes, commit: StreamCommit) -> Iterator[Run]:
        kept = self._kept.get(commit.xid)
        if kept is None or self._open is not None:
            raise MalformedMessage(f"transaction {commit.xid} is committed without a beginning")
        kept.write_out()
        time_us = commit.time_us - POSTGRES_EPOCH_US
        # As one that is not streamed begins: at its first change that counts.
        changes = (one for one in kept.messages() if one[DATA_HEADER] not in _DESCRIBING)
        header = next(changes, kept.header)[:DATA_HEADER]
        begin = header + _BEGIN.pack(b"B", commit.lsn, time_us, commit.xid)
        end = message[:DATA_HEADER] + _COMMIT.pack(b"C", 0, commit.lsn, commit.end_lsn, time_us)
        return self._replay(commit.xid, begin, kept, end)

    def _replay(self, xid: int, begin: bytes, kept: "_Kept", end: bytes) -> Iterator[Run]:
        run, size = [begin], 0
        for message in kept.messages():
            run.append(message)
            size += len(message)
            if len(run) >= RUN_MESSAGES or size >= RUN_BYTES:
                yield run
                run, size = [], 0
        del self._kept[xid]
        kept.close()
        run.append(end)
        yield run


class _Kept:
    """The messages of one transaction, and what of it was rolled back.

    Args:
        folder: for the file.
        header: of its first message, which has the LSN that the transaction begins at.
    """

    def __init__(self, folder: Path | None, header: bytes) -> None:
        self.header = header
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = TemporaryFile(dir=folder)  # noqa: SIM115 - see close
        self._parts: list[bytes] = []
        self._size = 0
        self.aborted: set[bytes] = set()

    def write(self, message: bytes) -> None:
        self._parts += (_LENGTH.pack(len(message)), message)
        self._size += len(message)
        if self._size >= BUFFER_BYTES:
            self.write_out()

    def messages(self) -> Iterator[bytes]:
        """Yield those that were written out and count, in their order and without what version 1 does not have."""
        file, aborted = self._file, self.aborted
        file.seek(0)
        held = b""
        while chunk := file.read(READ_BYTES):
            held += chunk
            at, size = 0, len(held)
            while size - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(held, at)
                begin = at + _LENGTH.size
                end = begin + length
                if end > size:
                    break
                message = held[begin:end]
                kind = message[DATA_HEADER]
                if kind != _ORIGIN and (message[_XID] not in aborted or kind in _DESCRIBING):
                    yield message[: DATA_HEADER + 1] + message[_BODY:]
                at = end
            held = held[at:]

    def close(self) -> None:
        self._parts.clear()
        self._file.close()

    def write_out(self) -> None:
        self._file.write(b"".join(self._parts))
        self._parts.clear()
        self._size = 0


def _no_room(error: OSError) -> Disconnected:
    return Disconnected(
        f"data_dir: a large transaction cannot be kept ({error.strerror}); make room, or set "
        "source.streaming = false, which leaves that to the server"
    )
