"""Debezium and ours read one Postgres side by side; their events are compared field by field.

Needs Java and Maven for the peer. With CI=true a peer that does not start is a failure.
"""

import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message
from msgspec import structs

from bench.cdc.comparison import Event, Record, compare, events
from bench.cdc.database import Database
from bench.cdc.debezium import Debezium, install
from bench.cdc.differences import unexplained, unused
from bench.cdc.workload.runner import run
from bench.cdc.workload.steps import Workload
from bench.cdc.workload.tables import SCHEMA, TABLES, prepare
from connectors.cdc import CdcConfig, Source, Stop
from deploy.local.process import ServerFailed

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

Sql = Callable[..., list[tuple[Any, ...]]]

SEED = 1
STATEMENTS_BEFORE = 700  # that the snapshots show
STATEMENTS = 4_000
PATIENCE_SECONDS = 60.0
MARKER = f"{SCHEMA}.marker"  # its rows tell that a reader has come so far
SHOWN = 20


@pytest.fixture(scope="module")
def peer() -> None:
    """Debezium is installed; where it cannot be the test is skipped, but never with CI=true."""
    try:
        install()
    except ServerFailed as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error).splitlines()[0])


@pytest.mark.usefixtures("peer")
def test_the_events_are_debeziums_but_for_the_differences_that_are_listed(
    dsn: str,
    sql: Sql,
    tmp_path: Path,
    configure: Callable[..., CdcConfig],
    streaming: Callable[[CdcConfig], tuple[Source, Stop]],
    messages: Callable[[CdcConfig, str], list[Message]],
) -> None:
    """The server streams the larger transactions to us while they run; Debezium gets them at their commit."""
    names = [table.full_name for table in TABLES]
    sql(f"ALTER DATABASE {dsn.rpartition('/')[2]} SET logical_decoding_work_mem = '64kB'")
    for statement in [*prepare(), f"CREATE TABLE {MARKER} (id int PRIMARY KEY)"]:
        sql(statement)
    workload = Workload(SEED)
    run(dsn, workload.steps(STATEMENTS_BEFORE))
    # Without heartbeats, which Debezium would take for logical messages of somebody.
    config = configure(*names, MARKER, heartbeat_seconds=3_600.0)
    # A compacted topic refuses the rows of the table without key.
    topics = {name: structs.replace(topic, cleanup="delete") for name, topic in config.topics.items()}
    config = structs.replace(config, topics=topics)
    source, _ = streaming(config)
    options = {"topic.prefix": config.name, "decimal.handling.mode": "string", "poll.interval.ms": "20"}
    tables = [*names, MARKER]
    with Debezium(tmp_path, Database(dsn).options, tables, keep_records=True, options=options) as debezium:
        numbers = count(1)

        def both_have_come_so_far() -> None:
            number = next(numbers)
            sql(f"INSERT INTO {MARKER} VALUES ({number})")
            ((lsn,),) = sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while source.counters.confirmed_lsn < lsn or not debezium.has_written(f'"{{\\"id\\":{number}}}"'):
                assert debezium.process.pid is not None, debezium.process.last_lines()
                assert time.monotonic() < deadline, debezium.process.last_lines()
                time.sleep(0.02)  # between two looks; the condition decides

        both_have_come_so_far()
        run(dsn, workload.steps(STATEMENTS), settle=both_have_come_so_far)
        both_have_come_so_far()
        theirs = [
            Record(
                event.topic,
                _bytes(event.key),
                _bytes(event.value),
                [(name, _bytes(text)) for name, text in event.headers],
            )
            for event in debezium.events()
        ]
    ours = [event for name in names for event in _ours(config, messages(config, name))]
    found = compare(ours, [event for event in events(theirs) if not event.topic.endswith(MARKER)])
    wrong = unexplained(found)
    assert wrong[:SHOWN] == []
    assert [difference.what for difference in unused(found)] == []


def _prefix(config: CdcConfig) -> str:
    """Return what the topics of this test have before Debezium's names."""
    return config.offsets.name.removesuffix("cdc.offsets")


def _ours(config: CdcConfig, found: list[Message]) -> Iterator[Event]:
    """Yield the events of one topic, one partition after the other."""
    prefix = _prefix(config)
    for partition in {one.partition() for one in found}:
        yield from events(
            Record((one.topic() or "").removeprefix(prefix), one.key(), one.value(), _headers(one))
            for one in found
            if one.partition() == partition
        )


def _headers(message: Message) -> list[tuple[str, bytes]]:
    headers: Any = message.headers()
    return list(headers or [])


def _bytes(text: str | None) -> Any:
    return None if text is None else text.encode()
