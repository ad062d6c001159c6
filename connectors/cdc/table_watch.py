"""Whether tables have been created that are captured too, while the stream goes on."""

from connectors.cdc.matching_tables import MatchingTables
from connectors.cdc.session import Session

LOOK_SECONDS = 10.0


class TableWatch:
    """Looks for tables that match the patterns, every ten seconds and not less often than heartbeats are written.

    Args:
        tables: those that match.
        session: the tables that are captured by now; its control connection asks.

    Attributes:
        found: whether there are more. They are captured from the next connection on.
    """

    def __init__(self, tables: MatchingTables, session: Session) -> None:
        self._tables = tables
        self._session = session
        self._interval = min(LOOK_SECONDS, session.config.heartbeat_seconds)
        self._looked = 0.0
        self.found = False

    def look(self, now: float) -> None:
        """Look if it is time to, at the monotonic time `now`.

        Raises:
            Fatal, Disconnected: the catalogue cannot be read.
        """
        config = self._session.config
        if self._session.found.server.in_recovery:
            return  # what is found could not be read beside the stream
        if self.found or not config.patterns or now - self._looked < self._interval:
            return
        self._looked = now
        self.found = not config.topics.keys() >= self._tables.look(self._session.control).topics.keys()
