"""Transactions that are larger than the server's memory for them, so that it streams them while they run."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
from confluent_kafka import Message
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from deploy.local.postgres import PostgresServer
from schemas.changes import Change
from schemas.topics import Catalogue

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Messages = Callable[[CdcConfig, str], list[Message]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]

FILL = b"INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(%s::int, %s::int) g"


@pytest.fixture(scope="module")
def postgres(
    start_server: Callable[[PostgresServer], PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresServer]:
    settings = {"logical_decoding_work_mem": "64kB"}
    server = start_server(PostgresServer(tmp_path_factory.mktemp("cdc-large-postgres"), settings=settings))
    try:
        yield server
    finally:
        server.delete()


class Captured(NamedTuple):
    """A table that is captured."""

    config: CdcConfig
    source: Source
    stop: Stop


Capture = Callable[..., Captured]


@pytest.fixture
def capture(sql: Sql, configure: Configure, streaming: Start) -> Capture:
    """Make the table `t` and have it captured, with other options than the usual ones."""

    def begin(change: Callable[[CdcConfig], CdcConfig]) -> Captured:
        sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
        config = change(configure("public.t"))
        return Captured(config, *streaming(config))

    return begin


def while_it_runs(streamed: bool) -> Callable[[CdcConfig], CdcConfig]:
    """Return the option by which a large transaction is sent while it runs, or not."""
    return lambda config: structs.replace(config, streaming=streamed)


@pytest.mark.parametrize("while_they_run", [True, False])
def test_large_transactions_come_whole_and_without_what_was_rolled_back(
    dsn: str,
    sql: Sql,
    capture: Capture,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
    while_they_run: bool,
) -> None:
    config, source, _ = capture(while_it_runs(while_they_run))
    with psycopg.connect(dsn) as large, psycopg.connect(dsn) as given_up, psycopg.connect(dsn) as small:
        large.execute(FILL, (1, 2_000))
        given_up.execute(FILL, (10_001, 12_000))
        large.execute(b"SAVEPOINT outer_one")
        large.execute(FILL, (2_001, 4_000))
        large.execute(b"SAVEPOINT inner_one")
        large.execute(FILL, (4_001, 5_000))
        large.execute(b"RELEASE inner_one")
        large.execute(b"ROLLBACK TO outer_one")
        small.execute(FILL, (20_000, 20_000))
        small.commit()
        eventually(lambda: source.counters.created == 1)
        given_up.rollback()
        large.execute(b"UPDATE t SET a = 'changed' WHERE id = 1")
        large.execute(FILL, (2_001, 2_100))
        large.commit()
    caught_up(source)
    assert (source.counters.created, source.counters.updated) == (2_101, 1)
    found = changes(config, "public.t")
    assert {(one.after or {})["id"] for one in found} == {*range(1, 2_101), 20_000}
    assert len({one.source.txId for one in found}) == 2
    assert len({one.source.lsn for one in found}) == len(found)
    assert [(one.after or {})["a"] for one in found if one.op == "u"] == ["changed"]
    streamed = sql("SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = %s", config.slot)
    assert bool(streamed[0][0]) == while_they_run


@pytest.mark.parametrize("while_they_run", [True, False])
def test_a_transaction_that_was_rolled_back_while_nobody_read_ends_nothing(
    dsn: str,
    sql: Sql,
    capture: Capture,
    streaming: Start,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
    while_they_run: bool,
) -> None:
    """PostgreSQL 18 then tells of aborted subtransactions of which it has sent nothing, asked for or not."""
    config, source, stop = capture(while_it_runs(while_they_run))
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", config.slot) == [])
    with psycopg.connect(dsn) as given_up:
        given_up.execute("SAVEPOINT one")
        given_up.execute("INSERT INTO t VALUES (1, 'x')")
        given_up.execute("RELEASE SAVEPOINT one")
        given_up.execute(FILL, (2, 3_000))
        given_up.rollback()
    sql("INSERT INTO t VALUES (5, 'y')")
    again, _ = streaming(config)
    caught_up(again)
    assert [(one.after or {})["id"] for one in changes(config, "public.t")] == [5]


def test_a_message_that_is_rolled_back_to_a_savepoint_is_not_told(
    dsn: str,
    kafka: Connection,
    capture: Capture,
    messages: Messages,
    caught_up: CaughtUp,
) -> None:
    """While a transaction runs the server sends messages as those of the whole transaction."""

    def with_messages(config: CdcConfig) -> CdcConfig:
        topic = Catalogue(prefix=f"{config.slot}.").beside_changes("message", key="", purpose="")
        config = structs.replace(config, messages=structs.replace(topic, partitions=4))
        ensure_topics(kafka, config.all_topics)
        return config

    config, source, _ = capture(with_messages)
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_logical_emit_message(true, 'note', 'first')")
        connection.execute("SAVEPOINT one")
        connection.execute("SELECT pg_logical_emit_message(true, 'note', 'never')")
        connection.execute(FILL, (1, 2_000))
        connection.execute("ROLLBACK TO one")
        connection.execute("SELECT pg_logical_emit_message(true, 'note', 'last')")
        connection.execute(FILL, (1, 2_000))
    caught_up(source)
    assert source.counters.created == 2_000
    assert config.messages is not None
    found = messages(structs.replace(config, topics={"any": config.messages}), "any")
    told = [msgspec.json.decode(message.value() or b"")["message"]["content"] for message in found]
    assert [b64decode(content) for content in told] == [b"first", b"last"]
