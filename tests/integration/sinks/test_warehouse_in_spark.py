# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What Spark reads of the warehouse where it lies. Not in every run: Spark is half a gigabyte (`make spark`)."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sinks.warehouse import WarehouseSink
from deploy.local import spark
from schemas.writes import WarehouseWrite

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(900)]

DAY = date(2026, 5, 1)
AT = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
STATEMENTS = (
    "SELECT day, count(*), count(DISTINCT entity), min(version), max(version) FROM events GROUP BY day ORDER BY day",
    "SELECT entity, user_id, type, source, event_id, version FROM events ORDER BY entity, version",
)


def write(number: int, version: int) -> WarehouseWrite:
    return WarehouseWrite(
        entity=f"e{number}",
        version=version,
        source="user-events",
        event_id=f"id-{number}-{version}",
        occurred_at=AT,
        dataset="events",
        day=DAY + timedelta(days=number % 3),
        type="test",
        user_id=None if number % 2 else f"u{number}",
        op="delete" if version == 2 and number >= 60 else "upsert",
        body={"content": number, "text": "서울 🗽"},
    )


def test_spark_reads_in_place_what_duckdb_reads_and_each_row_once(tmp_path: Path) -> None:
    sink = WarehouseSink(tmp_path)
    sink.open()
    for version in (1, 2):
        sink.write([write(number, version) for number in range(90)])
    sink.close()
    content = (
        "SELECT sum(CAST(get_json_object(body, '$.content') AS INT)), min(get_json_object(body, '$.text')) FROM events"
    )
    of_a_day = f"SELECT count(*) FROM events WHERE day = DATE '{DAY}'"
    when = "SELECT DISTINCT date_format(occurred_at, 'yyyy-MM-dd HH:mm:ss.SSSSSS') FROM events"
    days, rows, contents, first_day, times = spark.query(
        {"events": tmp_path / "events"}, [*STATEMENTS, content, of_a_day, when]
    )
    with duckdb.connect() as connection:
        pattern = f"{tmp_path}/events/*/*.parquet"
        connection.execute(f"CREATE VIEW events AS FROM read_parquet('{pattern}', hive_partitioning = true)")
        of_days, of_rows = (connection.execute(statement).fetchall() for statement in STATEMENTS)
    assert (
        days
        == [[f"{day}", *counts] for day, *counts in of_days]
        == [[f"{DAY + timedelta(days=number)}", 20, 20, 2, 2] for number in range(3)]
    )
    assert rows == [[*row] for row in of_rows]
    assert contents == [[sum(range(60)), "서울 🗽"]]
    assert first_day == [[20]]
    assert times == [["2026-05-01 12:00:00.123456"]]


def test_spark_reads_files_of_a_release_with_other_columns_beside_ours(tmp_path: Path) -> None:
    sink = WarehouseSink(tmp_path)
    sink.open()
    sink.write([write(0, 1)])
    sink.close()
    older = pa.table({"event_id": ["id-old"], "entity": ["old"], "version": pa.array([1], pa.int64())})
    pq.write_table(older, tmp_path / "events" / f"day={DAY}" / "part-00000000-older.parquet")
    statement = "SELECT entity, day, source FROM events ORDER BY entity"
    assert spark.query({"events": tmp_path / "events"}, [statement]) == [
        [["e0", f"{DAY}", "user-events"], ["old", f"{DAY}", None]]
    ]
