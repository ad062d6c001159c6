"""Kills, restarts and outages, with a real Kafka and the source as a process of its own."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from msgspec import structs
from psycopg.conninfo import make_conninfo
from typer.testing import CliRunner

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.offsets import CdcOffset, OffsetReader
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from connectors.kafka.watermarks import watermarks
from deploy.local.kafka import KafkaServer, MemoryKafka
from deploy.local.postgres import PostgresServer
from deploy.local.proxy import FaultProxy
from schemas.changes import Change
from streams.cli.cdc import app
from tests.integration.cdc.writer import Writer

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]
Spawn = Callable[[CdcConfig], subprocess.Popen[bytes]]

COMMAND = [sys.executable, "-c", "from streams.cli.cdc import app; app()"]


@pytest.fixture
def kafka(broker: KafkaServer) -> Connection:
    return Connection(bootstrap=broker.bootstrap)


@pytest.fixture
def environment(kafka: Connection) -> Callable[[CdcConfig], dict[str, str]]:
    """Return the options of a configuration as environment variables."""

    def make(config: CdcConfig) -> dict[str, str]:
        prefix = config.offsets.name.removesuffix("cdc.offsets")
        values = {
            "KAFKA_BOOTSTRAP": kafka.bootstrap,
            "KAFKA_TOPIC_PREFIX": prefix,
            "SOURCE_DSN": config.dsn,
            "SOURCE_SLOT": config.slot,
            "SOURCE_TABLES": ",".join(config.topics),
            "SOURCE_SNAPSHOT": config.snapshot,
            "SOURCE_SNAPSHOT_CONNECTIONS": str(config.snapshot_connections),
            "SOURCE_SNAPSHOT_CHUNK_ROWS": str(config.chunk_rows),
        }
        return {**os.environ, **{f"TRAVELOS_{name}": value for name, value in values.items()}}

    return make


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Take the handlers away again that a command gives to the root logger."""
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers


@pytest.fixture
def spawn(environment: Callable[[CdcConfig], dict[str, str]], tmp_path: Path) -> Iterator[Spawn]:
    """Start `travelos cdc run`; what is left of it at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(config: CdcConfig) -> subprocess.Popen[bytes]:
        with (tmp_path / "cdc.log").open("ab") as log:
            process = subprocess.Popen(
                [*COMMAND, "run", "--json"], env=environment(config), stdout=subprocess.PIPE, stderr=log
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def narrow(postgres: PostgresServer) -> Iterator[FaultProxy]:
    """Give the source 256 KiB a second of the server: it once had read a whole table before anybody could kill it."""
    with FaultProxy("127.0.0.1", postgres.port, bytes_per_second=256 * 1024) as proxy:
        proxy.set("bandwidth")
        yield proxy


@pytest.fixture
def written(kafka: Connection) -> Iterator[Callable[[CdcConfig], int]]:
    """Count the records of the tables' topics. One consumer for all looks: between two of them a snapshot goes on."""
    consumer = Consumer({**kafka.consumer("count")})

    def count(config: CdcConfig) -> int:
        topics = [(topic.name, number) for topic in config.topics.values() for number in range(topic.partitions)]
        return sum(watermarks(consumer, TopicPartition(*home), timeout=10)[1] for home in topics)

    yield count
    consumer.close()


@pytest.fixture
def last_offset(kafka: Connection) -> Iterator[Callable[[CdcConfig], CdcOffset | None]]:
    """Read the source's last offset, also by one consumer for all looks."""
    with ExitStack() as stack:
        readers: dict[str, OffsetReader] = {}

        def read(config: CdcConfig) -> CdcOffset | None:
            topic = config.offsets.name
            if topic not in readers:
                readers[topic] = stack.enter_context(OffsetReader(kafka, topic))
            return readers[topic].last(config.slot, Stop())

        yield read


