# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""One run: the workload, what is killed meanwhile, and whether the topics and the tables say the same afterwards."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from msgspec import Struct

from bench.cdc.convergence.faults import KilledKafka, KilledSource, run_with_restarts
from bench.cdc.convergence.rebuild import RebuiltTable
from bench.cdc.workload.runner import run
from bench.cdc.workload.steps import Workload
from bench.cdc.workload.tables import NO_KEY, TABLES, Table, prepare
from connectors.cdc import Stop
from connectors.cdc.offsets import OffsetReader
from connectors.kafka.connection import Connection
from deploy.local.kafka import KafkaServer
from deploy.local.postgres import PostgresServer
from schemas.topics import Catalogue, Topic

# Without a key nobody can tell a change that comes again from another one.
KEYED = tuple(table for table in TABLES if table is not NO_KEY)
# Of these Postgres's own JSON is what events hold; how the others are written is another test's matter.
PLAIN_TYPES = ("boolean", "smallint", "integer", "bigint", "text", "varchar(20)", "char(8)", "uuid", "integer[]")
LARGE_ROWS = 1_000  # enough for a transaction to be streamed while it runs
PATIENCE_SECONDS = 120.0


class Size(NamedTuple):
    """How much is done, and how often something is killed, in seconds from one time to the next."""

    statements: int
    statements_before: int = 2_000
    source_seconds: tuple[float, float] = (2.0, 5.0)
    kafka_seconds: tuple[float, float] = (12.0, 20.0)
    postgres_steps: int = 15_000  # between two restarts


class Outcome(Struct, kw_only=True):
    """What was done and what came of it; a run is good when the last three are empty."""

    kills: int
    kafka_restarts: int
    postgres_restarts: int
    records: int
    repeated: int
    differences: list[str]
    contradictions: list[str]
    ends: list[str]


