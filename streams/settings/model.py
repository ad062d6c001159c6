"""Every option of the project, with its default, its range and what it means.

This model is the only description: `travelos.toml`, the `TRAVELOS_*` variables, `travelos config` and
docs/configuration.md all follow from it.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr, StringConstraints

from connectors.cdc.encoding import (
    Binary,
    Decimals,
    Hstore,
    Intervals,
    Nulls,
    Times,
    Unavailable,
    UnknownTypes,
)
from connectors.kafka.connection import Connection
from schemas.topics import Catalogue
from schemas.writes import StoreName
from streams.settings.archive import Archive
from streams.settings.bigquery import BigQuery
from streams.settings.conflicts import Conflicts
from streams.settings.erasure import ErasureOptions
from streams.settings.intake import Intake, LargeValueOptions
from streams.settings.keys import Keys
from streams.settings.sagas import Sagas
from streams.settings.section import PostgresName, Section
from streams.settings.worker import Worker

TableName = Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?\.\S(.*\S)?$")]  # or a pattern of such names
# With one of these it is an expression; "$" and "." are legal in names.
PATTERN_CHARACTERS = frozenset("*+?()[]{}|^\\")
RowFilter = Annotated[str, StringConstraints(pattern=r"^[^=\n]+=[^\n]+$")]
Measured = Annotated[str, StringConstraints(pattern=r"^.+=[0-9]+$")]
KeyColumns = Annotated[str, StringConstraints(pattern=r"^[^=]+=[^=]+$")]


class Kafka(Section):
    """The cluster that carries everything."""

    bootstrap: str = Field(
        default="", description="host:port[,host:port...] of the brokers; empty: started by demo and run"
    )
    topic_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9._-]*$", description="put before every topic and group name"
    )
    partitions: int = Field(default=4, ge=1, le=1_000, description="of every topic that is created")
    replication: int = Field(default=1, ge=1, le=10, description="replication factor of every topic that is created")
    create_topics: bool = Field(default=True, description="create missing topics when a role starts")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to talk to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="used with a SASL security protocol"
    )
    username: str = Field(default="", description="SASL user")
    password: SecretStr = Field(default=SecretStr(""), description="SASL password")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed the brokers' certificates"
    )

    def connection(self) -> Connection:
        """Return how clients reach the cluster."""
        return Connection(
            bootstrap=self.bootstrap,
            security_protocol=self.security_protocol,
            sasl_mechanism=self.sasl_mechanism,
            username=self.username,
            password=self.password.get_secret_value(),
            ca_file=self.ca_file,
        )


class Source(Section):
    """The Postgres database whose changes are read."""

    dsn: SecretStr = Field(default=SecretStr(""), description="connection string; empty: the embedded server")
    tables: list[TableName] = Field(
        default=["public.restaurants", "public.places", "public.users"],
        description='captured tables, as "schema.table", or as a regular expression of such names',
    )
    topic_prefix: str = Field(default="cdc.travel", pattern=r"^[A-Za-z0-9._-]+$", description="Debezium's topic.prefix")
    slot: str = Field(default="travelos", pattern=r"^[a-z0-9_]{1,63}$", description="logical replication slot")
    publication: PostgresName = Field(default="travelos", min_length=1, description="publication, created when missing")
    publication_mode: Literal["filtered", "all_tables", "disabled"] = Field(
        default="filtered",
        description="created for captured tables, for all tables, or by somebody else: publication.autocreate.mode",
    )
    failover: bool = Field(
        default=False, description="keep the slot on standbys too, from PostgreSQL 17: Debezium's slot.failover"
    )
    snapshot: Literal["initial", "always", "initial_only", "no_data", "when_needed"] = Field(
        default="initial", description="when the tables are read: Debezium's snapshot.mode"
    )
    signal_table: str = Field(
        default="",
        pattern=r"^(\S+\.\S+)?$",
        description="table whose new rows are signals: Debezium's signalling table",
    )
    snapshot_connections: int = Field(default=1, ge=1, le=32, description="connections that read one table at a time")
    snapshot_chunk_rows: int = Field(
        default=20_000, ge=1, le=1_000_000, description="rows that are read again after a crash in a snapshot"
    )
    decimals: Decimals = Field(default="string", description="numeric and money: Debezium's decimal.handling.mode")
    times: Times = Field(default="adaptive", description="dates and times: Debezium's time.precision.mode")
    intervals: Intervals = Field(default="numeric", description="interval: Debezium's interval.handling.mode")
    binary: Binary = Field(default="bytes", description="bytea: Debezium's binary.handling.mode")
    hstore: Hstore = Field(default="json", description="hstore: Debezium's hstore.handling.mode")
    unknown_types: UnknownTypes = Field(
        default="text", description="what Debezium has no form for: as printed, in base64, or left out"
    )
    schemas: bool = Field(default=False, description="each key and value with its schema: Connect's schemas.enable")
    unavailable: Unavailable = Field(
        default="fill", description="large values that an update left alone: from the row's last known value, or not"
    )
    nulls: Nulls = Field(
        default="keep", description="default: its constant for null in a column, as Connect's converter"
    )
    include_schemas: list[str] = Field(default=[], description="expressions of schemas; empty: all")
    exclude_schemas: list[str] = Field(default=[], description="expressions of schemas that are not captured")
    exclude_tables: list[str] = Field(default=[], description="expressions of tables that are not captured")
    include_columns: list[str] = Field(
        default=[], description='expressions of "schema.table.column"; empty: all; a key has all of its columns'
    )
    exclude_columns: list[str] = Field(default=[], description="expressions of columns that are left out")
    mask_columns: list[Measured] = Field(
        default=[], description='"expression=length": columns that show so many asterisks'
    )
    hash_columns: list[str] = Field(default=[], description="expressions of columns that show their SHA-256, salted")
    hash_salt: SecretStr = Field(default=SecretStr(""), description="the salt")
    truncate_columns: list[Measured] = Field(
        default=[], description='"expression=length": columns that show so many characters'
    )
    key_columns: list[KeyColumns] = Field(
        default=[], description='"expression=column;column": the key of the records of these tables'
    )
    row_filters: list[RowFilter] = Field(
        default=[], description='"expression=SQL": rows that are captured of these tables (PostgreSQL 15 and newer)'
    )
    push_down_columns: bool = Field(
        default=False, description="have the server send only captured columns (PostgreSQL 15 and newer)"
    )
    skipped_operations: list[Literal["c", "u", "d", "t"]] = Field(
        default=["t"], description="of which no events are made: create, update, delete, truncate"
    )
    outbox_table: str = Field(default="", description='"schema.table" whose inserts are messages; empty: none')
    outbox_id: str = Field(default="id", description="its column of the message's id, sent as header `id`")
    outbox_key: str = Field(default="aggregateid", description="its column of the record's key")
    outbox_timestamp: str = Field(default="", description="its column of the record's time; empty: when it is sent")
    outbox_payload: str = Field(default="payload", description="its column of the record's value")
    outbox_route_by: str = Field(default="aggregatetype", description="its column that decides the topic")
    outbox_topic: str = Field(
        default="outbox.event.${routedByValue}", description="the topic, with ${routedByValue} for that column's value"
    )
    outbox_fields: list[str] = Field(
        default=[], description='"column:placement[:name]"; placement is header, envelope or partition'
    )
    outbox_expand_json: bool = Field(default=False, description="a payload that is JSON is sent as JSON, not as text")
    outbox_tombstone_on_empty: bool = Field(default=False, description="an empty payload is sent as a tombstone")
    outbox_invalid_operation: Literal["warn", "error", "fatal"] = Field(
        default="warn", description="what an update of its rows does: it is logged, or it ends the source"
    )
    tombstones: bool = Field(default=True, description="send a tombstone after each delete")
    transaction_metadata: bool = Field(
        default=False, description="tell of each transaction, and in each event its place in it"
    )
    heartbeat_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3_600,
        description="between two messages to the WAL, so that idle tables release it: Debezium's heartbeat.interval.ms",
    )
    notifications: bool = Field(
        default=False, description="tell on a topic when snapshots start and end, and when the slot is in danger"
    )
    schema_changes: bool = Field(default=False, description="tell of tables whose columns or key have changed")
    messages: bool = Field(
        default=False, description="make events of pg_logical_emit_message (PostgreSQL 14 and newer)"
    )
    include_message_prefixes: list[str] = Field(default=[], description="expressions of their prefixes; empty: all")
    exclude_message_prefixes: list[str] = Field(default=[], description="expressions of prefixes that are left out")
    streaming: bool = Field(
        default=True,
        description="take large transactions while they run (PostgreSQL 14 and newer); false, and with messages: when "
        "they are committed",
    )

    @property
    def named_tables(self) -> list[str]:
        """The captured tables that are named, not described."""
        return [table for table in self.tables if PATTERN_CHARACTERS.isdisjoint(table)]

    @property
    def table_patterns(self) -> list[str]:
        """The expressions among the captured tables."""
        return [table for table in self.tables if not PATTERN_CHARACTERS.isdisjoint(table)]


class Registry(Section):
    """A Confluent-compatible Schema Registry; only needed when producers frame their values."""

    url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="base URL; empty: framed values become dead letters that say so",
    )
    username: str = Field(default="", description="basic authentication")
    password: SecretStr = Field(default=SecretStr(""), description="basic authentication")


class Enrich(Section):
    """What is added to events."""

    place_wait_seconds: float = Field(
        default=3_600, ge=0, description="how long an event waits for a place nobody knows yet"
    )
    nearest_place_metres: float = Field(
        default=150, gt=0, le=1_000, description="a GPS fix is 'at' a place within this"
    )
    h3_resolution: int = Field(default=9, ge=0, le=15, description="size of the H3 cell of a GPS fix; 9 is some 200 m")
    jump_kmh: float = Field(default=1_000, gt=0, description="faster between two fixes is marked as a jump")
    stay_metres: float = Field(default=100, gt=0, description="a stay is time spent within this radius")
    stay_minutes: float = Field(default=15, gt=0, description="a stay lasts at least this long")
    gap_minutes: float = Field(default=60, gt=0, description="a longer pause between fixes ends a segment")
    similar_places: int = Field(
        default=5, ge=0, le=50, description="a place is SIMILAR_TO so many, the nearest by their texts; 0: none"
    )


class Embed(Section):
    """How text and images become vectors."""

    text_model: Literal["wordllama", "sentence-transformers"] = Field(default="wordllama", description="model for text")
    image_model: Literal["perceptual", "clip"] = Field(default="perceptual", description="model for photos")
    cache_entries: int = Field(default=50_000, ge=0, description="vectors remembered by content hash and model")


class Store(Section):
    """One store: which implementation, and how much it is given at a time.

    The options of the implementation are beside these; which there are, the kind says (`connectors.sinks.kinds`).
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    kind: str = Field(
        default="embedded", min_length=1, description="embedded: a file or folder below `data_dir`; see Kinds of stores"
    )
    batch_records: int | None = Field(
        default=None, ge=1, description="most writes of a request; empty: what the kind takes, which is the most anyway"
    )
    batch_bytes: int | None = Field(default=None, ge=1, description="most bytes of a request; empty: as above")
    linger_ms: int | None = Field(
        default=None,
        ge=0,
        le=60_000,
        description="how long a write waits for others to share its request; empty: as above",
    )
    requests: int | None = Field(
        default=None, ge=1, le=64, description="requests at a time, each of other keys; empty: what the kind bears well"
    )
    rate_limit: float = Field(default=0, ge=0, description="most writes per second and worker; 0: no limit")
    rate_burst: float = Field(default=1, gt=0, description="seconds of that rate which an idle store may get at once")
    shed_lag: int = Field(
        default=0, ge=0, description="lag, in records of a worker, over which low-priority writes are put off; 0: never"
    )

    def given(self, known: Collection[str] = ()) -> dict[str, Any]:
        """Return the options of the kind that are set, as they were given.

        Args:
            known: names of the kind's options; those of them that are declared here are the kind's business, too.
        """
        declared = {
            name: getattr(self, name) for name in self.model_fields_set & set(known) & set(self.__class__.model_fields)
        }
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in declared.items()
        }
        return {name: value for name, value in plain.items() if value not in (None, "")} | (self.model_extra or {})

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # Which of the kind's options are secrets, only the kind knows.
        hidden = self.model_extra or {}
        yield from ((name, "..." if name in hidden else value) for name, value in super().__repr_args__())


