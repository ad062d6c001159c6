# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The sweep on real Kafka and embedded stores: what was removed, altered or added by hand is found and repaired."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlite_vec  # pyright: ignore[reportMissingTypeStubs] - it has none
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.lag import LagMeter
from connectors.sinks.contract import Sink
from connectors.sinks.folder.keys import path_of
from schemas.writes import (
    STORES,
    WRITE_TYPES,
    NodeRef,
    RelationalWrite,
    StoreName,
    Write,
    encode_write,
    key_of,
    store_of,
)
from streams.archive.plan import group_of, plan_of
from streams.stores import sink_of
from streams.verify.lines import Finding
from streams.verify.stores import Plan, sweep_stores
from streams.verify.sweep import StoreReport

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
REMOVED, ALTERED, DELETED, ADDED = "entity:1", "entity:2", "entity:3", "entity:added"


def common(entity: str, version: int = 5) -> dict[str, Any]:
    return {"entity": entity, "version": version, "source": "events", "event_id": "e-1", "occurred_at": NOW}


def write_of(store: StoreName, entity: str) -> Write:
    return WRITE_TYPES[store](**common(entity), **CONTENTS[store], **places_of(store, entity))  # pyright: ignore[reportReturnType] - one of them


CONTENTS: Mapping[StoreName, dict[str, Any]] = {
    "graph": {"properties": {"name": "Café", "none": None}},
    "vector": {
        "namespace": "places",
        "values": np.array([0.6, 0.8], "<f4").tobytes(),
        "model": "m",
        "text": "t",
        "metadata": {"a": 1},
    },
    "search": {"kind": "k", "name": "n", "text": "t", "lat": 40.5, "lon": -74.0, "score": 0.25, "fields": {"a": 1}},
    "timeseries": {"measurement": "gps", "tags": {"user_id": "u1"}, "fields": {"v": 1.0}},
    "objects": {"content_type": "image/jpeg"},
    "relational": {
        "table": "bookings",
        "columns": {"user_id": "u1", "guests": 2, "amount": 12.5, "starts_at": "2026-01-01T01:00+01:00"},
    },
    "cache": {"value": {"at": [1, 2.5, None]}, "ttl_seconds": 86_400},
    "warehouse": {"dataset": "events", "day": date(2026, 11, 21), "user_id": "u1", "type": "t", "body": {"a": 1}},
}


def places_of(store: StoreName, entity: str) -> dict[str, Any]:
    return {
        "graph": {"node": NodeRef("Place", entity)},
        "timeseries": {"time_ns": int.from_bytes(entity.encode()[-6:], "big")},
        "objects": {"key": f"folder/{entity}", "data": entity.encode()},
        "relational": {"key": entity},
        "cache": {"key": entity},
    }.get(store, {})


def writes() -> Iterator[Write]:
    for store in STORES:
        yield from (write_of(store, f"entity:{number}") for number in range(6))
        yield msgspec.structs.replace(write_of(store, DELETED), op="delete", version=6)
    started: dict[str, Any] = {"status": "started"}
    planned: dict[str, Any] = {"title": "T", "status": "planned"}
    yield RelationalWrite(**common("trip:1", 7), table="trips", key="1", columns=started)
    yield RelationalWrite(**common("trip:1", 6), table="trips", key="1", columns=planned)


# By hand: what anybody could do to the files and tables. Each removes one entity and alters another.
SQL: Mapping[str, tuple[str, ...]] = {
    "graph": (
        "DELETE FROM nodes WHERE entity = 'entity:1'",
        "UPDATE nodes SET properties = '{\"name\": \"Cafe\"}' WHERE entity = 'entity:2'",
    ),
    "vector": (
        "DELETE FROM documents WHERE entity = 'entity:1'",
        "UPDATE vectors_places SET embedding = '[0.8, 0.6]' WHERE rowid = (SELECT id FROM documents "
        "WHERE entity = 'entity:2')",
    ),
    "search": (
        "DELETE FROM documents WHERE entity = 'entity:1'",
        "UPDATE documents SET score = 0.26 WHERE entity = 'entity:2'",
    ),
    "timeseries": (
        "DELETE FROM points WHERE entity = 'entity:1'",
        "UPDATE points SET fields = 'no JSON' WHERE entity = 'entity:2'",
    ),
    "cache": (
        "DELETE FROM entries WHERE entity = 'entity:1'",
        "UPDATE entries SET value = '1' WHERE entity = 'entity:2'",
    ),
}


