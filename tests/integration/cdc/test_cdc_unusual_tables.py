"""Tables, values and databases at the edge of what Postgres allows."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.cdc import CdcConfig, Source, Stop
from deploy.local.postgres import PostgresServer
from schemas.changes import Change

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]

LARGE = 3_000_000


def test_values_of_megabytes_arrive_whole_in_snapshot_and_stream(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, large text, packed text)")
    sql("ALTER TABLE t ALTER large SET STORAGE EXTERNAL")
    row = f"repeat('é', {LARGE // 2}), repeat('x', {LARGE})"
    sql(f"INSERT INTO t VALUES (1, {row})")
    config = configure("public.t")
    source, _ = streaming(config)
    sql(f"INSERT INTO t VALUES (2, {row})")
    caught_up(source)
    values = {"large": "é" * (LARGE // 2), "packed": "x" * LARGE}
    found = [change.after for change in changes(config, "public.t")]
    assert [(row or {})["id"] for row in found] == [1, 2]
    assert all({**(row or {}), "id": 0} == {"id": 0, **values} for row in found)


def test_a_table_of_1600_columns_is_captured(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    names = [f"c{number}" for number in range(1_599)]
    sql(f"CREATE TABLE wide (id int PRIMARY KEY, {', '.join(f'{name} int' for name in names)})")
    numbers = ", ".join(str(number) for number in range(1_599))
    sql(f"INSERT INTO wide VALUES (1, {numbers})")
    config = configure("public.wide")
    source, _ = streaming(config)
    sql(f"INSERT INTO wide VALUES (2, {numbers})")
    sql("UPDATE wide SET c1598 = NULL WHERE id = 2")
    caught_up(source)
    read, created, updated = (change.after for change in changes(config, "public.wide"))
    row = {name: number for number, name in enumerate(names)}
    assert read == {"id": 1, **row}
    assert created == {"id": 2, **row}
    assert updated == {"id": 2, **row, "c1598": None}


def test_generated_columns_are_neither_in_the_snapshot_nor_in_the_stream(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, a text)")
    sql("INSERT INTO t VALUES (1, DEFAULT, 'x')")
    config = configure("public.t")
    source, _ = streaming(config)
    sql("INSERT INTO t VALUES (2, DEFAULT, 'x')")
    sql("UPDATE t SET a = 'y' WHERE id = 2")
    caught_up(source)
    rows = [change.after for change in changes(config, "public.t")]
    assert rows == [{"id": 1, "a": "x"}, {"id": 2, "a": "x"}, {"id": 2, "a": "y"}]


@pytest.mark.parametrize("via_root", [True, False])
def test_partitions_may_be_captured_by_themselves(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, via_root: bool, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE parted (id int PRIMARY KEY, a text) PARTITION BY RANGE (id)")
    sql("CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    sql("CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20)")
    sql("INSERT INTO parted VALUES (1, 'x'), (11, 'x')")
    config = configure("public.low", publication=f"partitions_{via_root}".lower())
    sql(
        f"CREATE PUBLICATION {config.publication} FOR TABLE low, high "
        f"WITH (publish_via_partition_root = {str(via_root).lower()})"
    )
    source, _ = streaming(config)
    sql("INSERT INTO parted VALUES (2, 'x'), (12, 'x')")
    sql("UPDATE parted SET id = 13 WHERE id = 1")  # a row that moves is deleted here and inserted there
    caught_up(source)
    found = [(change.op, (change.after or change.before or {})["id"]) for change in changes(config, "public.low")]
    assert found == [("r", 1), ("c", 2), ("d", 1)]


@pytest.fixture
def latin1(postgres: PostgresServer) -> Iterator[str]:
    """A database in LATIN1, whose clients speak LATIN1 by default."""
    name = "cdc_latin1"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
        connection.execute(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'".encode())
    try:
        yield postgres.dsn(name)
    finally:
        with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_database_and_clients_that_are_not_utf8_arrive_as_utf8(
    latin1: str, configure: Configure, start: Start, changes: Changes, eventually: Eventually, caught_up: CaughtUp
) -> None:
    def sql(statement: str, *_: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(make_conninfo(latin1, client_encoding="LATIN1"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode("latin-1"))
            return cursor.fetchall() if cursor.description else []

    sql('CREATE TABLE "größe" (id int PRIMARY KEY, "straße" text)')
    sql("INSERT INTO \"größe\" VALUES (1, 'Ärger')")
    config = configure("public.größe", dsn=make_conninfo(latin1, client_encoding="LATIN1"))
    source, stop = start(config)
    eventually(lambda: source.counters.phase == "streaming")
    sql("INSERT INTO \"größe\" VALUES (2, 'Übel')")
    eventually(lambda: source.counters.created == 1)
    caught_up(source)
    rows = [change.after for change in changes(config, "public.größe")]
    assert rows == [{"id": 1, "straße": "Ärger"}, {"id": 2, "straße": "Übel"}]
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE active AND database = 'cdc_latin1'") == [])
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = 'cdc_latin1'")


def test_two_databases_of_one_server_are_captured_side_by_side(
    postgres: PostgresServer,
    dsn: str,
    sql: Sql,
    configure: Configure,
    start: Start,
    changes: Changes,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    postgres.create_database("cdc_other")
    other = postgres.dsn("cdc_other")

    def elsewhere(statement: str, *_: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(other, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    configs = [configure("public.t"), configure("public.t", dsn=other)]
    runs = (sql, elsewhere)
    for run in runs:
        run("CREATE TABLE t (id int PRIMARY KEY, a text)")
    started = [start(config) for config in configs]
    for source, _ in started:
        eventually(lambda source=source: source.counters.phase == "streaming")
    for place, run in enumerate(runs):
        run(f"INSERT INTO t VALUES (1, 'of {place}')")
    for source, _ in started:
        caught_up(source)
    for place, config in enumerate(configs):
        [change] = changes(config, "public.t")
        assert change.after == {"id": 1, "a": f"of {place}"}
        assert change.source.db == conninfo_to_dict(config.dsn)["dbname"]
    for source, stop in started:
        stop.request()
        eventually(lambda source=source: source.counters.phase == "stopped")
    eventually(lambda: elsewhere("SELECT 1 FROM pg_replication_slots WHERE active AND database = 'cdc_other'") == [])
    elsewhere("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = 'cdc_other'")
    sql("DROP DATABASE cdc_other WITH (FORCE)")