class RelationalStore(Store):
    """The relational store."""

    url: SecretStr = Field(default=SecretStr(""), description="of a Postgres database; empty: the embedded server's")
    request_seconds: float = Field(default=60.0, gt=0, description="longest wait for an answer of the database")


class Stores(Section):
    """The stores, one table each."""

    graph: Store = Store()
    vector: Store = Store()
    search: Store = Store()
    timeseries: Store = Store()
    objects: Store = Store()
    cache: Store = Store()
    relational: RelationalStore = RelationalStore()
    warehouse: Store = Store()

    def of(self, store: StoreName) -> Store:
        """Return the options of one store."""
        return getattr(self, store)


class Deliver(Section):
    """How writes reach the stores."""

    attempts: int = Field(
        default=8, ge=1, description="least tries of one write that the store puts off, before a dead letter"
    )
    retry_seconds: float = Field(default=300, ge=0, description="and the least time they go on for")
    backoff_seconds: float = Field(
        default=0.1, gt=0, description="first pause between tries; doubles, with full jitter"
    )
    backoff_max_seconds: float = Field(default=30, gt=0, description="longest pause between tries")
    breaker_failures: int = Field(default=5, ge=1, description="failures in a row that open a store's circuit breaker")
    breaker_seconds: float = Field(default=60, gt=0, description="how long an open breaker leaves the store alone")
    target_ms: float = Field(
        default=500, gt=0, description="a request that takes longer halves the next ones, one well below doubles them"
    )


