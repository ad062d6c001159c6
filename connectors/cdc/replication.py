"""The replication connection: create a slot, stream from it, report how far we are.

Format: PostgreSQL documentation, "Streaming Replication Protocol".
"""

import time
from struct import Struct as Layout
from typing import NamedTuple

from msgspec import Struct

from connectors.cdc.connect import connect
from connectors.cdc.errors import Disconnected, MalformedMessage
from connectors.cdc.lsn import format_lsn, parse_lsn
from connectors.cdc.pgoutput import POSTGRES_EPOCH_US
from connectors.cdc.stop import Stop
from connectors.cdc.wire import Wire

# Of one read: enough to make its overhead vanish, little enough that the loop looks at its clock again soon.
RUN_MESSAGES = 1_000
RUN_BYTES = 1 << 20

DATA, KEEPALIVE = b"wk"
DATA_HEADER = 25  # type, start LSN, end LSN, time of sending
KIND = slice(DATA_HEADER, DATA_HEADER + 1)  # of the message of pgoutput in a DATA message

_KEEPALIVE = Layout(">BQqB")
_STATUS = Layout(">cQQQqB")


class CreatedSlot(Struct, frozen=True):
    """A new slot: streaming starts at `consistent_point`, and `snapshot` shows the tables as they were there."""

    name: str
    consistent_point: int
    snapshot: str


class Keepalive(NamedTuple):
    """The server has nothing for us before `lsn` but what it has sent. It may ask for a status at once."""

    lsn: int
    reply_requested: bool


class ReplicationConnection:
    """One connection in replication mode. Lost or closed, it is of no more use.

    Raises:
        Misconfigured: the dsn cannot be used, or the server does not let us in.
        Disconnected: the server does not answer.
    """

    def __init__(self, dsn: str, *, name: str) -> None:
        self._wire = Wire(connect(dsn, name=name, replication=True))

    def create_slot(self, slot: str, stop: Stop, *, failover: bool = False) -> CreatedSlot:
        """Create a slot. This waits for all transactions that are writing now, however long they take.

        The snapshot can be imported by other sessions until the next command on this connection. A failover slot is
        kept on standbys too (PostgreSQL 17 and later).

        Raises:
            Stopped: a stop was asked for meanwhile.
            Fatal: the server refuses.
            Disconnected: the connection is lost.
        """
        options = "(SNAPSHOT 'export', FAILOVER true)" if failover else "EXPORT_SNAPSHOT"
        command = f'CREATE_REPLICATION_SLOT "{slot}" LOGICAL pgoutput {options}'
        result = self._wire.execute(command.encode(), doing=f"creating source.slot {slot}", stop=stop)
        values = {result.fname(place): result.get_value(0, place) for place in range(result.nfields)}
        point, snapshot = values.get(b"consistent_point"), values.get(b"snapshot_name")
        if point is None or snapshot is None:
            raise MalformedMessage("CREATE_REPLICATION_SLOT returned no consistent point or no snapshot")
        return CreatedSlot(slot, parse_lsn(point.decode()), snapshot.decode())

    def keep_on_standbys(self, slot: str, stop: Stop) -> None:
        """Make a slot that nobody streams from a failover slot.

        Raises:
            Stopped, Fatal, Disconnected: see `create_slot`.
        """
        command = f'ALTER_REPLICATION_SLOT "{slot}" (FAILOVER true)'
        self._wire.execute(command.encode(), doing=f"changing source.slot {slot}", stop=stop)

    def start(self, slot: str, lsn: int, options: str, stop: Stop) -> None:
        """Start to stream the transactions that end after `lsn`.

        Args:
            slot: to stream from.
            lsn: where to start.
            options: of the output plugin.
            stop: looked at while waiting.

        Raises:
            SlotBusy: another process streams from the slot.
            Fatal: the server refuses.
            Disconnected: the connection is lost.
        """
        command = f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(lsn)} ({options})'
        self._wire.execute(command.encode(), doing=f"streaming from source.slot {slot}", stop=stop)

    def read(self, timeout: float) -> list[bytes]:
        """Return the messages that are here, or wait up to `timeout` seconds for some.

        A message that starts with DATA carries, from DATA_HEADER on, one message of pgoutput; `start_lsn` tells where
        in the WAL it comes from. One that starts with KEEPALIVE is read by `keepalive`.

        Raises:
            Fatal: the server ended the stream with an error that no retry can mend.
            Disconnected: the connection is lost, or the server ended the stream.
        """
        found = self._wire.read(messages=RUN_MESSAGES, size=RUN_BYTES, timeout=timeout)
        if found is None:
            raise Disconnected("source.dsn: the server ended the stream; it is shutting down")
        return found

    def send_status(self, *, received: int, confirmed: int, reply: bool = False) -> None:
        """Report how far we are.

        Args:
            received: end of what has arrived here.
            confirmed: the server may forget everything before it.
            reply: ask for a keepalive, which tells how far the server is.

        Raises:
            Disconnected: the connection is lost.
        """
        now_us = time.time_ns() // 1000 - POSTGRES_EPOCH_US
        self._wire.write(_STATUS.pack(b"r", received, confirmed, confirmed, now_us, reply))

    def close(self) -> None:
        """End the session. Harmless when it is lost or closed."""
        self._wire.close()


def plugin_options(server_version: int, publication: str, *, streaming: bool) -> str:
    """Return the options of pgoutput: as new a version of the protocol as the server speaks, and all it has to tell.

    Version 3 is about prepared transactions, which are not asked for.

    Args:
        server_version: as `server_version_num`.
        publication: which changes.
        streaming: large transactions while they run.
    """
    # An option of a replication command is a string whose content is a list of identifiers.
    names = '"{}"'.format(publication.replace('"', '""')).replace("'", "''")
    if server_version < 140_000:
        return f"proto_version '1', publication_names '{names}'"
    version, mode = ("4", "parallel") if server_version >= 160_000 else ("2", "on")
    how = f"proto_version '{version}', streaming '{mode}'" if streaming else "proto_version '1'"
    return f"{how}, publication_names '{names}', messages 'true'"


def start_lsn(message: bytes) -> int:
    """Return where in the WAL a DATA message comes from.

    Raises:
        MalformedMessage: it is too short.
    """
    if len(message) <= DATA_HEADER:
        raise MalformedMessage(f"a message of the stream has only {len(message)} bytes")
    return int.from_bytes(message[1:9])


def keepalive(message: bytes) -> Keepalive:
    """Read a KEEPALIVE message.

    Raises:
        MalformedMessage: it has another length.
    """
    if len(message) != _KEEPALIVE.size:
        raise MalformedMessage(f"a keepalive has {len(message)} bytes")
    _, lsn, _, reply = _KEEPALIVE.unpack(message)
    return Keepalive(lsn, bool(reply))