def tamper(pipeline: Any, store: StoreName) -> None:
    folder: Path = pipeline.options.data_dir / "stores"
    if store == "relational":
        with psycopg.connect(pipeline.options.stores.relational.url.get_secret_value()) as connection:
            connection.execute("DELETE FROM travelos.bookings WHERE key = 'entity:1'")
            connection.execute("UPDATE travelos.bookings SET amount = 12.51 WHERE key = 'entity:2'")
            connection.execute("INSERT INTO travelos.bookings (key) VALUES ('stray')")
            connection.execute("UPDATE travelos.trips SET title = 'U' WHERE key = '1'")
    elif store == "objects":
        (folder / "objects" / path_of(f"folder/{REMOVED}")).unlink()
        (folder / "objects" / path_of(f"folder/{ALTERED}")).write_bytes(ALTERED[::-1].encode())
    elif store == "warehouse":
        tamper_with_history(folder / "warehouse")
    else:
        connection = apsw.Connection(str(folder / f"{store}.db"))
        connection.set_busy_timeout(10_000)
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        for statement in SQL[store]:
            connection.execute(statement)
        connection.close()


def tamper_with_history(folder: Path) -> None:
    for path in folder.rglob("part-*.parquet"):
        with pq.ParquetFile(path) as file:
            table: Any = file.read()
        rows = [row for row in table.to_pylist() if row["entity"] != REMOVED]
        for row in rows:
            if row["entity"] == ALTERED:
                row["user_id"] = "u2"
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def sweep(pipeline: Any, *, repair: bool = False) -> dict[StoreName, StoreReport]:
    reports = sweep_stores(STORES, pipeline.options, Plan(repair=repair))
    assert [one.failed for one in reports if one.failed] == []
    return {one.store: one for one in reports}


def told(findings: Mapping[StoreName, Sequence[Finding]]) -> dict[StoreName, list[tuple[str, str]]]:
    return {store: sorted((one.entity, one.kind) for one in findings[store]) for store in findings}


def left(reports: Mapping[StoreName, StoreReport]) -> dict[StoreName, list[tuple[str, str]]]:
    return told({store: report.findings for store, report in reports.items()})


def write_all(pipeline: Any) -> Any:
    """Write everything, and wait until it is delivered; return the process that delivers."""
    with pipeline.producer() as producer:
        for write in writes():
            topic = pipeline.catalogue.writes(store_of(write)).name
            producer.publish_raw(topic, key_of(write).encode(), encode_write(write))
    deliver = pipeline.start("deliver", "deliver")
    pipeline.wait_for(lambda: pipeline.lag("deliver") == 0, "all is delivered")
    return deliver


def tamper_with_all(pipeline: Any) -> Mapping[StoreName, list[tuple[str, str]]]:
    """Remove, alter and add by hand in every store; return what is to be found."""
    for store in STORES:
        tamper(pipeline, store)
        sink: Sink[Any] = sink_of(store, pipeline.options)
        sink.open()
        sink.write([write_of(store, ADDED)])
        sink.close()
    wrong = [(REMOVED, "missing"), (ALTERED, "different"), (ADDED, "extra")]
    expected: dict[StoreName, list[tuple[str, str]]] = {store: sorted(wrong) for store in STORES}
    expected["relational"] = sorted([*wrong, ("bookings:stray", "extra"), ("trip:1", "different")])
    return expected


NOTHING: Mapping[StoreName, list[tuple[str, str]]] = {store: [] for store in STORES}