class Log(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severity that is written"
    )
    format: Literal["console", "json"] = Field(default="console", description="for people or for machines")


def data_dir_default() -> Path:
    """Return the data folder when none is set."""
    return Path("travelos-data")


class Options(Section):
    """All options. `data_dir` is relative to the working directory."""

    data_dir: Path = Field(default_factory=data_dir_default, description="state, embedded stores and servers")
    kafka: Kafka = Kafka()
    source: Source = Source()
    registry: Registry = Registry()
    intake: Intake = Intake()
    enrich: Enrich = Enrich()
    embed: Embed = Embed()
    stores: Stores = Stores()
    deliver: Deliver = Deliver()
    archive: Archive = Archive()
    bigquery: BigQuery = BigQuery()
    large_values: LargeValueOptions = LargeValueOptions()
    sagas: Sagas = Sagas()
    erasure: ErasureOptions = ErasureOptions()
    conflicts: Conflicts = Conflicts()
    keys: Keys = Keys()
    worker: Worker = Worker()
    log: Log = Log()

    def catalogue(self) -> Catalogue:
        """Return the topics of this installation."""
        return Catalogue(
            prefix=self.kafka.topic_prefix,
            partitions=self.kafka.partitions,
            cdc_prefix=self.source.topic_prefix,
            tables=self.source.named_tables,
            keyless_changes="t" not in self.source.skipped_operations,
            other_sources=self.conflicts.sources,
            event_segment_ms=self.erasure.segment_ms,
        )
