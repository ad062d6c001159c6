"""Patterns, masks and chosen keys, in the snapshot and in the stream."""

import threading
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message
from structlog.testing import capture_logs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.catalog import read_tables
from connectors.cdc.chunks import chunk_key
from connectors.cdc.filters import Filters
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from schemas.changes import Change
from schemas.topics import Catalogue, Topic

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Changes = Callable[[CdcConfig, str], list[Change]]
Messages = Callable[[CdcConfig, str], list[Message]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]


def test_what_is_hidden_is_in_no_topic_and_no_log(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    changes: Changes,
    messages: Messages,
    eventually: Eventually,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE users (email text PRIMARY KEY, phone text, card text, name text, notes text)")
    sql("ALTER TABLE users REPLICA IDENTITY FULL")
    secrets = ["rosa@example.org", "555-0199", "4111-1111", "Rosa Luxemburg", "likes cats"]
    sql("INSERT INTO users VALUES (%s, %s, %s, %s, %s)", *secrets)
    filters = Filters(
        hash_columns=(r"public\.users\.email",),
        hash_salt="pepper",
        mask_columns={".*PHONE": 5},
        exclude_columns=(".*card",),
        truncate_columns={".*name": 4},
        exclude_tables=("nothing",),
    )
    config = configure("public.users", filters=filters, chunk_rows=1, offset_seconds=0.0)
    sql("INSERT INTO users SELECT 'other' || g, '', '', '', '' FROM generate_series(1, 20) g")
    with capture_logs() as logs:
        source, stop = streaming(config)
        sql("UPDATE users SET notes = 'likes dogs' WHERE notes = 'likes cats'")
        sql("UPDATE users SET email = 'karl@example.org' WHERE notes = 'likes dogs'")
        sql("DELETE FROM users")
        caught_up(source)
        stop.request()
        eventually(lambda: source.counters.phase == "stopped")
    found = changes(config, "public.users")
    read = next(one for one in found if one.op == "r" and (one.after or {})["notes"] == "likes cats")
    updated = next(one for one in found if one.op == "u" and (one.before or {})["notes"] == "likes cats")
    hashed = sha256(b"pepperrosa@example.org").hexdigest()
    row = {"email": hashed, "phone": "*****", "name": "Rosa", "notes": "likes cats"}
    assert read.after == updated.before == row
    assert updated.after == {**row, "notes": "likes dogs"}
    everything = repr([(one.key(), one.value(), one.headers()) for one in messages(config, "public.users")]) + repr(
        logs
    )
    assert not [secret for secret in (*secrets[:4], "karl@", "other1") if secret in everything]
    assert hashed in everything


def test_a_table_with_a_hidden_key_is_not_read_in_chunks_since_offsets_would_show_the_key(dsn: str, sql: Sql) -> None:
    sql("CREATE TABLE users (email text PRIMARY KEY, name text)")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for pattern, key in ((r".*\.email", ()), (r".*\.name", ("email",))):
            filters = Filters(hash_columns=(pattern,))
            [info] = read_tables(connection, [("public", "users")], filters)
            assert chunk_key(info) == key


def test_tables_are_found_by_pattern_and_their_topics_follow_the_rule(
    kafka: Connection, sql: Sql, configure: Configure, changes: Changes, eventually: Eventually, caught_up: CaughtUp
) -> None:
    for name in ("orders_1", "orders_2", "orders_old", "users"):
        sql(f"CREATE TABLE {name} (id int PRIMARY KEY)")
        sql(f"INSERT INTO {name} VALUES (1)")
    named = configure("public.users")
    catalogue = Catalogue(prefix=f"{named.slot}.")
    config = configure(
        "public.users",
        patterns=(r"public\.ORDERS_.*",),
        filters=Filters(exclude_tables=(".*_old",)),
        topic_of=catalogue.changes_of,
    )
    created: list[Topic] = []

    def create(topics: Any) -> None:
        created.extend(topics)
        ensure_topics(kafka, topics)

    source, stop = Source(config, kafka, create_topics=create), Stop()
    thread = threading.Thread(target=source.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: source.counters.phase == "streaming")
        sql("INSERT INTO orders_2 VALUES (2)")
        caught_up(source)
    finally:
        stop.request()
        thread.join()
    prefix = f"{named.slot}.cdc.travel.public."
    assert [topic.name for topic in created[1:]] == [f"{prefix}orders_1", f"{prefix}orders_2"]
    assert list(source.config.topics) == ["public.users", "public.orders_1", "public.orders_2"]
    found = [(change.op, change.after) for change in changes(source.config, "public.orders_2")]
    assert found == [("r", {"id": 1}), ("c", {"id": 2})]


def test_a_key_may_be_chosen(
    sql: Sql, configure: Configure, streaming: Start, messages: Messages, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, customer text, note text)")
    sql("ALTER TABLE orders REPLICA IDENTITY FULL")
    sql("INSERT INTO orders VALUES (1, 'rosa', 'x')")
    config = configure("public.orders", filters=Filters(key_columns={r"public\.orders": ("customer",)}))
    source, _ = streaming(config)
    sql("UPDATE orders SET note = 'y'")
    sql("UPDATE orders SET customer = 'karl'")
    sql("DELETE FROM orders")
    caught_up(source)
    rosa, karl = b'{"customer":"rosa"}', b'{"customer":"karl"}'
    keys = sorted(str(message.key()) for message in messages(config, "public.orders"))
    assert keys == sorted(str(key) for key in [rosa] * 4 + [karl] * 3)


def test_operations_may_be_skipped(
    sql: Sql, configure: Configure, streaming: Start, changes: Changes, caught_up: CaughtUp
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY, a int)")
    config = configure("public.t", filters=Filters(skipped_operations=("u", "d", "t")))
    source, _ = streaming(config)
    sql("INSERT INTO t VALUES (1, 1)")
    sql("UPDATE t SET a = 2")
    sql("DELETE FROM t")
    sql("INSERT INTO t VALUES (2, 1)")
    caught_up(source)
    assert [change.op for change in changes(config, "public.t")] == ["c", "c"]