def test_what_was_removed_altered_or_added_by_hand_is_found_in_every_store_and_repaired(pipeline: Any) -> None:
    write_all(pipeline)
    assert left(sweep(pipeline)) == NOTHING
    expected = tamper_with_all(pipeline)
    repaired = sweep(pipeline, repair=True)
    assert told({store: report.repaired for store, report in repaired.items()}) == expected
    assert left(repaired) == NOTHING

    again = sweep(pipeline)
    assert left(again) == NOTHING
    assert {one.under_way for one in again.values()} == {0}
    assert pipeline.letters() == []


def forget_writes(pipeline: Any) -> None:
    """Have Kafka delete all writes that it holds, as it does after seven days."""
    admin: Any = AdminClient(pipeline.options.kafka.connection().client())
    meter = LagMeter(pipeline.options.kafka.connection(), "forgetting")
    try:
        positions = meter.positions([topic.name for topic, _, _ in pipeline.catalogue.all_writes()])
    finally:
        meter.close()
    places = [TopicPartition(*home, one.end) for home, one in positions.items() if one.end]
    for asked in admin.delete_records(places, request_timeout=15).values():
        asked.result(15)


def archive_all(pipeline: Any) -> None:
    """Archive everything that is in Kafka, and go on with what comes."""
    pipeline.start("archive", "archive")
    included = plan_of(pipeline.options).topics(topic.name for topic in pipeline.catalogue)
    meter = LagMeter(pipeline.options.kafka.connection(), group_of(pipeline.options))
    try:
        pipeline.wait_for(lambda: not any(one.lag for one in meter.progress(included).values()), "all is archived")
    finally:
        meter.close()


ARCHIVED = {"archive.include": [r".*\.writes\..*", r".*\.compensations\..*", r".*\.dead-letters"]}


@pytest.mark.parametrize("pipeline", [{**ARCHIVED, "archive.file_seconds": 1}], indirect=True)
def test_what_kafka_has_forgotten_is_expected_and_repaired_from_the_archive(pipeline: Any) -> None:
    write_all(pipeline)
    archive_all(pipeline)
    forget_writes(pipeline)
    assert left(sweep(pipeline)) == NOTHING
    expected = tamper_with_all(pipeline)
    repaired = sweep(pipeline, repair=True)
    assert told({store: report.repaired for store, report in repaired.items()}) == expected
    assert left(repaired) == NOTHING
    assert {store: (one.known_from, one.unaccounted) for store, one in repaired.items()} == dict.fromkeys(
        STORES, ({}, 0)
    )
    for path in (pipeline.options.data_dir / "archive").rglob("*.writes.search+*.jsonl.gz"):
        path.write_bytes(b"no gzip")
    search, graph = sweep_stores(("search", "graph"), pipeline.options, Plan())
    assert search.failed is not None
    assert "no gzip JSON lines of an archive" in search.failed
    assert (graph.failed, graph.findings) == (None, [])


@pytest.mark.parametrize("pipeline", [{**ARCHIVED, "archive.file_seconds": 1}], indirect=True)
def test_a_store_that_is_gone_is_rebuilt_from_the_archive_when_kafka_has_forgotten_its_writes(pipeline: Any) -> None:
    deliver = write_all(pipeline)
    archive_all(pipeline)
    forget_writes(pipeline)
    deliver.stop()
    for file in (pipeline.options.data_dir / "stores").glob("search.db*"):
        file.unlink()
    deliver.start()
    repaired = sweep(pipeline, repair=True)
    assert left(repaired) == NOTHING
    assert {store for store, report in repaired.items() if report.repaired} == {"search"}
    assert len(repaired["search"].repaired) == repaired["search"].entities > 1
    assert all(not report.repaired for report in sweep(pipeline, repair=True).values())


def test_what_kafka_has_forgotten_and_no_archive_has_is_counted_and_told(pipeline: Any) -> None:
    write_all(pipeline)
    forget_writes(pipeline)
    reports = sweep(pipeline)
    assert left(reports) == NOTHING
    for store, report in reports.items():
        homes = {home.rpartition("/")[0] for home in report.known_from}
        assert (report.entities, homes) == (0, {pipeline.catalogue.writes(store).name})
        assert report.unaccounted >= 5