def through(config: CdcConfig, proxy: FaultProxy) -> CdcConfig:
    """Return the configuration of a source that has the proxy between itself and the server."""
    return structs.replace(config, dsn=make_conninfo(config.dsn, host="127.0.0.1", port=proxy.port))


def snapshot_completed(offset: CdcOffset | None) -> bool:
    return offset is not None and offset.snapshot_completed


def read_so_far(offset: CdcOffset | None) -> int:
    """Return how many rows of the one table are known to be in Kafka while its snapshot is not complete."""
    return offset.snapshot.tables[0].rows if offset is not None and offset.snapshot is not None else 0


def confirmed(sql: Sql, config: CdcConfig, lsn: int) -> bool:
    query = "SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8 FROM pg_replication_slots WHERE slot_name = %s"
    return any(row[0] is not None and row[0] >= lsn for row in sql(query, config.slot))


def current_lsn(sql: Sql) -> int:
    return int(sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8")[0][0])


def table_rows(sql: Sql) -> list[Any]:
    rows = [row for (row,) in sql("SELECT to_jsonb(t) FROM t")]
    return sorted((dict(sorted(row.items())) for row in rows), key=json.dumps)


@pytest.mark.timeout(240)
def test_kill_9_in_the_snapshot_and_in_the_stream_loses_nothing(
    dsn: str,
    sql: Sql,
    configure: Configure,
    spawn: Spawn,
    narrow: FaultProxy,
    last_offset: Callable[[CdcConfig], CdcOffset | None],
    written: Callable[[CdcConfig], int],
    rebuilt: Rebuilt,
    eventually: Eventually,
) -> None:
    ids = 120_000
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    sql("INSERT INTO t SELECT g, repeat('x', 50) FROM generate_series(1, %s) g", ids)
    config = configure("public.t")
    writer = Writer(dsn, ids)
    process = spawn(through(config, narrow))
    try:
        eventually(lambda: written(config) > 0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not snapshot_completed(last_offset(config))
        writer.start()  # what it deletes now was read by the first snapshot and is missing in the second
        eventually(lambda: writer.transactions > 200)
        for _ in range(2):
            process = spawn(config)
            eventually(lambda: snapshot_completed(last_offset(config)))
            before = written(config)
            eventually(lambda count=before: written(config) > count + 300)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        if writer.is_alive():
            writer.finish()
    process = spawn(config)
    lsn = current_lsn(sql)
    eventually(lambda: confirmed(sql, config, lsn))
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=15)
    assert (process.returncode, time.monotonic() - asked < 10) == (0, True)
    assert json.loads(output)["phase"] == "stopped"
    assert rebuilt(config, "public.t") == table_rows(sql)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_snapshot_goes_on_after_each_kill_9_where_kafka_has_it(
    dsn: str,
    sql: Sql,
    configure: Configure,
    spawn: Spawn,
    narrow: FaultProxy,
    last_offset: Callable[[CdcConfig], CdcOffset | None],
    changes: Callable[[CdcConfig, str], list[Change]],
    rebuilt: Rebuilt,
    eventually: Eventually,
) -> None:
    """Rows are changed, moved and deleted while it is killed, once before the stream began and twice beside it."""
    ids = 200_000
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    sql("INSERT INTO t SELECT g, 'x' FROM generate_series(1, %s) g", ids)
    config = configure("public.t", snapshot_connections=2, chunk_rows=2_000)
    writer = Writer(dsn, ids)
    writer.start()
    rows = 0
    try:
        for _ in range(3):
            process = spawn(through(config, narrow))
            eventually(lambda least=rows: read_so_far(last_offset(config)) > least)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert not snapshot_completed(last_offset(config))
            rows = read_so_far(last_offset(config))
        process = spawn(config)
        eventually(lambda: snapshot_completed(last_offset(config)))
    finally:
        writer.finish()
    lsn = current_lsn(sql)
    eventually(lambda: confirmed(sql, config, lsn))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert rebuilt(config, "public.t") == table_rows(sql)
    reads = sum(change.op == "r" for change in changes(config, "public.t"))
    # What had been read when it was killed and no offset said so is read again, and not the whole table.
    assert reads < 2 * ids


def test_a_slow_kafka_neither_loses_anything_nor_gets_us_cut_off(
    dsn: str,
    sql: Sql,
    broker: KafkaServer,
    configure: Configure,
    streaming: Start,
    rebuilt: Rebuilt,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    """Kafka is away for longer than the server's wal_sender_timeout of three seconds."""
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    config = configure("public.t")
    source, _ = streaming(config)
    writer = Writer(dsn, 200)
    writer.start()
    eventually(lambda: source.counters.streamed_rows > 100)
    broker.kill()
    away = time.monotonic()
    eventually(lambda: time.monotonic() - away > 4)
    broker.start()
    before = source.counters.streamed_rows
    eventually(lambda: source.counters.streamed_rows > before + 100)
    writer.finish()
    caught_up(source)
    assert source.counters.disconnects == 0
    assert rebuilt(config, "public.t") == table_rows(sql)


def test_a_stop_while_kafka_is_away_takes_less_than_ten_seconds(
    sql: Sql, configure: Configure, eventually: Eventually
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    cluster = MemoryKafka()
    cluster.start()
    kafka = Connection(bootstrap=cluster.bootstrap)
    ensure_topics(kafka, [*config.topics.values(), config.offsets])
    source, stop = Source(config, kafka), Stop()
    thread = Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: source.counters.phase == "streaming")
        cluster.stop()
        sql("INSERT INTO t VALUES (1)")
        eventually(lambda: source.counters.created == 1)
    finally:
        asked = time.monotonic()
        stop.request()
        thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - asked < 10
    assert confirmed(sql, config, 1)
    assert not confirmed(sql, config, source.counters.received_lsn)


@pytest.mark.parametrize("crash", [False, True])
def test_postgres_may_be_restarted(
    sql: Sql,
    postgres: PostgresServer,
    configure: Configure,
    streaming: Start,
    rebuilt: Rebuilt,
    eventually: Eventually,
    crash: bool,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    config = configure("public.t")
    source, _ = streaming(config)
    sql("INSERT INTO t SELECT g, 'before' FROM generate_series(1, 1000) g")
    asked = time.monotonic()
    if crash:
        postgres.kill()
    else:
        postgres.stop()
        assert time.monotonic() - asked < 10  # the server waits until we have confirmed everything
    postgres.start()
    sql("UPDATE t SET a = 'after' WHERE id <= 500")
    eventually(lambda: source.counters.updated >= 500)
    caught_up(source)
    assert source.counters.disconnects > 0
    assert source.counters.snapshots == 1
    assert rebuilt(config, "public.t") == table_rows(sql)


@pytest.mark.usefixtures("own_logging")
def test_status_and_check_say_how_it_is(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    eventually: Eventually,
    environment: Callable[[CdcConfig], dict[str, str]],
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")

    def run(command: str) -> tuple[int, Any]:
        result = CliRunner().invoke(app, [command, "--json"], env=environment(config))
        return result.exit_code, json.loads(result.stdout)

    assert run("check") == (0, [])
    code, status = run("status")
    assert (code, status["state"], status["offset_lsn"]) == (1, "missing", None)
    source, stop = streaming(config)
    sql("INSERT INTO t VALUES (1)")
    caught_up(source)
    code, status = run("status")
    assert (code, status["state"], status["wal_status"]) == (0, "active", "reserved")
    assert status["snapshot_completed"] is True
    assert status["lag_bytes"] < 1_000_000
    stop.request()
    eventually(lambda: run("status")[1]["state"] == "inactive")
    sql("DROP TABLE t")
    code, [finding] = run("check")
    assert (code, finding["level"], finding["option"]) == (1, "error", "source.tables")
