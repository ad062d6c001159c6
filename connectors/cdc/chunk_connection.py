"""The connection on which chunks are read while the stream goes on: nothing on it waits."""

from psycopg import Connection

from connectors.cdc.config import CdcConfig
from connectors.cdc.connect import connect, translated
from connectors.cdc.window import Visibility
from connectors.cdc.wire import Wire

STEP_ROWS = 1_000  # between two looks at the stream
STEP_BYTES = 1 << 20
ROWS_SECONDS = 0.005  # the wait for rows; the stream waits as long

_SNAPSHOT = b"""
SELECT pg_snapshot_xmin(s)::text::int8, pg_snapshot_xmax(s)::text::int8,
       ARRAY(SELECT x::text::int8 FROM pg_snapshot_xip(s) x), (extract(epoch FROM clock_timestamp()) * 1000000)::int8
FROM pg_current_snapshot() s
"""


class ChunkConnection:
    """Opened when it is needed; whoever has nothing to read closes it.

    Args:
        config: of the source.
    """

    def __init__(self, config: CdcConfig) -> None:
        self._config = config
        self._opened: tuple[Connection, Wire] | None = None
        self._copying = False

    def open(self) -> tuple[Connection, Wire]:
        """Return the connection, and the same for what does not wait.

        Raises:
            Fatal, Disconnected: there is none to be had.
        """
        if self._opened is None:
            connection = connect(self._config.dsn, name=f"travelos cdc snapshot {self._config.slot}")
            self._opened = connection, Wire(connection)
        return self._opened

    def close(self) -> None:
        """End the connection. Harmless when there is none."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def visibility(self, doing: str) -> tuple[Visibility, int]:
        """Return what the open transaction sees from now on, and the time in microseconds since 1970.

        Raises:
            Fatal, Disconnected: it cannot be asked for.
        """
        with translated(doing):
            row = self.open()[0].execute(_SNAPSHOT).fetchone()
        assert row is not None
        return Visibility(row[0], row[1], frozenset(row[2])), row[3]

    def start(self, query: bytes) -> None:
        """Send a COPY."""
        self.open()[1].start(query)
        self._copying = False

    def lines(self, doing: str) -> list[bytes] | None:
        """Return rows of the COPY that are here, None when all have been returned.

        Raises:
            Fatal, Disconnected: the server does not give them.
        """
        _, wire = self.open()
        self._copying = self._copying or wire.started(doing=doing)
        return wire.read(messages=STEP_ROWS, size=STEP_BYTES, timeout=ROWS_SECONDS) if self._copying else []

    @property
    def is_copying(self) -> bool:
        """Whether rows of the COPY have begun to come."""
        return self._copying
