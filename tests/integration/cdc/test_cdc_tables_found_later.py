"""Tables that are created while the source streams, and match its patterns."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from msgspec import structs
from structlog.testing import capture_logs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.filters import Filters
from connectors.cdc.publication import PublicationMode
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from schemas.changes import Change
from schemas.topics import Catalogue

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]


@pytest.fixture
def start(kafka: Connection, running: Callable[[Source], Stop]) -> Start:
    """Run sources that may create topics."""

    def begin(config: CdcConfig) -> tuple[Source, Stop]:
        source = Source(config, kafka, create_topics=partial(ensure_topics, kafka))
        return source, running(source)

    return begin


@pytest.fixture
def orders(configure: Configure) -> Configure:
    """Return a configuration for all tables whose names begin with "orders"."""

    def make(**changes: Any) -> CdcConfig:
        plain = configure()
        catalogue = Catalogue(prefix=f"{plain.slot}.")
        return structs.replace(plain, patterns=(r"public\.orders.*",), topic_of=catalogue.changes_of, **changes)

    return make


@pytest.mark.parametrize("mode", ["filtered", "all_tables"])
def test_a_table_that_is_created_later_is_read_and_streamed_while_others_go_on(
    dsn: str,
    sql: Sql,
    orders: Configure,
    streaming: Start,
    rebuilt: Rebuilt,
    changes: Changes,
    eventually: Eventually,
    mode: PublicationMode,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE orders_1 (id int PRIMARY KEY)")
    config = orders(publication_mode=mode)
    source, _ = streaming(config)
    done = threading.Event()

    def insert() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            number = 0
            while not done.is_set():
                number += 1
                for table in ("orders_1", "orders_2"):
                    connection.execute(f"INSERT INTO {table} VALUES (%s)".encode(), (number,))

    sql("CREATE TABLE orders_2 (id int PRIMARY KEY)")
    sql("INSERT INTO orders_2 SELECT -g FROM generate_series(1, 100) g")
    writer = threading.Thread(target=insert)
    writer.start()
    try:
        eventually(lambda: source.counters.events.get(("public.orders_2", "c"), 0) > 10)
        eventually(lambda: source.counters.snapshots == 2)
    finally:
        done.set()
        writer.join()
    caught_up(source)
    for table in ("orders_1", "orders_2"):
        wanted = [{"id": number} for (number,) in sql(f"SELECT id FROM {table}")]
        found = rebuilt(source.config, f"public.{table}")
        assert sorted(found, key=str) == sorted(wanted, key=str)
    assert not [one for one in changes(source.config, "public.orders_1") if one.op == "r"]
    assert source.counters.disconnects == 0


def test_a_table_that_cannot_be_captured_is_left_out_until_it_can_be_and_ends_nothing(
    sql: Sql, orders: Configure, streaming: Start, rebuilt: Rebuilt, eventually: Eventually, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders_1 (id int PRIMARY KEY)")
    with capture_logs() as logs:
        source, _ = streaming(orders())
        sql("CREATE TABLE orders_2 (n int, id int GENERATED ALWAYS AS (n) STORED PRIMARY KEY)")
        sql('CREATE TABLE "orders 1" (id int PRIMARY KEY)')

        def warnings() -> list[Any]:
            return [entry for entry in logs if entry["event"] == "table_is_not_captured"]

        eventually(lambda: len(warnings()) == 2)
        problems = sorted(entry["problem"] for entry in warnings())
        assert "public.orders 1 and public.orders_1 share topic" in problems[0]
        assert "key of public.orders_2 holds a generated column" in problems[1]
        sql("INSERT INTO orders_1 VALUES (1)")
        caught_up(source)
        sql("INSERT INTO orders_2 (n) VALUES (2)")
        sql("ALTER TABLE orders_2 DROP CONSTRAINT orders_2_pkey, ADD PRIMARY KEY (n)")
        eventually(lambda: "public.orders_2" in source.config.topics and source.counters.snapshots == 2)
    caught_up(source)
    assert rebuilt(source.config, "public.orders_1") == [{"id": 1}]
    assert rebuilt(source.config, "public.orders_2") == [{"n": 2}]
    assert len(warnings()) == 2


def test_a_table_that_was_found_and_is_dropped_ends_nothing_when_the_connection_is_made_again(
    sql: Sql, orders: Configure, streaming: Start, rebuilt: Rebuilt, eventually: Eventually, caught_up: CaughtUp
) -> None:
    for name in ("orders_1", "orders_2"):
        sql(f"CREATE TABLE {name} (id int PRIMARY KEY)")
    source, _ = streaming(orders())
    sql("DROP TABLE orders_2")
    sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", source.config.slot)
    eventually(lambda: source.counters.disconnects == 1)
    sql("INSERT INTO orders_1 VALUES (1)")
    caught_up(source)
    assert list(source.config.topics) == ["public.orders_1"]
    assert rebuilt(source.config, "public.orders_1") == [{"id": 1}]


def test_a_publication_of_somebody_else_is_left_as_it_is(
    sql: Sql, orders: Configure, streaming: Start, changes: Changes, eventually: Eventually, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders_1 (id int PRIMARY KEY)")
    sql("CREATE PUBLICATION travelos FOR TABLE orders_1")
    with capture_logs() as logs:
        source, _ = streaming(orders(publication_mode="disabled", filters=Filters(skipped_operations=("t", "d"))))
        sql("CREATE TABLE orders_2 (id int PRIMARY KEY)")
        eventually(lambda: any(entry["event"] == "table_is_not_captured" for entry in logs))
        sql("ALTER PUBLICATION travelos ADD TABLE orders_2")
        eventually(lambda: "public.orders_2" in source.config.topics and source.counters.snapshots == 2)
    sql("INSERT INTO orders_2 VALUES (2)")
    caught_up(source)
    assert [one.after for one in changes(source.config, "public.orders_2")] == [{"id": 2}]
    assert sql("SELECT pubdelete FROM pg_publication") == [(True,)]
