"""Row filters and column lists: the same rows in the snapshot, in chunks beside the stream, and in the stream."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from connectors.cdc import CdcConfig, Source, Stop, check
from connectors.cdc.errors import Misconfigured
from connectors.cdc.filters import Filters
from connectors.kafka.connection import Connection
from schemas.changes import Change

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Rebuilt = Callable[[CdcConfig, str], list[Any]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]

ORDERS = r"public\.orders"


def filtered(condition: str) -> Filters:
    return Filters(row_filters={ORDERS: condition})


def stopped(source: Source, stop: Stop, sql: Sql, eventually: Eventually) -> None:
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    active = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active"
    eventually(lambda: sql(active, source.config.slot) == [])


def test_snapshot_chunks_and_stream_hold_the_rows_that_meet_the_filter_also_when_they_move_in_and_out(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    changes: Changes,
    rebuilt: Rebuilt,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, status text, big text)")
    sql("ALTER TABLE orders REPLICA IDENTITY FULL, ALTER big SET STORAGE EXTERNAL")
    sql("CREATE TABLE signals (id text PRIMARY KEY, type text, data text)")
    states = "CASE g % 3 WHEN 0 THEN 'draft' WHEN 1 THEN 'open' END"
    sql(f"INSERT INTO orders SELECT g, {states}, repeat('x', 3000) FROM generate_series(1, 30) g")
    config = configure(
        "public.orders", filters=filtered("status <> 'draft' -- nor null"), chunk_rows=4, signal_table="public.signals"
    )
    assert check(config) == []
    source, _ = streaming(config)
    sql("INSERT INTO orders VALUES (40, 'draft'), (41, 'open'), (42, NULL)")
    sql("UPDATE orders SET status = 'open' WHERE id = 3")  # moves in
    sql("UPDATE orders SET status = 'draft' WHERE id = 1")  # moves out
    sql("UPDATE orders SET status = 'paid' WHERE id = 4")  # stays in
    sql("UPDATE orders SET big = 'y' WHERE id IN (6, 2)")  # stays out
    sql("DELETE FROM orders WHERE id IN (7, 9)")
    caught_up(source)
    found = [(one.op, (one.after or one.before or {})["id"]) for one in changes(config, "public.orders")]
    read = [("r", number) for number in range(1, 31) if number % 3 == 1]
    assert sorted(found[: len(read)]) == read
    assert found[len(read) :] == [("c", 41), ("c", 3), ("d", 1), ("u", 4), ("d", 7)]

    def as_filtered() -> list[Any]:
        rows = sql("SELECT id, status, big FROM orders WHERE status <> 'draft'")
        return sorted(({"big": big, "id": number, "status": status} for number, status, big in rows), key=str)

    assert sorted(rebuilt(config, "public.orders"), key=str) == as_filtered()
    sql("INSERT INTO signals VALUES ('1', 'execute-snapshot', '{\"data-collections\": [\"public.orders\"]}')")
    eventually(lambda: source.counters.snapshots == 2)
    caught_up(source)
    again = [
        (one.after or {})["id"] for one in changes(config, "public.orders") if one.source.snapshot == "incremental"
    ]
    assert sorted(again) == sorted(row["id"] for row in as_filtered())
    assert sorted(rebuilt(config, "public.orders"), key=str) == as_filtered()


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("stat = 'x'", r'cannot filter rows of public\.orders by it: column "stat" does not exist'),
        ("id", r"must be type boolean"),
        ("created > now()", r"public\.orders by it: invalid publication WHERE expression .*mutable functions"),
        ("id IN (SELECT 1)", r"by it: invalid publication WHERE expression .*Only columns"),
        ("status = 'x'", r'replica identity has \(column "status" does not exist\).*orders" REPLICA IDENTITY FULL'),
    ],
)
def test_a_filter_that_postgres_would_refuse_is_refused_before_anything_is_created(
    sql: Sql, configure: Configure, condition: str, reason: str
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, status text, created timestamptz)")
    config = configure("public.orders", filters=filtered(condition))
    [finding] = check(config)
    assert (finding.level, finding.option) == ("error", "source.row_filters")
    assert re.search(reason, str(finding))
    with pytest.raises(Misconfigured, match=reason):
        Source(config, Connection(bootstrap="127.0.0.1:1")).run(Stop())
    assert sql("SELECT 1 FROM pg_publication") == []


def test_a_publication_with_another_filter_is_refused_with_the_statements_that_mend_it(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, n int)")
    sql("CREATE PUBLICATION travelos FOR TABLE ONLY orders WHERE (id < 5)")
    same = configure("public.orders", filters=filtered(" ID < (5)"))
    assert check(same) == []
    [unfiltered] = check(configure("public.orders"))
    assert unfiltered.level == "warning"
    assert "set source.row_filters = ['public.orders=(id < 5)']" in unfiltered.remedy
    [useless] = check(configure("public.orders", filters=filtered("id > random()")))
    assert "mutable" in useless.problem or "immutable" in useless.problem
    config = configure("public.orders", filters=filtered("id >= 5"))
    [finding] = check(config)
    assert (finding.level, finding.option) == ("error", "source.row_filters")
    assert "publishes public.orders without this filter" in finding.problem
    statements, _, again = finding.remedy.partition("; then ")
    assert again.endswith("travelos cdc signal execute-snapshot --table public.orders")
    sql(statements)
    assert check(config) == []
    source, _ = streaming(config)
    sql("INSERT INTO orders VALUES (4, 0), (5, 0)")
    caught_up(source)
    assert [one.after for one in changes(config, "public.orders")] == [{"id": 5, "n": 0}]


def test_a_filter_that_is_added_later_is_refused_until_the_publication_has_it(
    sql: Sql, kafka: Connection, configure: Configure, streaming: Start, eventually: Eventually
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY)")
    config = configure("public.orders")
    source, stop = streaming(config)
    stopped(source, stop, sql, eventually)
    config = structs.replace(config, filters=filtered("id > 1"))
    with pytest.raises(Misconfigured, match=r"without this filter.*BEGIN; ALTER PUBLICATION") as refused:
        Source(config, kafka).run(Stop())
    statements = re.search(r"BEGIN;.*COMMIT", str(refused.value), re.DOTALL)
    assert statements is not None
    sql(statements.group())
    streaming(config)


def test_a_partitioned_table_is_filtered_as_one(
    sql: Sql, configure: Configure, streaming: Start, rebuilt: Rebuilt, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders (id int, day int, n int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)")
    sql("CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (10)")
    sql("INSERT INTO orders VALUES (1, 1, 0), (2, 1, 0)")
    [finding] = check(configure("public.orders", filters=filtered("n = 0")))
    assert "REPLICA IDENTITY FULL" in finding.remedy
    config = configure("public.orders", filters=filtered("id > 1"))
    source, _ = streaming(config)
    sql("INSERT INTO orders VALUES (0, 2, 0), (3, 2, 0)")
    caught_up(source)
    assert [row["id"] for row in rebuilt(config, "public.orders")] == [2, 3]


def test_only_captured_columns_are_sent_when_that_is_asked_for_and_values_stay_in_their_columns(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, secret text, phone text, big text)")
    sql("CREATE TABLE whole (id int PRIMARY KEY, secret text)")
    sql("ALTER TABLE whole REPLICA IDENTITY FULL")
    for column in ("secret", "big"):
        sql(f"ALTER TABLE orders ALTER {column} SET STORAGE EXTERNAL")
    sql("INSERT INTO orders VALUES (1, repeat('s', 3000), '555', repeat('b', 3000))")
    filters = Filters(exclude_columns=(r".*\.(secret|id)",), mask_columns={".*phone": 3}, push_down_columns=True)
    config = configure("public.orders", "public.whole", filters=filters)
    source, _ = streaming(config)
    lists = "SELECT tablename, attnames::text[] FROM pg_publication_tables ORDER BY 1"
    assert sql(lists) == [("orders", ["id", "phone", "big"]), ("whole", ["id", "secret"])]
    sql("UPDATE orders SET phone = '556'")
    sql("DELETE FROM orders")
    caught_up(source)
    read, updated, deleted = changes(config, "public.orders")
    assert read.after == updated.after == {"phone": "***", "big": "b" * 3000}
    assert deleted.op == "d"
    assert check(config) == []


def test_a_large_value_of_a_row_that_moves_in_is_marked_when_the_server_does_not_send_it(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, status text NOT NULL, big text)")
    sql("CREATE UNIQUE INDEX identity ON orders (id, status)")
    sql("ALTER TABLE orders REPLICA IDENTITY USING INDEX identity, ALTER big SET STORAGE EXTERNAL")
    sql("INSERT INTO orders VALUES (1, 'draft', repeat('x', 3000))")
    config = configure("public.orders", filters=filtered("status <> 'draft'"))
    with capture_logs() as logs:
        source, _ = streaming(config)
        sql("UPDATE orders SET status = 'open'")
        caught_up(source)
    [change] = changes(config, "public.orders")
    assert (change.op, change.after) == (
        "c",
        {"id": 1, "status": "open", "big": "__debezium_unavailable_value"},
    )
    assert "draft" not in repr([entry for entry in logs if entry["event"] != "stream_started"])
