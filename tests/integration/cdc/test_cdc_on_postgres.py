"""Snapshot and stream of a real Postgres; Kafka is librdkafka's in-memory cluster."""

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message
from msgspec import structs

from connectors.cdc import UNAVAILABLE, CdcConfig, Source, Stop
from connectors.cdc.encoding import Encoding
from connectors.cdc.snapshot import rewritten
from deploy.local.postgres import PostgresServer
from schemas.changes import Change

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Messages = Callable[[CdcConfig, str], list[Message]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]


def table_rows(sql: Sql, table: str) -> list[Any]:
    rows = [row for (row,) in sql(f"SELECT to_jsonb(t) FROM {table} t")]
    return sorted((dict(sorted(row.items())) for row in rows), key=json.dumps)


class Workload(threading.Thread):
    """Random statements until it is told to stop: inserts, updates, deletes, changes of the key, rollbacks."""

    def __init__(self, dsn: str, tables: list[str], seed: int) -> None:
        super().__init__(name="workload")
        self._dsn = dsn
        self._tables = tables
        self._random = random.Random(seed)
        self._done = threading.Event()
        self.transactions = 0

    def run(self) -> None:
        with psycopg.connect(self._dsn) as connection:
            while not self._done.is_set():
                for _ in range(self._random.randint(1, 5)):
                    self._statement(connection)
                if self._random.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()
                self.transactions += 1

    def _statement(self, connection: psycopg.Connection) -> None:
        draw = self._random
        table, key, other = draw.choice(self._tables), draw.randint(1, 60), draw.randint(1, 60)
        text = draw.choice([None, "x", "y" * 50, "z\t\n\\é"])
        statements = [
            f"INSERT INTO {table} VALUES ({key}, %s, {other}) ON CONFLICT (id) DO UPDATE SET a = excluded.a",
            f"UPDATE {table} SET a = %s, n = {other} WHERE id BETWEEN {key} AND {key + 5}",
            f"DELETE FROM {table} WHERE id = {key} AND coalesce(%s, '') <> 'x'",
            f"UPDATE {table} SET id = {other}, a = %s WHERE id = {key}"
            f" AND NOT EXISTS (SELECT FROM {table} WHERE id = {other})",
        ]
        with connection.transaction() as savepoint:
            connection.execute(draw.choice(statements).encode(), (text,))
            if draw.random() < 0.1:
                raise psycopg.Rollback(savepoint)

    def finish(self) -> None:
        self._done.set()
        self.join()


