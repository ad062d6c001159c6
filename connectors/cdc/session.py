"""All that belongs to one attempt: it is opened together and closed together."""

from msgspec import Struct, field
from psycopg import Connection

from connectors.cdc.config import CdcConfig
from connectors.cdc.counters import Counters
from connectors.cdc.created_topics import CreatedTopics
from connectors.cdc.envelope import Database
from connectors.cdc.found import Found
from connectors.cdc.known_values import KnownValues
from connectors.cdc.notifications import Notifications
from connectors.cdc.offset_log import OffsetLog
from connectors.cdc.publisher import Publisher
from connectors.cdc.replication import ReplicationConnection
from connectors.cdc.signal_table import SignalTable
from connectors.cdc.stop import Stop
from connectors.cdc.window import Window


class Session(Struct, frozen=True, kw_only=True):
    """One attempt to read a slot.

    Attributes:
        config: of the source.
        found: what there was on the server when it began.
        control: an ordinary connection; it holds the lock of the slot.
        replication: a connection in replication mode.
        publisher: for the records.
        offsets: for the offsets.
        counters: kept up to date.
        stop: looked at while waiting.
        signal_table: what the stream brings of it.
        window: the rows of a table that is read while the stream goes on.
        known: the large values of rows, as far as they were seen.
        notifications: for whoever waits for a snapshot.
        topics: creates those that rows are routed to; None when nobody does.
    """

    config: CdcConfig
    found: Found
    control: Connection
    replication: ReplicationConnection
    publisher: Publisher
    offsets: OffsetLog
    counters: Counters
    stop: Stop
    signal_table: SignalTable = field(default_factory=SignalTable)
    window: Window = field(default_factory=Window)
    known: KnownValues = field(default_factory=KnownValues)
    notifications: Notifications = field(default_factory=Notifications)
    topics: CreatedTopics | None = None

    @property
    def database(self) -> Database:
        """What every event says about where it comes from."""
        return Database(version=self.config.version, name=self.config.name, db=self.found.server.database)
