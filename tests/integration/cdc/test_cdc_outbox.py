"""Messages that a program leaves in an outbox table."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Message
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.outbox_options import Outbox, parse_field
from schemas.topics import Topic

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Messages = Callable[[CdcConfig, str], list[Message]]
CaughtUp = Callable[[Source], None]


def test_messages_of_an_outbox_are_routed_and_other_tables_are_captured_as_ever(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE outbox (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload jsonb)")
    sql("CREATE TABLE orders (id int PRIMARY KEY)")
    add = "INSERT INTO outbox VALUES (gen_random_uuid(), 'order', %s, 'created', %s)"
    sql(add, "1", '{"from": "before the source began"}')
    plain = configure("public.outbox", "public.orders")
    topic = f"{plain.slot}.outbox.${{routedByValue}}"
    outbox = Outbox(
        table="public.outbox", topic=topic, expand_json=True, fields=(parse_field("type:header:eventType"),)
    )
    config = structs.replace(plain, outbox=outbox)
    source, _ = streaming(config)
    sql(add, "7", '{"total": 12.5}')
    sql("UPDATE outbox SET type = 'changed'")
    sql("DELETE FROM outbox")
    sql("INSERT INTO orders VALUES (1)")
    caught_up(source)
    routed = Topic(name=f"{plain.slot}.outbox.order", key="", value="", owner="", purpose="", partitions=4)
    found = messages(structs.replace(config, topics={"any": routed}), "any")
    assert {message.key(): message.value() for message in found} == {
        b'"1"': b'{"from":"before the source began"}',
        b'"7"': b'{"total":12.5}',
    }
    for message in found:
        headers = dict(message.headers() or [])
        assert headers["eventType"] == b"created"
        assert len(headers["id"] or b"") == len("cc944665-fe05-4b90-85f9-7fa8fc2b5c6f")
    assert messages(config, "public.outbox") == []
    assert len(messages(config, "public.orders")) == 1


def test_an_outbox_that_is_added_later_is_read_once_while_it_is_written(
    sql: Sql,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    sql("CREATE TABLE outbox (id int PRIMARY KEY, aggregatetype text, aggregateid text, payload text)")
    sql("CREATE TABLE orders (id int PRIMARY KEY)")
    both = configure("public.outbox", "public.orders", chunk_rows=100)
    _, stop = streaming(structs.replace(both, topics={"public.orders": both.topics["public.orders"]}))
    stop.request()
    eventually(lambda: sql("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active", both.slot) == [])
    add = "INSERT INTO outbox SELECT g, 'order', g, 'x' FROM generate_series(%s::int, %s::int) g"
    sql(add, 1, 1_000)
    outbox = Outbox(table="public.outbox", topic=f"{both.slot}.outbox.${{routedByValue}}")
    source, _ = streaming(structs.replace(both, outbox=outbox))
    for start in range(1_001, 1_100, 10):
        sql(add, start, start + 9)
    eventually(lambda: source.counters.snapshots == 1)
    caught_up(source)
    routed = Topic(name=f"{both.slot}.outbox.order", key="", value="", owner="", purpose="", partitions=4)
    found = messages(structs.replace(both, topics={"any": routed}), "any")
    ids = Counter(int(dict(message.headers() or [])["id"] or b"") for message in found)
    assert ids.keys() == set(range(1, 1_101))
    assert [ids[number] for number in range(1, 1_001)] == [1] * 1_000
    # What was written before its chunk was read comes by the stream and by the chunk.
    assert max(ids.values()) <= 2