def test_snapshot_and_stream_together_give_the_tables_under_a_random_workload(
    dsn: str,
    sql: Sql,
    configure: Configure,
    start: Start,
    rebuilt: Rebuilt,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    tables = ["public.plain", "public.full_identity"]
    for table in tables:
        sql(f"CREATE TABLE {table} (id int PRIMARY KEY, a text, n int)")
        sql(f"INSERT INTO {table} SELECT g, 'start', 0 FROM generate_series(1, 40) g")
    sql("ALTER TABLE public.full_identity REPLICA IDENTITY FULL")
    config = configure(*tables)
    workload = Workload(dsn, tables, seed=7)
    workload.start()
    eventually(lambda: workload.transactions > 20)
    source, _ = start(config)
    eventually(lambda: source.counters.phase == "streaming")
    seen = workload.transactions
    eventually(lambda: workload.transactions > seen + 500)
    workload.finish()
    caught_up(source)
    for table in tables:
        assert rebuilt(config, table) == table_rows(sql, table)
    assert source.counters.deleted > 50
    assert source.counters.snapshots == 1


def test_a_change_is_newer_than_the_snapshot_even_when_it_began_before_the_slot(
    dsn: str,
    sql: Sql,
    configure: Configure,
    start: Start,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    """The WAL of `late` lies before the slot's consistent point, its commit after it."""
    sql("CREATE TABLE t (id int PRIMARY KEY, a text)")
    sql("INSERT INTO t VALUES (1, 'old')")

    def blocks(connection: psycopg.Connection) -> Callable[[], bool]:
        [(pid,)] = connection.execute("SELECT pg_backend_pid()").fetchall()
        query = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walsender' AND %s = ANY(pg_blocking_pids(pid))"
        return lambda: bool(sql(query, pid))

    with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second, psycopg.connect(dsn) as late:
        first.execute("SELECT pg_current_xact_id()")
        source, _ = start(configure("public.t"))
        eventually(blocks(first))
        second.execute("SELECT pg_current_xact_id()")
        first.commit()
        eventually(blocks(second))
        late.execute("UPDATE t SET a = 'new'")
        second.commit()
        eventually(lambda: source.counters.phase == "streaming")
        late.commit()
        caught_up(source)
    read, updated = changes(source.config, "public.t")
    assert (read.op, read.after) == ("r", {"id": 1, "a": "old"})
    assert (updated.op, updated.after) == ("u", {"id": 1, "a": "new"})
    assert (read.source.lsn or 0) < (updated.source.lsn or 0)


def test_a_large_value_that_an_update_leaves_alone_has_a_placeholder_or_its_value(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    for table in ("plain", "full_identity"):
        sql(f"CREATE TABLE {table} (id int PRIMARY KEY, a text, large text, list int[])")
        sql(f"ALTER TABLE {table} ALTER large SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL")
    sql("ALTER TABLE full_identity REPLICA IDENTITY FULL")
    config = configure("public.plain", "public.full_identity", encoding=Encoding(unavailable="placeholder"))
    source, _ = streaming(config)
    for table in ("plain", "full_identity"):
        sql(f"INSERT INTO {table} SELECT 1, 'a', repeat('x', 9000), array_agg(g) FROM generate_series(1, 3000) g")
        sql(f"UPDATE {table} SET a = 'b'")
        sql(f"UPDATE {table} SET id = 2")
    caught_up(source)
    large, numbers = "x" * 9000, list(range(1, 3001))
    created, updated, deleted, moved = changes(config, "public.plain")
    assert created.after == {"id": 1, "a": "a", "large": large, "list": numbers}
    missing = {"large": UNAVAILABLE, "list": list(UNAVAILABLE.encode())}
    assert updated.after == {"id": 1, "a": "b", **missing}
    assert sorted((deleted.op, moved.op)) == ["c", "d"]
    assert {"id": 2, "a": "b", **missing} in (deleted.after, moved.after)
    whole = {"large": large, "list": numbers}
    _, updated, *halves = changes(config, "public.full_identity")
    assert updated.before == {"id": 1, "a": "a", **whole}
    assert updated.after == {"id": 1, "a": "b", **whole}
    assert {"id": 2, "a": "b", **whole} in [half.after for half in halves]


def test_a_large_value_that_an_update_leaves_alone_is_filled_in_where_it_is_known(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, eventually: Eventually, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, n int, large text)")
    sql("ALTER TABLE t ALTER large SET STORAGE EXTERNAL")
    sql("INSERT INTO t VALUES (1, 0, repeat('x', 9000))")
    config = configure("public.t")
    source, stop = streaming(config)
    sql("UPDATE t SET n = 1")  # known from the snapshot
    sql("INSERT INTO t VALUES (2, 0, repeat('y', 9000))")
    sql("UPDATE t SET n = 2, id = 3 WHERE id = 2")  # known from the stream, under another key
    sql("UPDATE t SET n = 3 WHERE id = 3")
    caught_up(source)
    seen = [(change.op, change.after) for change in changes(config, "public.t") if change.after]
    x, y = "x" * 9000, "y" * 9000
    assert seen == [
        ("r", {"id": 1, "n": 0, "large": x}),
        ("u", {"id": 1, "n": 1, "large": x}),
        ("c", {"id": 2, "n": 0, "large": y}),
        ("c", {"id": 3, "n": 2, "large": y}),
        ("u", {"id": 3, "n": 3, "large": y}),
    ]
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    source, _ = streaming(config)
    sql("UPDATE t SET n = 4 WHERE id = 3")  # after a restart nothing is known
    caught_up(source)
    assert changes(config, "public.t")[-1].after == {"id": 3, "n": 4, "large": UNAVAILABLE}


@pytest.mark.parametrize(
    "rewrite",
    [
        "ALTER TABLE t ALTER large TYPE text USING reverse(large)",
        "ALTER PUBLICATION {publication} DROP TABLE t; UPDATE t SET large = reverse(large);"
        "ALTER PUBLICATION {publication} ADD TABLE t",
    ],
    ids=["rewritten", "not published for a while"],
)
def test_a_large_value_that_changed_without_a_change_in_the_stream_is_never_filled_in(
    rewrite: str, sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, n int, large text)")
    # Nothing that compression would make small again.
    sql("INSERT INTO t SELECT 1, 0, string_agg(md5(g::text), '') FROM generate_series(1, 300) g")
    [(value,)] = sql("SELECT large FROM t")
    config = configure("public.t")
    source, _ = streaming(config)
    statement = rewrite.format(publication=config.publication)
    for part in statement.split(";"):  # before the stream knows the table
        sql(part)
    sql("UPDATE t SET n = 1")
    sql("UPDATE t SET large = reverse(large)")
    for part in statement.split(";"):  # and while it knows it
        sql(part)
    sql("UPDATE t SET n = 2")
    caught_up(source)
    seen = [change.after["large"] for change in changes(config, "public.t") if change.after]
    assert seen == [value, UNAVAILABLE, value, UNAVAILABLE]


def test_names_may_be_quoted_and_upper_case(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, messages: Messages, caught_up: CaughtUp
) -> None:
    sql('CREATE SCHEMA "My Schema"')
    sql('CREATE TABLE "My Schema"."Größe ""%s"" \\" ("Id" int, "K 2" text, "100%" text, PRIMARY KEY ("K 2", "Id"))')
    sql('INSERT INTO "My Schema"."Größe ""%s"" \\" VALUES (1, \'k\', \'v\')')
    table = 'My Schema.Größe "%s" \\'
    config = configure(table, publication="Pub \"licat'ion")
    source, _ = streaming(config)
    sql('UPDATE "My Schema"."Größe ""%s"" \\" SET "100%" = \'w\'')
    caught_up(source)
    read, updated = changes(config, table)
    assert (read.source.schema, read.source.table) == ("My Schema", 'Größe "%s" \\')
    assert (read.after, updated.after) == ({"Id": 1, "K 2": "k", "100%": "v"}, {"Id": 1, "K 2": "k", "100%": "w"})
    assert {message.key() for message in messages(config, table)} == {b'{"K 2":"k","Id":1}'}


def test_partitions_and_children_are_told_apart(
    sql: Sql, configure: Configure, streaming: Start, rebuilt: Rebuilt, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE parted (id int, a text, PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    sql("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    sql("CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20)")
    sql("CREATE TABLE parent (id int PRIMARY KEY, a text)")
    sql("CREATE TABLE child () INHERITS (parent)")
    sql("INSERT INTO parted VALUES (1, 'x'), (11, 'y')")
    sql("INSERT INTO parent VALUES (1, 'mine')")
    sql("INSERT INTO child VALUES (2, 'not mine')")
    config = configure("public.parted", "public.parent")
    source, _ = streaming(config)
    sql("INSERT INTO child VALUES (3, 'not mine')")
    sql("UPDATE parted SET id = 12 WHERE id = 1")
    sql("INSERT INTO parted VALUES (2, 'z')")
    sql("UPDATE parent SET a = 'still mine'")
    caught_up(source)
    assert rebuilt(config, "public.parted") == table_rows(sql, "parted")
    assert rebuilt(config, "public.parent") == [{"id": 1, "a": "still mine"}]


def test_columns_that_come_and_go_are_followed(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a text, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    sql("INSERT INTO t VALUES (0, 'x')")
    config = configure("public.t")
    source, _ = streaming(config)
    sql("INSERT INTO t VALUES (1, 'x')")
    sql("ALTER TABLE t ADD b numeric DEFAULT 1.50, DROP a")
    sql("INSERT INTO t (id) VALUES (2)")
    sql("ALTER TABLE t RENAME id TO key")
    sql("INSERT INTO t (key, b) VALUES (3, 4)")
    caught_up(source)
    rows = [change.after for change in changes(config, "public.t")]
    assert rows == [{"id": 0, "a": "x"}, {"id": 1, "a": "x"}, {"id": 2, "b": "1.50"}, {"key": 3, "b": "4"}]


def test_a_table_added_later_is_read_alone_while_the_stream_goes_on(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    changes: Changes,
    rebuilt: Rebuilt,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("CREATE TABLE added (id int PRIMARY KEY)")
    config = configure("public.t", "public.added")
    first = structs.replace(config, topics={"public.t": config.topics["public.t"]})
    _, stop = streaming(first)
    stop.request()
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", config.slot) == [])
    sql("INSERT INTO added VALUES (1)")
    source, _ = streaming(config)
    sql("INSERT INTO added VALUES (2)")
    sql("INSERT INTO t VALUES (2)")
    eventually(lambda: source.counters.snapshots == 1)
    caught_up(source)
    assert [change.after for change in changes(config, "public.added") if change.op == "c"] == [{"id": 2}]
    assert {change.source.snapshot for change in changes(config, "public.added") if change.op == "r"} == {"incremental"}
    assert rebuilt(config, "public.added") == [{"id": 1}, {"id": 2}]
    assert [change.op for change in changes(config, "public.t")] == ["c"]
    published = sql("SELECT tablename::text FROM pg_publication_tables ORDER BY 1")
    assert published == [("added",), ("t",)]


def test_idle_tables_release_the_wal_of_other_databases(
    postgres: PostgresServer,
    sql: Sql,
    configure: Configure,
    streaming: Start,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    source, _ = streaming(config)
    with psycopg.connect(postgres.dsn(), autocommit=True) as other:
        other.execute("CREATE TABLE IF NOT EXISTS busy (a text)")
        other.execute("INSERT INTO busy SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    caught_up(source)
    [(confirmed,)] = sql(
        "SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8 FROM pg_replication_slots WHERE slot_name = %s",
        config.slot,
    )
    assert confirmed >= source.counters.confirmed_lsn > 0
    eventually(lambda: source.counters.messages_skipped > 0)


def test_a_second_source_waits_until_the_first_one_ends(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    start: Start,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config = configure("public.t")
    _, stop = streaming(config)
    second, _ = start(config)
    eventually(lambda: second.counters.disconnects > 0)
    assert second.counters.phase != "streaming"
    stop.request()
    eventually(lambda: second.counters.phase == "streaming")
    sql("INSERT INTO t VALUES (1)")
    caught_up(second)
    assert [change.after for change in changes(config, "public.t")] == [{"id": 1}]
    assert second.counters.snapshots == 0


def test_a_stop_while_the_slot_waits_for_an_open_transaction_leaves_no_slot(
    dsn: str, sql: Sql, configure: Configure, start: Start, eventually: Eventually
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    with psycopg.connect(dsn) as open_transaction:
        open_transaction.execute("SELECT pg_current_xact_id()")
        source, stop = start(configure("public.t"))
        eventually(lambda: bool(sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", source.config.slot)))
        asked = time.monotonic()
        stop.request()
        eventually(lambda: source.counters.phase == "stopped")
        assert time.monotonic() - asked < 5
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", source.config.slot) == [])


def test_a_table_that_was_rewritten_since_the_snapshot_is_noticed(dsn: str, sql: Sql) -> None:
    sql("CREATE TABLE same (id int)")
    sql("CREATE TABLE rewritten (id int)")
    sql("CREATE TABLE parted (id int) PARTITION BY RANGE (id)")
    sql("CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    oids = [oid for (oid,) in sql("SELECT unnest(ARRAY['same', 'rewritten', 'parted']::regclass[])::oid::int8")]
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert rewritten(connection, oids) == []
        sql("ALTER TABLE rewritten ALTER id TYPE int8")
        sql("TRUNCATE part")
        assert sorted(rewritten(connection, oids)) == ["part", "rewritten"]
