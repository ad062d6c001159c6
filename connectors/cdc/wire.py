"""Data that Postgres streams in COPY mode, read without ever blocking longer than asked."""

import select
from collections.abc import Iterable

import psycopg
from psycopg import pq

from connectors.cdc.connect import failure_of
from connectors.cdc.errors import Disconnected
from connectors.cdc.stop import Stop

WAIT_SECONDS = 0.2  # the longest wait before a stop is noticed


class Wire:
    """The libpq connection beneath an open `psycopg.Connection`, which must not be used otherwise meanwhile."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)
        self._copy_ended = False

    def execute(self, command: bytes, *, doing: str, stop: Stop) -> pq.abc.PGresult:
        """Run one command of the simple protocol and return its result, also one that starts COPY.

        Raises:
            Stopped: a stop was asked for meanwhile; the connection is of no more use.
            Fatal: the server refuses the command for good.
            Disconnected: the connection is lost, or the server cannot do it now.
        """
        try:
            self._pgconn.send_query(command)
            while self._pgconn.flush():
                self.wait(WAIT_SECONDS)
            while self._pgconn.is_busy():
                stop.check()
                self.wait(WAIT_SECONDS)
                self._pgconn.consume_input()
            result = self._pgconn.get_result()
        except psycopg.Error as error:
            raise Disconnected(f"{doing}: {' '.join(str(error).split())}") from None
        if result is None:
            raise Disconnected(f"{doing}: the server gave no answer")
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise failure_of(doing, result)
        if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            self._forget_results()
        self._copy_ended = False
        return result

    def start(self, command: bytes) -> None:
        """Send one command, and no more than one, without waiting for its result.

        Raises:
            Disconnected: the connection is lost.
        """
        try:
            self._pgconn.send_query_params(command, None)  # the extended protocol refuses a second statement
            while self._pgconn.flush():
                self.wait(WAIT_SECONDS)
        except psycopg.Error as error:
            raise Disconnected(f"source.dsn: {' '.join(str(error).split())}") from None
        self._copy_ended = False

    def started(self, *, doing: str) -> bool:
        """Whether the command of `start` has been carried out, or its COPY has begun; returns at once.

        Raises:
            Fatal: the server refuses the command for good.
            Disconnected: the connection is lost, or the server cannot do it now.
        """
        try:
            self._pgconn.consume_input()
            if self._pgconn.is_busy():
                return False
            result = self._pgconn.get_result()
        except psycopg.Error as error:
            raise Disconnected(f"{doing}: {' '.join(str(error).split())}") from None
        if result is None:
            raise Disconnected(f"{doing}: the server gave no answer")
        if result.status == pq.ExecStatus.FATAL_ERROR:
            self._forget_results()
            raise failure_of(doing, result)
        if result.status != pq.ExecStatus.COPY_OUT:
            self._forget_results()
        return True

    def read(self, *, messages: int, size: int, timeout: float) -> list[bytes] | None:
        """Return the COPY messages that are here, or wait up to `timeout` seconds for some.

        Args:
            messages: return at most so many.
            size: return as soon as they have so many bytes together.
            timeout: in seconds.

        Returns:
            The messages, none when none came in time; None when the server has ended the COPY.

        Raises:
            Fatal: the server ended the COPY with an error that no retry can mend.
            Disconnected: the connection is lost.
        """
        if self._copy_ended:
            return self._ended()
        found: list[bytes] = []
        get, left, dry = self._pgconn.get_copy_data, size, False
        try:
            while len(found) < messages and left > 0:
                length, data = get(1)
                if length > 0:
                    found.append(bytes(data))
                    left -= length
                    dry = False
                elif length < 0:
                    self._copy_ended = True
                    return found or self._ended()
                elif dry:
                    break
                else:
                    # libpq takes 16 kB from the socket at a time, some hundred rows; more of them cost less
                    # each. Looked at also when nothing came: TLS may hold bytes that the socket no longer shows.
                    if not found:
                        self.wait(timeout)
                    self._pgconn.consume_input()
                    dry = True
        except psycopg.Error as error:
            raise Disconnected(f"source.dsn: {' '.join(str(error).split())}") from None
        return found

    def write(self, data: bytes) -> None:
        """Send one COPY message, as soon as there is room for it.

        Raises:
            Disconnected: the connection is lost.
        """
        try:
            self._pgconn.put_copy_data(data)
            self._pgconn.flush()
        except psycopg.Error as error:
            raise Disconnected(f"source.dsn: {' '.join(str(error).split())}") from None

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read within so many seconds."""
        return bool(self._poll.poll(seconds * 1000))

    def _ended(self) -> None:
        result = self._pgconn.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            raise failure_of("the server ended the stream", result)
        self._forget_results()

    def _forget_results(self) -> None:
        """Take all that is left of the last command; only then the connection takes the next one."""
        while self._pgconn.get_result() is not None:
            pass

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._pgconn.socket

    def close(self) -> None:
        """End the session. Harmless when it is lost or closed."""
        self._connection.close()


def wait_for_any(wires: Iterable[Wire], seconds: float) -> None:
    """Wait until there is something to read from one of them, `seconds` at most."""
    poll = select.poll()
    for wire in wires:
        poll.register(wire.fileno(), select.POLLIN)
    poll.poll(seconds * 1000)
