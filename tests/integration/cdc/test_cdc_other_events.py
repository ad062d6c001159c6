"""Truncates, logical messages, tombstones and transactions."""

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from confluent_kafka import Message
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.filters import Filters
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from schemas.topics import Catalogue, Topic

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]
Configure = Callable[..., CdcConfig]
Start = Callable[[CdcConfig], tuple[Source, Stop]]
Messages = Callable[[CdcConfig, str], list[Message]]
Eventually = Callable[[Callable[[], bool]], None]
CaughtUp = Callable[[Source], None]


def read(messages: Messages, config: CdcConfig, topic: Topic) -> list[tuple[Any, Any]]:
    """Return key and value of each record of a topic."""
    found = messages(structs.replace(config, topics={"any": topic}), "any")
    return [(one.key(), msgspec.json.decode(value) if (value := one.value()) else None) for one in found]


def test_transactions_messages_and_truncates_are_told_when_asked_for(
    kafka: Connection,
    dsn: str,
    sql: Sql,
    configure: Configure,
    streaming: Start,
    messages: Messages,
    caught_up: CaughtUp,
) -> None:
    sql("CREATE TABLE a (id int PRIMARY KEY)")
    sql("CREATE TABLE b (id int PRIMARY KEY)")
    plain = configure("public.a", "public.b")
    catalogue = Catalogue(prefix=f"{plain.slot}.", tables=["public.a", "public.b"], keyless_changes=True)
    # The in-memory cluster makes topics of four partitions, whatever it is asked for.
    transactions, spoken = (
        structs.replace(catalogue.beside_changes(name, key="", purpose=""), partitions=4)
        for name in ("transaction", "message")
    )
    config = structs.replace(
        plain,
        topics=catalogue.changes,
        transactions=transactions,
        messages=spoken,
        tombstones=False,
        filters=Filters(skipped_operations=(), exclude_prefixes=("quiet",)),
    )
    ensure_topics(kafka, config.all_topics)
    source, _ = streaming(config)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO a VALUES (1), (2)")
        connection.execute("SELECT pg_logical_emit_message(true, 'loud', 'with it')")
        connection.execute("INSERT INTO b VALUES (1)")
        connection.execute("UPDATE a SET id = 3 WHERE id = 1")
        connection.execute("SELECT pg_logical_emit_message(true, 'quiet', 'nobody hears')")
    sql("SELECT pg_logical_emit_message(false, 'loud', 'aside')")
    sql("TRUNCATE a, b")
    caught_up(source)

    of_a, of_b = (read(messages, config, config.topics[table]) for table in ("public.a", "public.b"))
    assert sorted(value["op"] for _, value in of_a) == ["c", "c", "c", "d", "t"]  # and no tombstone
    [(created_key, created), (truncated_key, truncated)] = sorted(of_b, key=lambda record: record[1]["source"]["lsn"])
    assert (created_key, truncated_key) == (b'{"id":1}', None)
    assert (truncated["op"], truncated["before"], truncated["after"]) == ("t", None, None)

    told = [value for _, value in read(messages, config, transactions)]
    begin, end, *later = sorted(told, key=lambda value: int(value["id"].partition(":")[2]))
    assert (begin["status"], end["status"]) == ("BEGIN", "END")
    assert begin["id"].partition(":")[0] == end["id"].partition(":")[0] == str(created["source"]["txId"])
    counts = {one["data_collection"]: one["event_count"] for one in end["data_collections"]}
    assert counts == {"public.a": 4, "public.b": 1, "LOGICAL_DECODING_MESSAGE": 1}
    assert end["event_count"] == 6
    assert created["transaction"]["data_collection_order"] == 1
    assert created["transaction"]["total_order"] == 4
    assert created["transaction"]["id"] == f"{created['source']['txId']}:{created['source']['lsn']}"
    assert [value["status"] for value in later[-2:]] == ["BEGIN", "END"]

    heard = read(messages, config, spoken)
    assert [(key, value["op"], value["message"]["content"]) for key, value in heard] == [
        (b'{"prefix":"loud"}', "m", "d2l0aCBpdA=="),
        (b'{"prefix":"loud"}', "m", "YXNpZGU="),
    ]
    assert heard[0][1]["transaction"]["total_order"] == 3
    assert heard[1][1]["transaction"] is None
