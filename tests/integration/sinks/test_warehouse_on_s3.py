# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The warehouse on an S3 server: the conformance kit, and what other programs read there."""

import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import S3FileSystem
from typer.testing import CliRunner

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import Sink
from connectors.sinks.errors import Fatal
from connectors.sinks.warehouse.s3 import S3WarehouseOptions, S3WarehouseSink
from deploy.local.s3 import S3Server
from schemas.writes import WarehouseWrite
from streams.cli import warehouse
from tests.integration.sinks.no_room import without_room
from tests.unit.bigquery.bigquery_stand_in import standing_in
from tests.unit.verify.by_hand import ENTITIES, write_of
from tests.unit.verify.sweeping import found_and_repaired

# A random history is hundreds of batches, each some requests, and each looked at by a copy of the bucket.
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

DAY = date(2026, 5, 1)


def options_of(server: S3Server, bucket: str, index_folder: str) -> S3WarehouseOptions:
    return S3WarehouseOptions(
        endpoint=server.address,
        access_key=server.access_key,
        secret_key=server.secret_key,
        path_style=True,
        bucket=bucket,
        index_folder=index_folder,
    )


def downloaded(server: S3Server, bucket: str, folder: Path) -> str:
    """Copy the files as any client lists them, and return a pattern of them.

    DuckDB's httpfs is an extension that it would fetch from the network, so what reads in place here is a copy.
    """
    client = server.client()
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="warehouse/events/"):
            for found in page.get("Contents", []):
                path = folder / found["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    except client.exceptions.NoSuchBucket:
        pass
    finally:
        client.close()
    return f"{folder}/warehouse/events/*/*.parquet"


class TestWarehouseOnS3(SinkConformance[WarehouseWrite]):
    many = 100  # each of some tests is a batch of several requests
    server: S3Server
    indexes: Path

    @pytest.fixture(autouse=True)
    def _server(self, s3_server: S3Server, tmp_path: Path) -> None:
        self.server = s3_server
        self.indexes = tmp_path / "indexes"

    @pytest.fixture
    def place(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        return f"bucket-{uuid4().hex}"

    def sink(self, place: str) -> S3WarehouseSink:
        # Another machine each time: nothing but the bucket is shared.
        return S3WarehouseSink(options_of(self.server, place, str(self.indexes / uuid4().hex)))

    def stranger(self, place: str) -> S3WarehouseSink:
        options = options_of(self.server, place, str(self.indexes / uuid4().hex))
        return S3WarehouseSink(msgspec.structs.replace(options, secret_key="another"))

    def full(self, place: str, sink: Sink[WarehouseWrite]) -> AbstractContextManager[object]:
        return without_room(self.server)

    def good(self, entity: str, version: int, source: str, content: int) -> WarehouseWrite:
        common = self.common(entity, version, source)
        return WarehouseWrite(**common, dataset="events", day=DAY, type="test", body={"content": content, "s": "🍕"})

    def bad(self, entity: str, version: int, source: str) -> WarehouseWrite:
        return WarehouseWrite(**self.common(entity, version, source), dataset="events", day=DAY, type="\ud800")

    def content(self, place: str, entity: str) -> int | None:
        with tempfile.TemporaryDirectory(dir=self.indexes.parent) as folder, duckdb.connect() as connection:
            pattern = downloaded(self.server, place, Path(folder))
            if not list(Path(folder).rglob("*.parquet")):
                return None
            query = f"SELECT body FROM read_parquet('{pattern}', union_by_name = true) WHERE entity = ?"
            found = connection.execute(query, [entity]).fetchall()
            assert len(found) <= 1
            return json.loads(found[0][0])["content"] if found else None


def test_a_history_of_days_is_read_in_place_with_its_days(s3_server: S3Server, tmp_path: Path) -> None:
    bucket = f"bucket-{uuid4().hex}"
    sink = S3WarehouseSink(options_of(s3_server, bucket, str(tmp_path / "index")))
    sink.open()
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    for number in range(40):
        rows = [
            WarehouseWrite(
                entity=f"e{number}-{day}",
                version=1,
                source="s",
                event_id="e",
                occurred_at=at,
                dataset="events",
                day=DAY + timedelta(days=day),
            )
            for day in range(3)
        ]
        sink.write(rows)
    sink.close()
    pattern = downloaded(s3_server, bucket, tmp_path)
    with duckdb.connect() as connection:
        query = (
            f"SELECT day, count(*) FROM read_parquet('{pattern}', hive_partitioning = true) GROUP BY day ORDER BY day"
        )
        assert connection.execute(query).fetchall() == [(DAY + timedelta(days=day), 40) for day in range(3)]
    assert len(list(tmp_path.glob("warehouse/events/day=2026-05-01/*.parquet"))) < 32  # small ones were merged


def test_arrow_and_duckdb_read_it_in_the_bucket_itself(s3_server: S3Server, tmp_path: Path) -> None:
    """DuckDB through Arrow: its extension httpfs can only be fetched from the network."""
    bucket = f"bucket-{uuid4().hex}"
    sink = S3WarehouseSink(options_of(s3_server, bucket, str(tmp_path / "index")))
    sink.open()
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    for version in (1, 2):
        rows = [
            WarehouseWrite(
                entity=f"e{number}",
                version=version,
                source="s",
                event_id=f"e{version}",
                occurred_at=at,
                dataset="events",
                day=DAY + timedelta(days=number % 3),
                type="test",
                op="delete" if version == 2 and number >= 60 else "upsert",
                body={"content": number, "s": "🍕"},
            )
            for number in range(90)
        ]
        sink.write(rows)
    sink.close()
    files = S3FileSystem(
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        region=s3_server.region,
        scheme="http",
        endpoint_override=s3_server.address.removeprefix("http://"),
    )
    days = ds.partitioning(pa.schema([("day", pa.date32())]), flavor="hive")
    events = ds.dataset(f"{bucket}/warehouse/events", filesystem=files, format="parquet", partitioning=days)
    assert sorted(events.to_table(columns=["entity"], filter=ds.field("day") == DAY)["entity"].to_pylist()) == sorted(
        f"e{number}" for number in range(0, 60, 3)
    )
    with duckdb.connect() as connection:
        connection.register("events", events)
        query = "SELECT day, count(*), count(DISTINCT entity), min(version) FROM events GROUP BY day ORDER BY day"
        found = connection.execute(query).fetchall()
        assert found == [(DAY + timedelta(days=day), 20, 20, 2) for day in range(3)]
        content = "SELECT sum((body ->> '$.content')::INT) FROM events WHERE body ->> '$.s' = '🍕'"
        assert connection.execute(content).fetchall() == [(sum(range(60)),)]


def test_the_command_loads_it_into_bigquery(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"bucket-{uuid4().hex}"
    chosen = options_of(s3_server, bucket, str(tmp_path / "index"))
    sink = S3WarehouseSink(chosen)
    sink.open()
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    row = WarehouseWrite(
        entity="a", version=1, source="s", event_id="e", occurred_at=at, dataset="events", day=DAY, type="test"
    )
    sink.write([row])
    sink.close()
    given = {"kind": "s3", "bucket": bucket, "path_style": "true", "endpoint": chosen.endpoint}
    for name, value in {**given, "access_key": chosen.access_key, "secret_key": chosen.secret_key}.items():
        monkeypatch.setenv(f"TRAVELOS_STORES_WAREHOUSE_{name.upper()}", value)
    with standing_in() as bigquery:
        monkeypatch.setenv("TRAVELOS_BIGQUERY_ENDPOINT", bigquery.address)
        monkeypatch.setenv("TRAVELOS_BIGQUERY_PROJECT", "p")
        for files in (1, 0):
            result = CliRunner().invoke(warehouse.app, ["load", "--json"])
            assert result.exit_code == 0, result.output
            assert json.loads(result.stdout)[0]["files"] == files
        assert bigquery.rows("SELECT entity, type FROM events") == [("a", "test")]


def test_an_error_names_the_option_of_the_warehouse(s3_server: S3Server, tmp_path: Path) -> None:
    options = options_of(s3_server, "bucket", str(tmp_path / "index"))
    wrong = S3WarehouseOptions(
        endpoint=options.endpoint, access_key="wrong", secret_key="wrong", path_style=True, bucket="bucket"
    )
    with pytest.raises(Fatal, match=r"stores\.warehouse\.access_key"):
        S3WarehouseSink(wrong).open()


def test_what_another_client_did_to_the_warehouse_on_s3_is_found_and_repaired(
    s3_server: S3Server, tmp_path: Path
) -> None:
    bucket = f"bucket-{uuid4().hex}"
    sink = S3WarehouseSink(options_of(s3_server, bucket, str(tmp_path / "index")))
    sink.open()
    client = s3_server.client()

    def hand(change: Callable[[dict[str, Any]], list[dict[str, Any]]], entity: str) -> None:
        """Write the file anew in which a row lies."""
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="warehouse/events/"):
            for found in page["Contents"]:
                table = pq.read_table(BytesIO(client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()))
                rows = [row for one in table.to_pylist() for row in (change(one) if one["entity"] == entity else [one])]
                buffer = BytesIO()
                pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), buffer)
                client.put_object(Bucket=bucket, Key=found["Key"], Body=buffer.getvalue())

    found_and_repaired(
        "warehouse",
        sink,
        [
            *(write_of("warehouse", entity) for entity in (*ENTITIES, "gone")),
            msgspec.structs.replace(write_of("warehouse", "gone"), op="delete", version=6),
        ],
        {
            "e1": ("missing", lambda: hand(lambda _: [], "e1")),
            "e2": ("different", lambda: hand(lambda row: [row | {"user_id": "u2"}], "e2")),
            "e3": ("different", lambda: hand(lambda row: [row | {"body": '{"of": "other"}'}], "e3")),
            "e4": ("different", lambda: hand(lambda row: [row, row], "e4")),
            "gone": ("extra", lambda: hand(lambda row: [row, row | {"entity": "gone"}], "e5")),
        },
    )
    sink.close()
    client.close()
