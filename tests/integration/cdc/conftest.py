"""A Postgres, an in-memory and a real Kafka, and sources between them."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import ClientConfig, Connection
from deploy.local.kafka import KafkaServer, MemoryKafka
from deploy.local.postgres import PostgresServer
from schemas.changes import Change, decode_change
from schemas.topics import Catalogue

PATIENCE_SECONDS = 30.0
numbers = count(1)


class PlainConnection(Connection, frozen=True, kw_only=True):
    """Without idempotence, for which the in-memory cluster needs half a second at each start."""

    def producer(self) -> ClientConfig:
        return {**super().producer(), "enable.idempotence": False}


@pytest.fixture(scope="session")
def postgres(
    start_server: Callable[[PostgresServer], PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    """A server that cuts off a reader that is silent for three seconds."""
    server = PostgresServer(tmp_path_factory.mktemp("cdc-postgres"), settings={"wal_sender_timeout": "3s"})
    start_server(server)
    try:
        yield server
    finally:
        server.delete()


@pytest.fixture(scope="session")
def memory() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    try:
        yield PlainConnection(bootstrap=cluster.bootstrap)
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def broker(
    start_server: Callable[[KafkaServer], KafkaServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaServer]:
    """A broker that a test may stop and start again."""
    server = start_server(KafkaServer(tmp_path_factory.mktemp("cdc-kafka")))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def kafka(memory: Connection) -> Connection:
    """The cluster that the other fixtures use; a test module overrides it to use the real one."""
    return memory


@pytest.fixture
def dsn(postgres: PostgresServer) -> Iterator[str]:
    """A fresh database; its slots are dropped at the end, so that they keep no WAL."""
    name = f"cdc{next(numbers)}"
    postgres.create_database(name)
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s"
        active = "SELECT 1 FROM pg_replication_slots WHERE active AND database = %s"
        wait_for(lambda: run_sql(postgres.dsn(), active, name) == [])
        connection.execute(drop, (name,))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sql(dsn: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Run a statement in its own transaction and return its rows."""

    def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return run_sql(dsn, statement, *values)

    return run


@pytest.fixture
def configure(dsn: str, kafka: Connection) -> Callable[..., CdcConfig]:
    """Return the configuration for some tables, with topics and a slot of their own."""

    def make(*tables: str, **changes: Any) -> CdcConfig:
        catalogue = Catalogue(prefix=f"t{next(numbers)}.", tables=tables)
        config = CdcConfig(
            dsn=dsn,
            topics=catalogue.changes,
            offsets=catalogue.cdc_offsets,
            name=catalogue.cdc_prefix,
            slot=f"slot{next(numbers)}",
            heartbeat_seconds=0.5,
            offset_seconds=0.05,
        )
        ensure_topics(kafka, [*config.topics.values(), config.offsets])
        return structs.replace(config, **changes)

    return make


@pytest.fixture
def running() -> Iterator[Callable[[Source], Stop]]:
    """Run a source in a thread until the test ends or asks it to stop; an error of it fails the test."""
    running: list[tuple[threading.Thread, Stop]] = []
    errors: list[Exception] = []

    def begin(source: Source) -> Stop:
        stop = Stop()

        def work() -> None:
            try:
                source.run(stop)
            except Exception as error:  # noqa: BLE001 - it is raised again below, in the test's thread
                errors.append(error)

        thread = threading.Thread(target=work, name=source.config.slot)
        thread.start()
        running.append((thread, stop))
        return stop

    yield begin
    for _, stop in running:
        stop.request()
    for thread, _ in running:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@pytest.fixture
def start(kafka: Connection, running: Callable[[Source], Stop]) -> Callable[[CdcConfig], tuple[Source, Stop]]:
    """Run a source as `running` does."""

    def begin(config: CdcConfig) -> tuple[Source, Stop]:
        source = Source(config, kafka)
        return source, running(source)

    return begin


@pytest.fixture
def streaming(start: Callable[[CdcConfig], tuple[Source, Stop]]) -> Callable[[CdcConfig], tuple[Source, Stop]]:
    """Run a source as `start` does, and return once its snapshot is complete."""

    def begin(config: CdcConfig) -> tuple[Source, Stop]:
        source, stop = start(config)
        wait_for(lambda: source.counters.phase in ("streaming", "stopped"))
        return source, stop

    return begin


@pytest.fixture
def messages(kafka: Connection) -> Callable[[CdcConfig, str], list[Message]]:
    """Read all records of a table's topic, in the order of each partition."""

    def read(config: CdcConfig, table: str) -> list[Message]:
        topic = config.topics[table].name
        consumer = Consumer({**kafka.consumer("test"), "enable.partition.eof": True, "fetch.wait.max.ms": 10})
        partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        try:
            found: list[Message] = []
            ended = 0
            while ended < len(partitions):
                message = consumer.poll(10)
                assert message is not None, "the topic could not be read to its end"
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF
                    ended += 1
            return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))
        finally:
            consumer.close()

    return read


@pytest.fixture
def changes(messages: Callable[[CdcConfig, str], list[Message]]) -> Callable[[CdcConfig, str], list[Change]]:
    """Read all changes of a table in the order of their LSN, tombstones left out."""

    def read(config: CdcConfig, table: str) -> list[Change]:
        found = [decode_change(value) for message in messages(config, table) if (value := message.value())]
        return sorted((change for change in found if change is not None), key=lambda change: change.source.lsn or 0)

    return read


@pytest.fixture
def caught_up(sql: Callable[..., list[tuple[Any, ...]]]) -> Callable[[Source], None]:
    """Wait until all that is committed now is in Kafka: events are counted when they are sent, before that."""

    def wait(source: Source) -> None:
        [(lsn,)] = sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8")
        wait_for(lambda: source.counters.confirmed_lsn >= lsn)

    return wait


@pytest.fixture
def rebuilt(messages: Callable[[CdcConfig, str], list[Message]]) -> Callable[[CdcConfig, str], list[Any]]:
    """Rebuild a table from its topic, as a sink would: a change counts when its LSN is newer for its key.

    Fails when two different changes of one key have the same LSN.
    """

    def read(config: CdcConfig, table: str) -> list[Any]:
        rows: dict[bytes | None, Any] = {}
        applied: dict[bytes | None, int] = defaultdict(int)
        seen: dict[tuple[bytes | None, int], tuple[Any, ...]] = {}
        for message in messages(config, table):
            value = message.value()
            if not value:
                continue
            change, key = decode_change(value), message.key()
            assert change is not None
            lsn = change.source.lsn or 0
            content = (change.op, change.before, change.after, change.source.sequence)
            assert seen.setdefault((key, lsn), content) == content
            if lsn > applied[key]:
                applied[key] = lsn
                rows[key] = change.after and dict(sorted(change.after.items()))
        return sorted((row for row in rows.values() if row is not None), key=json.dumps)

    return read


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition holds; fail when it does not within PATIENCE_SECONDS."""
    return wait_for


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)  # between two looks; the condition decides


def run_sql(dsn: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []
