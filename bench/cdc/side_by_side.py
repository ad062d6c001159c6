# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Debezium and ours read one database side by side while a workload runs; their events are compared."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Self

import msgspec
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from msgspec import structs
from psycopg.conninfo import make_conninfo

from bench.cdc.comparison import Different, compare
from bench.cdc.configurations import Configuration
from bench.cdc.database import Database
from bench.cdc.debezium import Debezium
from bench.cdc.events import Event, Record, events
from bench.cdc.workload.mix import Mix
from bench.cdc.workload.runner import run
from bench.cdc.workload.steps import USUAL, Workload
from bench.cdc.workload.tables import DEFAULT_FEATURES, OUTBOX, SCHEMA, TOASTED, Table, prepare, tables_with
from connectors.cdc.config import CdcConfig
from connectors.cdc.outbox_options import Outbox
from connectors.cdc.source import Source
from connectors.cdc.stop import Stop
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from schemas.topics import Catalogue, Topic

PATIENCE_SECONDS = 60.0
MARKER = f"{SCHEMA}.marker"  # its rows tell that a reader has come so far
SIGNALS = f"{SCHEMA}.signals"
NEVER_SECONDS = 3_600.0
# Larger transactions are streamed to us while they run, and to Debezium at their commit. With so little memory
# PostgreSQL 18 tells of aborted subtransactions, asked for or not, and Debezium would end: "message type: A".
LITTLE_MEMORY = "-c logical_decoding_work_mem=64kB"
READ_AGAIN = (f"{SCHEMA}.every_type", TOASTED.full_name)
_SIGNAL = '{"type": "incremental", "data-collections": [%s]}'
_LSN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8"
numbers = count(1)


class NotEqualInTime(Exception):  # noqa: N818 - it is a failure of a run, whoever's fault it is
    """One of the two ended or did not catch up; the message tells what it said last."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What happens while the two read.

    Attributes:
        seed: of the workload.
        statements_before: that their snapshots show.
        statements: that they stream.
        large_rows: of a large transaction.
        features: of the server, see `workload.values.OF_FEATURES`.
        settle: whether both catch up before and after the columns of a table change.
        mix: of the workload.
    """

    seed: int
    statements_before: int = 300
    statements: int = 1_500
    large_rows: int = 1_000
    features: Sequence[str] = DEFAULT_FEATURES
    settle: bool = True
    mix: Mix = USUAL


