"""The loader on a stand-in of BigQuery's API (see `bigquery_stand_in`) and a folder that stands for the store."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.bigquery import BigQueryLoader, Destination
from connectors.bigquery.client import connect
from connectors.bigquery.statements import job_id, view
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.warehouse import lake
from connectors.sinks.warehouse.lake import LakeSink
from connectors.sinks.warehouse.log import Listing, Log
from connectors.storage import FolderStorage
from schemas.writes import WarehouseWrite
from tests.unit.bigquery.bigquery_stand_in import StandIn, standing_in

TO = Destination(project="p", dataset="travel", location="EU")


@pytest.fixture
def bigquery() -> Iterator[StandIn]:
    with standing_in() as state:
        yield state


@pytest.fixture
def sink(tmp_path: Path) -> LakeSink:
    sink = LakeSink(FolderStorage(tmp_path / "store"), tmp_path / "index.db")
    sink.open()
    return sink


@pytest.fixture
def pauses() -> list[float]:
    """Seconds between attempts, which nobody waits for here."""
    return []


@pytest.fixture
def loader(bigquery: StandIn, sink: LakeSink, tmp_path: Path, pauses: list[float]) -> BigQueryLoader:
    storage = FolderStorage(tmp_path / "store")
    return BigQueryLoader(connect("p", None, bigquery.address), TO, storage, pause=pauses.append)


def write(entity: str, version: int = 1, **more: Any) -> WarehouseWrite:
    fields: dict[str, Any] = {"dataset": "events", "day": date(2026, 5, 1), **more}
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    return WarehouseWrite(entity=entity, version=version, source="s", event_id="e", occurred_at=at, **fields)


def shown(bigquery: StandIn, table: str = "events") -> list[tuple[Any, ...]]:
    return bigquery.rows(f'SELECT entity, version FROM "{table}" ORDER BY entity, version')


def test_each_row_is_shown_once_in_its_newest_version_and_deleted_ones_are_gone(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader
) -> None:
    sink.write([write("a"), write("b"), write("c"), write("x", dataset="activities")])
    assert loader.run().rows == 4
    sink.write([write("a", 2), write("b", 2, op="delete"), write("d")])
    loader.run()
    assert shown(bigquery) == [("a", 2), ("c", 1), ("d", 1)]
    assert shown(bigquery, "activities") == [("x", 1)]
    assert ("b", 1) not in shown(bigquery, "events_rows")  # not only hidden
    partitioning = bigquery.tables["events_rows"]["timePartitioning"]
    assert partitioning == {"type": "DAY", "field": "occurred_at"}


def test_a_second_run_loads_nothing(bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader) -> None:
    sink.write([write("a"), write("b", 1, op="delete")])
    first = loader.run()
    jobs = len(bigquery.jobs)
    again = loader.run()
    assert (first.files, again.files, again.entry) == (1, 0, first.entry)
    assert len(bigquery.jobs) == jobs


def test_a_run_that_lost_its_place_loads_nothing_twice(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader, tmp_path: Path
) -> None:
    sink.write([write("a"), write("b")])
    sink.write([write("c")])
    loader.run()
    (mark,) = (tmp_path / "store" / "_loads").iterdir()
    mark.unlink()
    loader.run()
    assert shown(bigquery, "events_rows") == [("a", 1), ("b", 1), ("c", 1)]


def test_a_job_whose_answer_was_lost_is_not_run_again(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader
) -> None:
    sink.write([write("a")])
    loader.run()
    sink.write([write("b")])
    bigquery.lost_answers = 1
    with pytest.raises(Fatal, match="the answer was lost"):
        loader.run()
    loader.run()
    assert shown(bigquery, "events_rows") == [("a", 1), ("b", 1)]


def test_a_job_that_failed_is_run_again_under_another_id(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader, pauses: list[float]
) -> None:
    sink.write([write("a")])
    bigquery.failures = ["try again", "try again"]
    loader.run()
    assert shown(bigquery) == [("a", 1)]
    assert sorted(name[-1] for name in bigquery.jobs) == ["0", "1", "2"]
    assert pauses == [1.0, 2.0]


def test_jobs_that_failed_in_an_earlier_run_are_not_counted_in_a_later_one(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader, pauses: list[float]
) -> None:
    sink.write([write("a")])
    bigquery.failures = ["a quota"] * 12
    for failed in (5, 10):
        with pytest.raises(Fatal, match="a quota"):
            loader.run()
        assert len(bigquery.jobs) == failed
        assert pauses == [1.0, 2.0, 4.0, 8.0]
        pauses.clear()
    loader.run()
    assert shown(bigquery) == [("a", 1)]
    assert pauses == [1.0, 2.0]


def test_a_dataset_that_was_dropped_is_filled_again(bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader) -> None:
    sink.write([write("a"), write("b")])
    sink.write([write("b", 2, op="delete")])
    loader.run()
    bigquery.drop("travel")
    sink.write([write("c")])
    loader.run()
    assert shown(bigquery) == [("a", 1), ("c", 1)]
    assert bigquery.rows("SELECT entity, version FROM deleted") == [("b", 2)]


def test_deletes_of_a_warehouse_that_was_filled_anew_are_loaded_although_its_log_is_as_long(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader, tmp_path: Path
) -> None:
    sink.write([write("a"), write("b")])
    sink.write([write("b", 2, op="delete")])
    loader.run()
    sink.close()
    shutil.rmtree(tmp_path / "store")
    sink.open()
    sink.write([write("a"), write("b")])
    sink.write([write("a", 2, op="delete")])
    loader.run()
    assert shown(bigquery) == []
    assert shown(bigquery, "events_rows") == []


def test_what_is_written_while_a_run_lists_the_log_is_loaded_once(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Log.listing

    def overtaken(log: Log) -> Listing:
        found = original(log)
        with monkeypatch.context() as patch:
            patch.setattr(Log, "listing", original)
            sink.write([write(f"e{found.last}", op="delete")])
        return found

    sink.write([write("a")])
    monkeypatch.setattr(Log, "listing", overtaken)
    loader.run()
    monkeypatch.setattr(Log, "listing", original)
    loader.run()
    deleted = bigquery.rows("SELECT entity, count(*) FROM deleted GROUP BY 1")
    assert deleted
    assert {count for _, count in deleted} == {1}


def test_files_that_were_merged_and_a_log_that_was_summarised_are_shown_once(
    bigquery: StandIn, sink: LakeSink, loader: BigQueryLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr("connectors.sinks.warehouse.log.CHECKPOINT_EVERY", 10)
    for number in range(5):
        sink.write([write(f"e{number}")])
    loader.run()
    for number in range(5, 60):
        sink.write([write(f"e{number}"), write(f"e{number - 5}", 2, op="delete" if number % 2 else "upsert")])
    loader.run()
    expected = sorted((f"e{number}", 1 if number >= 55 else 2) for number in range(60) if number >= 55 or number % 2)
    assert shown(bigquery) == expected


def test_a_server_that_is_away_is_no_fault_of_the_options(sink: LakeSink, tmp_path: Path) -> None:
    with standing_in() as state:
        address = state.address
    client = connect("p", None, address)
    client.create_dataset = _away  # its own retries would take minutes
    with pytest.raises(Unavailable, match="does not answer"):
        BigQueryLoader(client, TO, FolderStorage(tmp_path / "store")).run()


def _away(*_: object, **__: object) -> Any:
    raise ConnectionError("refused")


def test_the_id_of_a_job_follows_from_what_it_does() -> None:
    assert job_id(TO, "1", "path", 0) == job_id(TO, "1", "path", 0)
    ids = [job_id(TO, *rest) for rest in (("1", "path", 0), ("1", "path", 1), ("1", "other", 0), ("2", "path", 0))]
    assert len(set(ids)) == len(ids)
    assert "`p.travel.events_rows`" in view(TO, "events")
