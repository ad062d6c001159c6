"""What the source of changes has to know, as one plain value."""

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from msgspec import Struct, field, structs

from connectors.cdc.encoding import DEFAULT, Encoding
from connectors.cdc.filters import Filters
from connectors.cdc.outbox_options import Outbox
from connectors.cdc.publication import PublicationMode
from schemas.topics import Topic

SnapshotMode = Literal["initial", "always", "initial_only", "no_data", "when_needed"]


def project_version() -> str:
    """Return the version of this project, which events carry in `source.version`."""
    try:
        return version("travelos-streams")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "development"


class CdcConfig(Struct, frozen=True, kw_only=True):
    """Where changes come from and where they go.

    Attributes:
        dsn: of the database, for a role with REPLICATION (option `source.dsn`).
        topics: the topic of each captured table, by "<schema>.<table>"; the schema ends at the first dot.
        offsets: the topic of offsets.
        name: Debezium's `topic.prefix`, in `source.name` of each event.
        slot: logical replication slot, created by the first snapshot. One source a slot.
        publication: created when missing, as `publication_mode` says.
        publication_mode: "filtered": for the captured tables. "all_tables": for all that there are and will be.
            "disabled": not at all, and nothing is added to it either.
        failover: keep the slot on standbys too (PostgreSQL 17 and later).
        snapshot: "initial": once, when there is no offset yet. "always": at every start. "initial_only": once, and then
            nothing is streamed. "no_data": never. "when_needed": once, and when the position is lost.
        snapshot_connections: that read a table at the same time, in the snapshot before the stream.
        signal_table: whose new rows are signals, as "<schema>.<table>"; empty for none.
        signals: the topic of signals, None for none.
        chunk_rows: of a snapshot's chunk. What was being read when we were killed is read again.
        encoding: how values are written.
        heartbeat_seconds: between two messages to the WAL; they let idle tables release WAL that others fill.
        status_seconds: between two reports to the server; less where its `wal_sender_timeout` asks for it.
        offset_seconds: least time between two offsets, and so what is sent again after a crash.
        streaming: take large transactions while they run, where the server can send them (PostgreSQL 14); with
            `messages` they are taken when they are committed.
        spill_folder: where they are kept until they are committed; None for the system's folder of temporary files.
        filters: what of the tables is shown, and how.
        patterns: of tables that are captured too, once they are found on the server.
        topic_of: names the topic of a table that is found; needed with patterns.
        tombstones: send one after each delete.
        transactions: the topic that tells of transactions; None for none. Then every event tells its place in its
            transaction.
        messages: the topic of logical messages; None when they are left out.
        notifications: the topic that tells of snapshots and of the slot; None for none.
        schema_changes: the topic that tells how tables look from some change on; None for none.
        outbox: the table whose inserts are messages of their own; None for none.
        outbox_topic_of: describes a topic of these messages by its name; None when they are not ours to create.
        version: in `source.version` of each event.
    """

    dsn: str
    topics: Mapping[str, Topic]
    offsets: Topic
    name: str
    slot: str = "travelos"
    publication: str = "travelos"
    publication_mode: PublicationMode = "filtered"
    failover: bool = False
    snapshot: SnapshotMode = "initial"
    snapshot_connections: int = 1
    chunk_rows: int = 20_000
    signal_table: str = ""
    signals: Topic | None = None
    encoding: Encoding = DEFAULT
    heartbeat_seconds: float = 10.0
    status_seconds: float = 10.0
    offset_seconds: float = 1.0
    streaming: bool = True
    spill_folder: Path | None = None
    filters: Filters = Filters()
    patterns: tuple[str, ...] = ()
    topic_of: Callable[[str], Topic] | None = None
    tombstones: bool = True
    transactions: Topic | None = None
    messages: Topic | None = None
    notifications: Topic | None = None
    schema_changes: Topic | None = None
    outbox: Outbox | None = None
    outbox_topic_of: Callable[[str], Topic] | None = None
    version: str = field(default_factory=project_version)

    @property
    def tables(self) -> list[tuple[str, str]]:
        """The captured tables as (schema, name), in order."""
        return [split_name(table) for table in self.topics]

    @property
    def own_topics(self) -> list[Topic]:
        """The topics that the source needs beside those of tables."""
        others = (self.signals, self.transactions, self.messages, self.notifications, self.schema_changes)
        return [self.offsets, *(topic for topic in others if topic is not None)]

    @property
    def all_topics(self) -> list[Topic]:
        """Every topic that the source needs, those of tables as if all had keys."""
        return [*self.topics.values(), *self.own_topics]

    @property
    def unpublished(self) -> tuple[str, ...]:
        """Operations (c, u, d, t) that the server need not send. New rows of the signal table are always needed."""
        skipped = self.filters.skipped_operations
        return tuple(operation for operation in skipped if operation != "c" or not self.signal_table)

    def __repr__(self) -> str:
        return f"CdcConfig(slot={self.slot!r}, publication={self.publication!r}, tables={list(self.topics)})"

    def with_tables(self, found: Iterable[tuple[str, str]]) -> "CdcConfig":
        """Return the same with those of the tables (schema, name) captured that the patterns name."""
        if not self.patterns or self.topic_of is None:
            return self
        names = [f"{schema}.{name}" for schema, name in found if self.filters.captures(schema, name, self.patterns)]
        more = {name: self.topic_of(name) for name in names if name not in self.topics}
        return structs.replace(self, topics={**self.topics, **more})


def split_name(table: str) -> tuple[str, str]:
    """Return (schema, name) of "<schema>.<table>". Names are as the catalogue has them: no quotes, case kept."""
    schema, _, name = table.partition(".")
    return schema, name
