"""What a running source tells those who watch it: notifications, metrics, health."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from msgspec import structs

from connectors.cdc import CdcConfig, Source, Stop
from connectors.cdc.metrics import registry_of
from connectors.kafka.admin import ensure_topics
from connectors.kafka.connection import Connection
from schemas.topics import Catalogue

pytestmark = pytest.mark.integration

Sql = Callable[..., list[tuple[Any, ...]]]


Told = Callable[[int], dict[str, dict[str, str]]]


@pytest.fixture
def notified(kafka: Connection, configure: Callable[..., CdcConfig]) -> tuple[CdcConfig, Told]:
    """Return a configuration for public.t with a topic of notifications, and what waits for so many kinds of them."""
    config = configure("public.t")
    prefix = config.offsets.name.removesuffix("cdc.offsets")
    topic = Catalogue(prefix=prefix).beside_changes("notification", key="id", purpose="what happens to snapshots")
    topic = structs.replace(topic, partitions=4)  # as the in-memory cluster makes them, so their order is not kept
    ensure_topics(kafka, [topic])

    def told(kinds: int) -> dict[str, dict[str, str]]:
        consumer = Consumer(kafka.consumer("notifications"))
        consumer.assign([TopicPartition(topic.name, number, OFFSET_BEGINNING) for number in range(topic.partitions)])
        found: dict[str, dict[str, str]] = {}
        with closing(consumer):
            while len(found) < kinds:
                message = consumer.poll(10)
                assert message is not None, found
                value = json.loads(message.value() or b"")
                found[value["type"]] = value["additional_data"]
                assert value["aggregate_type"] == "Initial Snapshot"
        return found

    return structs.replace(config, notifications=topic), told


def test_a_snapshot_is_told_of_from_its_start_to_its_end_and_a_start_without_one_as_skipped(
    sql: Sql,
    notified: tuple[CdcConfig, Told],
    streaming: Callable[[CdcConfig], tuple[Source, Stop]],
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("INSERT INTO t SELECT g FROM generate_series(1, 10) g")
    config, told = notified
    source, stop = streaming(config)
    found = told(4)
    assert found.keys() == {"STARTED", "IN_PROGRESS", "TABLE_SCAN_COMPLETED", "COMPLETED"}
    assert found["STARTED"]["data_collections"] == "public.t"
    assert found["IN_PROGRESS"]["current_collection_in_progress"] == "public.t"
    scanned = {name: found["TABLE_SCAN_COMPLETED"][name] for name in ("scanned_collection", "status")}
    assert scanned == {"scanned_collection": "public.t", "status": "SUCCEEDED"}
    assert found["TABLE_SCAN_COMPLETED"]["total_rows_scanned"] == found["COMPLETED"]["total_rows_scanned"] == "10"
    stop.request()
    eventually(lambda: source.counters.phase == "stopped")
    streaming(config)
    assert "SKIPPED" in told(5)


def test_a_snapshot_that_is_interrupted_is_told_as_aborted(
    dsn: str,
    sql: Sql,
    notified: tuple[CdcConfig, Told],
    start: Callable[[CdcConfig], tuple[Source, Stop]],
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    """The slot waits for the open transaction, and so the snapshot begins and does not end."""
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    config, told = notified
    with psycopg.connect(dsn) as open_transaction:
        open_transaction.execute("SELECT pg_current_xact_id()")
        source, stop = start(config)
        assert told(1).keys() == {"STARTED"}
        stop.request()
        eventually(lambda: source.counters.phase == "stopped")
    assert told(2)["ABORTED"]["data_collections"] == "public.t"


def test_a_running_source_tells_lag_events_and_the_budget_of_its_slot(
    sql: Sql,
    configure: Callable[..., CdcConfig],
    streaming: Callable[[CdcConfig], tuple[Source, Stop]],
    eventually: Callable[[Callable[[], bool]], None],
) -> None:
    sql("CREATE TABLE t (id int PRIMARY KEY)")
    sql("INSERT INTO t VALUES (1), (2)")
    source, _ = streaming(configure("public.t"))
    sql("INSERT INTO t VALUES (3)")
    sql("UPDATE t SET id = 4 WHERE id = 3")
    sql("DELETE FROM t WHERE id = 1")
    registry = registry_of(source.counters)

    def told(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"cdc_{name}", labels)

    def events() -> list[float | None]:
        return [told("events_total", table="public.t", op=op) for op in "rcud"]

    eventually(lambda: events() == [2, 2, None, 2])
    eventually(lambda: bool(told("slot_retained_bytes")))
    assert told("connected") == 1
    lags = [told("behind_source_milliseconds", quantile=share) for share in ("0.5", "0.95", "0.99")]
    assert all(lag is not None and 0 <= lag < 60_000 for lag in lags)
    eventually(lambda: told("queue_records") == 0)