class SideBySide:
    """The two readers of a database. Use as a context manager.

    Args:
        dsn: of an empty database.
        kafka: for our records. Topics that nobody made may be made by it.
        folder: for Debezium.
        configuration: of both.
        trial: what happens.
    """

    def __init__(self, dsn: str, kafka: Connection, folder: Path, configuration: Configuration, trial: Trial) -> None:
        self._dsn = dsn
        self._kafka = kafka
        self._configuration = configuration
        self._trial = trial
        self._name = f"peer{next(numbers)}"
        self.tables: list[Table] = [*tables_with(trial.features), *([OUTBOX] if configuration.outbox else [])]
        names = [table.full_name for table in self.tables]
        self._config = self._ours(names)
        self._source, self._stop = Source(self._config, kafka), Stop()
        self._failures: list[Exception] = []
        self._thread = threading.Thread(target=self._work, name=self._name)
        options = {
            "decimal.handling.mode": "precise",
            "poll.interval.ms": "20",
            "message.prefix.exclude.list": r"travelos\..*",  # our watermarks
            "signal.data.collection": SIGNALS if configuration.incremental else "",
            **configuration.debezium,
        }
        if configuration.outbox is not None:
            options["transforms.router.route.topic.replacement"] = f"{self._name}.{configuration.outbox.topic}"
        captured = [*names, MARKER]
        self._debezium = Debezium(
            folder,
            Database(dsn).options,
            captured,
            name=self._name,
            keep_records=True,
            options={
                "slot.name": f"{self._name}_theirs",
                "publication.name": f"{self._name}_theirs",
                **{name: value for name, value in options.items() if value},
            },
        )
        self._markers = count(-1, -1)  # no row of the workload has such a key
        self._between = (0, 0)  # the LSNs between which both surely read everything

    def _ours(self, names: Sequence[str]) -> CdcConfig:
        configuration = self._configuration
        catalogue = Catalogue(tables=[*names, MARKER], cdc_prefix=self._name)

        def beside(name: str) -> Topic:
            # The in-memory cluster makes topics of four partitions, whatever it is asked for.
            topic = catalogue.beside_changes(name, key="", purpose="")
            return structs.replace(topic, partitions=catalogue.partitions)

        changes = {name: structs.replace(topic, cleanup="delete") for name, topic in catalogue.changes.items()}
        return CdcConfig(
            dsn=make_conninfo(self._dsn, options=LITTLE_MEMORY),
            topics=changes,  # not compacted: rows of the table without key have none
            offsets=catalogue.cdc_offsets,
            name=self._name,
            slot=self._name,
            publication=self._name,
            # Debezium would take heartbeats for logical messages of somebody.
            heartbeat_seconds=NEVER_SECONDS,
            offset_seconds=0.05,
            encoding=configuration.encoding,
            filters=configuration.filters,
            tombstones=configuration.tombstones,
            transactions=beside("transaction") if configuration.transactions else None,
            messages=beside("message") if configuration.messages else None,
            outbox=self._outbox(),
            signal_table=SIGNALS if configuration.incremental else "",
        )

    def _outbox(self) -> Outbox | None:
        """Return our options of the outbox, with topics that belong to this object alone."""
        outbox = self._configuration.outbox
        return None if outbox is None else structs.replace(outbox, topic=f"{self._name}.{outbox.topic}")

    def __enter__(self) -> Self:
        self._sql(
            *prepare(self.tables, self._trial.features),
            f"CREATE TABLE {MARKER} (id int PRIMARY KEY)",
            f"CREATE TABLE {SIGNALS} (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))",
        )
        ensure_topics(self._kafka, self._config.all_topics)
        return self

    def __exit__(self, *_: object) -> None:
        self._debezium.stop()
        self._stop.request()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_SECONDS)

    def compare(self) -> list[Different]:
        """Run the workload and return every field in which the two differ.

        Raises:
            NotEqualInTime: one of them ended, or did not catch up.
        """
        trial = self._trial
        workload = Workload(
            trial.seed,
            self.tables,
            large_rows=trial.large_rows,
            messages=self._configuration.messages,
            settle=trial.settle,
            mix=trial.mix,
        )
        run(self._dsn, workload.steps(trial.statements_before))
        self._thread.start()
        self._until(lambda: self._source.counters.phase == "streaming")
        self._debezium.start()
        self._catch_up()
        first = self._lsn()
        run(self._dsn, workload.steps(trial.statements), settle=self._catch_up)
        self._catch_up()
        if self._configuration.incremental:
            self._read_again()
        self._between = (first, self._lsn())
        self._catch_up()
        theirs = events(self._their_records(), schemas=self._configuration.encoding.schemas)
        ours = [event for part in self._our_records() for event in self._decoded(part)]
        return compare(*([event for event in side if self._counts(event)] for side in (ours, theirs)))

    def _decoded(self, records: Sequence[Record]) -> list[Event]:
        return events(records, schemas=self._configuration.encoding.schemas)

    def _counts(self, event: Event) -> bool:
        """Whether both have surely read it."""
        if event.kind == "transaction":
            return self._between[0] <= int(event.value["id"].partition(":")[2]) < self._between[1]
        if event.table == "message":
            return self._between[0] <= event.value["source"]["lsn"] < self._between[1]
        return event.topic not in (f"{self._name}.{MARKER}", f"{self._name}.{SIGNALS}")

    def _work(self) -> None:
        try:
            self._source.run(self._stop)
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that waits
            self._failures.append(error)

    def _read_again(self) -> None:
        tables = ", ".join(f'"{name}"' for name in READ_AGAIN)
        rows = sum(self._one(f"SELECT count(*) FROM {name}") for name in READ_AGAIN)
        before = self._debezium.count('\\"incremental\\"')
        self._sql(f"INSERT INTO {SIGNALS} VALUES ('again', 'execute-snapshot', '{_SIGNAL % tables}')")
        self._until(lambda: self._debezium.count('\\"incremental\\"') >= before + rows)
        self._until(lambda: self._source.counters.snapshots > 1)

    def _catch_up(self) -> None:
        """Wait until both have read everything that is committed."""
        number = next(self._markers)
        self._sql(f"INSERT INTO {MARKER} VALUES ({number})")
        lsn = self._lsn()
        self._until(lambda: self._source.counters.confirmed_lsn >= lsn and self._debezium.has_written(_marked(number)))

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        started = self._debezium.process.pid is not None
        while not holds():
            if self._failures:
                raise self._failures[0]
            if time.monotonic() > deadline or (started and self._debezium.process.pid is None):
                raise NotEqualInTime(self._debezium.process.last_lines())
            time.sleep(0.02)  # between two looks; the condition decides

    def _lsn(self) -> int:
        return self._one(_LSN)

    def _one(self, query: str) -> int:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def _sql(self, *statements: str) -> None:
        Database(self._dsn).run(*statements)

    def _their_records(self) -> Iterator[Record]:
        for event in self._debezium.events():
            headers = [(name, _plain(value)) for name, value in event.headers]
            yield Record(event.topic, _bytes(event.key), _bytes(event.value), headers)

    def _our_records(self) -> Iterator[list[Record]]:
        """Yield our records, a partition at a time."""
        consumer = Consumer({**self._kafka.consumer("compare"), "enable.partition.eof": True, "fetch.wait.max.ms": 10})
        try:
            for topic, metadata in consumer.list_topics(timeout=10).topics.items():
                if topic.startswith(f"{self._name}."):
                    for partition in metadata.partitions:
                        yield list(_partition(consumer, topic, partition))
        finally:
            consumer.close()


def _partition(consumer: Consumer, topic: str, partition: int) -> Iterator[Record]:
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    while True:
        message = consumer.poll(PATIENCE_SECONDS)
        if message is None:
            raise NotEqualInTime(f"topic {topic} could not be read to its end")
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            return
        headers: Any = message.headers()
        yield Record(topic, message.key(), message.value(), list(headers or []))


def _marked(number: int) -> str:
    """Return how a row of the marker's table shows at the end of a record's key in Debezium's file."""
    return f'{{\\"id\\":{number}}}'


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _plain(header: str) -> bytes | None:
    """Return a header's value, which the engine wrote as JSON, as Kafka Connect writes it by default: as text."""
    value = msgspec.json.decode(header)
    return None if value is None else value.encode() if isinstance(value, str) else header.encode()