def trial(postgres: PostgresServer, kafka: KafkaServer, folder: Path, seed: int, size: Size) -> Outcome:
    """Run the workload with everything being killed, wait until the source has caught up, and compare.

    Raises:
        TimeoutError: it did not catch up; the message ends with its log.
    """
    database = f"convergence_{seed}"
    postgres.create_database(database)
    dsn = postgres.dsn(database)
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Small, so that large transactions are streamed while they run.
        connection.execute(f"ALTER DATABASE {database} SET logical_decoding_work_mem = '64kB'".encode())
        for statement in prepare(KEYED):
            connection.execute(statement.encode())
    workload = Workload(seed, KEYED, truncate=False, large_rows=LARGE_ROWS)
    run(dsn, workload.steps(size.statements_before))
    names = [table.full_name for table in KEYED]
    catalogue = Catalogue(prefix=f"convergence-{seed}.", tables=names)
    slot = database
    source = KilledSource(folder, _environment(catalogue, dsn, kafka, names, slot), seed, size.source_seconds)
    draw = Random(seed)
    source.start()
    try:
        # On a busy machine it was killed before that each time, and all statements were in the snapshot.
        _wait_for_slot(dsn, slot, source)
        source.begin_to_kill()
        with KilledKafka(kafka, seed, size.kafka_seconds) as killed:
            offset = draw.randrange(size.postgres_steps // 2)
            restarts = run_with_restarts(
                postgres,
                dsn,
                workload.steps(size.statements),
                due=lambda number: number % size.postgres_steps == offset,
            )
        source.calm_down()
        _wait_until_caught_up(dsn, slot, source)
        _wait_for_snapshot(Connection(bootstrap=kafka.bootstrap), catalogue.cdc_offsets, slot, source)
    finally:
        source.stop()
    connection = Connection(bootstrap=kafka.bootstrap)
    outcome = Outcome(
        kills=source.kills,
        kafka_restarts=killed.restarts,
        postgres_restarts=restarts,
        records=0,
        repeated=0,
        differences=[],
        contradictions=[],
        ends=source.ends,
    )
    for table in KEYED:
        rebuilt = _rebuilt(connection, catalogue.changes[table.full_name])
        outcome.records += rebuilt.records
        outcome.repeated += rebuilt.repeated
        outcome.contradictions += [f"{table.name}: {one}" for one in rebuilt.contradictions]
        outcome.differences += _compared(dsn, table, rebuilt)
    return outcome


def _environment(
    catalogue: Catalogue, dsn: str, kafka: KafkaServer, tables: Sequence[str], slot: str
) -> dict[str, str]:
    options = {
        "KAFKA_BOOTSTRAP": kafka.bootstrap,
        "KAFKA_TOPIC_PREFIX": catalogue.prefix,
        "SOURCE_DSN": dsn,
        "SOURCE_SLOT": slot,
        "SOURCE_PUBLICATION": slot,
        "SOURCE_TABLES": ",".join(tables),
        "LOG_FORMAT": "json",
    }
    return {**os.environ, **{f"TRAVELOS_{name}": value for name, value in options.items()}}


def _wait_for_slot(dsn: str, slot: str, source: KilledSource) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    query = b"SELECT FROM pg_replication_slots WHERE slot_name = %s AND confirmed_flush_lsn IS NOT NULL"
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute(query, (slot,)).fetchone() is None:
            if not source.runs or time.monotonic() > deadline:
                raise TimeoutError(f"the source has not created its slot:\n{source.last_lines()}")
            time.sleep(0.1)  # between two looks; the condition decides


def _wait_until_caught_up(dsn: str, slot: str, source: KilledSource) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    query = b"SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE slot_name = %s"
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert row is not None
        while connection.execute(query, (row[0], slot)).fetchone() != (True,):
            if not source.runs or time.monotonic() > deadline:
                raise TimeoutError(f"the source has not caught up:\n{source.last_lines()}")
            time.sleep(0.1)  # between two looks; the condition decides


def _wait_for_snapshot(connection: Connection, offsets: Topic, slot: str, source: KilledSource) -> None:
    """An interrupted snapshot goes on beside the stream, which may have caught up before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with OffsetReader(connection, offsets.name) as reader:
        while (last := reader.last(slot, Stop())) is None or not last.snapshot_completed:
            if not source.runs or time.monotonic() > deadline:
                raise TimeoutError(f"the snapshot is not completed:\n{source.last_lines()}")
            time.sleep(0.1)  # between two looks; the condition decides


def _rebuilt(connection: Connection, topic: Topic) -> RebuiltTable:
    """Read a topic to its end."""
    rebuilt = RebuiltTable()
    consumer = Consumer({**connection.consumer("convergence"), "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic.name, number, OFFSET_BEGINNING) for number in range(topic.partitions)])
    ended = 0
    try:
        while ended < topic.partitions:
            message = consumer.poll(PATIENCE_SECONDS)
            if message is None:
                raise TimeoutError(f"{topic.name} cannot be read to its end")
            error = message.error()
            if error is None:
                rebuilt.take(message.key() or b"", message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
    finally:
        consumer.close()
    return rebuilt


def _compared(dsn: str, table: Table, rebuilt: RebuiltTable) -> list[str]:
    """Return what the table and its topic do not agree on."""
    columns = [table.key, *(name for name, kind in table.columns.items() if kind in PLAIN_TYPES)]
    with psycopg.connect(dsn) as connection:
        found = connection.execute(f"SELECT to_jsonb(t) FROM {table.sql} t".encode()).fetchall()
    real = {row[table.key]: _only(row, columns) for (row,) in found}
    known = {row[table.key]: _only(row, columns) for row in rebuilt.rows.values()}
    lines = [f"{table.name}: row {key} is missing in the topic" for key in real.keys() - known.keys()]
    lines += [f"{table.name}: row {key} is not in the table any more" for key in known.keys() - real.keys()]
    for key in real.keys() & known.keys():
        wrong = [name for name in columns if real[key].get(name) != known[key].get(name)]
        lines += [f"{table.name}: row {key} differs in {', '.join(wrong)}"] if wrong else []
    return sorted(lines)


def _only(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: row.get(name) for name in columns}
