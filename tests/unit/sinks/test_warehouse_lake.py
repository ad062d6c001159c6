"""The warehouse in an object store: the conformance kit and its log, on a folder that stands for the store.

The folder compares and sets as S3 does (`connectors.storage`); the same on a real S3 is in the integration tests.
"""

import json
import shutil
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.warehouse import lake
from connectors.sinks.warehouse.lake import LakeFiles, LakeSink, Overtaken
from connectors.sinks.warehouse.log import Log
from connectors.storage import FolderStorage, Found
from schemas.writes import WarehouseWrite

SOURCE = "source-one"
DAY = date(2026, 5, 1)


def write(entity: str, version: int = 1, **more: Any) -> WarehouseWrite:
    fields: dict[str, Any] = {"source": SOURCE, "event_id": f"id-{entity}", "dataset": "events", "day": DAY, **more}
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    return WarehouseWrite(entity=entity, version=version, occurred_at=at, **fields)


def opened(place: Path, index: str = "index") -> LakeSink:
    sink = LakeSink(FolderStorage(place / "store"), place / f"{index}.db")
    sink.open()
    return sink


def rows(place: Path) -> list[dict[str, Any]]:
    """Return what any reader of the files sees, who knows nothing of the log."""
    if not list((place / "store").glob("events/day=*/*.parquet")):
        return []
    with duckdb.connect() as connection:
        files = f"read_parquet('{place}/store/events/*/*.parquet', hive_partitioning = true, union_by_name = true)"
        cursor = connection.execute(f"SELECT * FROM {files}")
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def versions(place: Path) -> Counter[str]:
    return Counter(f"{row['entity']}@{row['version']}" for row in rows(place))


class TestLake(SinkConformance[WarehouseWrite]):
    many = 300

    def sink(self, place: str) -> LakeSink:
        return LakeSink(FolderStorage(Path(place) / "store"), Path(place) / "index.db")

    def good(self, entity: str, version: int, source: str, content: int) -> WarehouseWrite:
        common = self.common(entity, version, source)
        return WarehouseWrite(**common, dataset="events", day=DAY, type="test", body={"content": content, "s": "🍕"})

    def bad(self, entity: str, version: int, source: str) -> WarehouseWrite:
        return WarehouseWrite(**self.common(entity, version, source), dataset="events", day=DAY, type="\ud800")

    def content(self, place: str, entity: str) -> int | None:
        found = [row for row in rows(Path(place)) if row["entity"] == entity]
        assert len(found) <= 1
        return json.loads(found[0]["body"])["content"] if found else None


def test_writers_of_several_machines_see_what_the_others_wrote(tmp_path: Path) -> None:
    one, two = opened(tmp_path, "one"), opened(tmp_path, "two")
    assert one.write([write("a"), write("b")]) == [APPLIED] * 2
    assert two.write([write("a"), write("b", 2), write("c")]) == [SUPERSEDED, APPLIED, APPLIED]
    assert one.write([write("b"), write("c", 2, op="delete")]) == [SUPERSEDED, APPLIED]
    assert two.write([write("c"), write("c", 2)]) == [SUPERSEDED] * 2
    assert versions(tmp_path) == {"a@1": 1, "b@2": 1}
    assert two.held([("b", SOURCE), ("c", SOURCE)]) == {
        ("b", SOURCE): Held(version=2),
        ("c", SOURCE): Held(version=2, deleted=True, copies=0),
    }


def test_a_writer_that_was_overtaken_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = opened(tmp_path, "one"), opened(tmp_path, "two")
    original = Log.append
    faster = iter([True])

    def overtaken(log: Log, number: int, entry: Any) -> None:
        if next(faster, False):
            two.write([write("a", 2)])
        original(log, number, entry)

    monkeypatch.setattr(Log, "append", overtaken)
    assert one.write([write("a"), write("b")]) == [SUPERSEDED, APPLIED]
    assert versions(tmp_path) == {"a@2": 1, "b@1": 1}


def test_the_index_can_be_lost_and_a_log_is_summarised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr("connectors.sinks.warehouse.log.CHECKPOINT_EVERY", 10)
    behind = opened(tmp_path, "behind")
    sink = opened(tmp_path)
    for number in range(45):
        sink.write([write(f"e{number}"), write(f"e{number - 1}", 2, op="delete" if number % 2 else "upsert")])
    expected = versions(tmp_path)
    assert len(list((tmp_path / "store" / "_log").glob("*.json"))) < 30
    for writer in (behind, opened(tmp_path, "new")):
        assert writer.write([write(f"e{number}", 2) for number in range(44)]) == [SUPERSEDED] * 44
        assert writer.write([write("e44")]) == [SUPERSEDED]
    assert versions(tmp_path) == expected


def test_many_small_files_of_a_day_become_one(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(3 * lake.MERGED_FROM):
        sink.write([write(f"e{number}")])
        assert len(list((tmp_path / "store").glob("events/*/*.parquet"))) < lake.MERGED_FROM
    assert len(versions(tmp_path)) == sum(versions(tmp_path).values()) == 3 * lake.MERGED_FROM
    again = opened(tmp_path, "again")
    assert again.write([write(f"e{number}") for number in range(90)]) == [SUPERSEDED] * 90


def test_a_replay_changes_no_file(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    batch = [write(f"e{number}", day=date(2026, 5, 1 + number % 3)) for number in range(30)]
    sink.write(batch)
    before = sorted((tmp_path / "store").rglob("*"))
    assert set(sink.write(batch)) == {SUPERSEDED}
    assert sorted((tmp_path / "store").rglob("*")) == before


def test_a_store_that_was_emptied_is_filled_again(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(5):
        sink.write([write(f"e{number}")])
    sink.close()
    shutil.rmtree(tmp_path / "store")
    sink = opened(tmp_path)
    assert sink.write([write("e1")]) == [APPLIED]
    assert versions(tmp_path) == {"e1@1": 1}


class CrashError(BaseException):
    """Stands for the end of the process."""


def test_a_crash_between_any_two_requests_leaves_each_row_once(tmp_path: Path) -> None:
    class Crashing(FolderStorage):
        left = 10**6
        answers = True

        def _count(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise CrashError

        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            if self.answers:
                self._count()
            token = super().put(path, data, content_type, over)
            if not self.answers:
                self._count()
            return token

        def remove(self, paths: Any) -> None:
            self._count()
            super().remove(paths)

    before = Counter({"a@1": 1, "b@1": 1, "c@1": 1})
    batch = [write("a", 2), write("b", 2, op="delete"), write("new"), write("new2", day=date(2026, 5, 3))]
    after = Counter({"a@2": 1, "c@1": 1, "new@1": 1, "new2@1": 1})
    for answers in (True, False):
        for requests in range(20):
            place = tmp_path / f"{answers}{requests}"
            storage = Crashing(place / "store")
            storage.answers = answers
            sink = LakeSink(storage, place / "index.db")
            sink.open()
            sink.write([write("a"), write("b")])
            sink.write([write("c")])
            storage.left = requests
            try:
                sink.write(batch)
                crashed = False
            except CrashError:
                crashed = True
            sink.close()
            heir = opened(place, "heir")  # another machine; the first one's index is lost with it
            assert versions(place) in (before, after)
            heir.write(batch)
            assert versions(place) == after
            if not crashed:
                break
        else:
            pytest.fail("it never came to an end")


def test_an_entry_whose_answer_was_lost_is_not_written_twice(tmp_path: Path) -> None:
    class Deaf(FolderStorage):
        deaf = False

        def put(self, path: str, data: bytes, content_type: str, over: str | None = None) -> str:
            token = super().put(path, data, content_type, over)
            if self.deaf and path.startswith("_log/"):
                raise Unavailable("no answer")
            return token

    storage = Deaf(tmp_path / "store")
    sink = LakeSink(storage, tmp_path / "index.db")
    sink.open()
    storage.deaf = True
    with pytest.raises(Unavailable):
        sink.write([write("a"), write("b", 2, op="delete")])
    storage.deaf = False
    assert sink.write([write("a"), write("b")]) == [SUPERSEDED] * 2
    assert versions(tmp_path) == {"a@1": 1}


def test_files_of_a_release_with_other_columns_are_read_and_merged(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("old", user_id="u1"), write("gone")])
    (file,) = (tmp_path / "store").glob("events/*/*.parquet")
    parquet: Any = pq
    table = parquet.ParquetFile(file).read().drop_columns(["user_id"])
    parquet.write_table(table.append_column("trip_id", [["t1", "t2"]]), file)
    sink.write([write("new", user_id="u2")])
    found = {row["entity"]: row for row in rows(tmp_path)}
    assert [(found[name]["user_id"], found[name]["trip_id"]) for name in ("old", "new")] == [(None, "t1"), ("u2", None)]
    for number in range(lake.MERGED_FROM):
        sink.write([write(f"e{number}")])
    sink.write([write("gone", 2, op="delete")])
    found = {row["entity"]: row for row in rows(tmp_path)}
    assert [(found[name]["user_id"], found[name]["trip_id"]) for name in ("old", "new")] == [(None, "t1"), ("u2", None)]
    assert "gone" not in found


def test_a_deleted_row_leaves_the_store_although_its_file_could_not_be_removed_at_once(tmp_path: Path) -> None:
    class Refusing(FolderStorage):
        refusals = 0

        def remove(self, paths: Any) -> None:
            if paths and self.refusals:
                self.refusals -= 1
                raise Unavailable("no answer")
            super().remove(paths)

    storage = Refusing(tmp_path / "store")
    sink = LakeSink(storage, tmp_path / "index.db")
    sink.open()
    sink.write([write("a"), write("b")])
    storage.refusals = 2
    for _ in range(storage.refusals):
        with pytest.raises(Unavailable):
            sink.write([write("b", 2, op="delete")])
    assert sink.write([write("b", 2, op="delete")]) == [SUPERSEDED]
    assert versions(tmp_path) == {"a@1": 1}


def test_the_files_of_an_attempt_whose_entry_does_not_come_are_removed_when_another_one_has_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = opened(tmp_path)
    sink.write([write("a")])
    original = Log.append

    def unavailable(log: Log, number: int, entry: Any) -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(Log, "append", unavailable)
    with pytest.raises(Unavailable):
        sink.write([write("b")])
    monkeypatch.setattr(Log, "append", original)
    assert sink.write([write("a")]) == [SUPERSEDED]  # no entry: that of the file may still come
    assert len(list((tmp_path / "store").glob("events/*/*.parquet"))) == 2
    sink.write([write("c")])
    assert versions(tmp_path) == {"a@1": 1, "c@1": 1}


def test_a_file_that_somebody_removed_is_named_and_no_other_writer_is_blamed(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("a"), write("b")])
    (file,) = (tmp_path / "store").glob("events/*/*.parquet")
    content = file.read_bytes()
    file.unlink()
    for index in ("index", "new"):
        with pytest.raises(Fatal, match=file.name):
            opened(tmp_path, index).write([write("b", 2, op="delete")])
    file.write_bytes(content)
    assert sink.write([write("b", 2, op="delete")]) == [APPLIED]
    assert versions(tmp_path) == {"a@1": 1}


def test_other_writers_that_are_always_faster_are_told_from_a_file_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = opened(tmp_path, "one"), opened(tmp_path, "two")
    original = Log.append

    def overtaken(log: Log, number: int, entry: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Log, "append", original)
            two.write([write(f"e{number}")])
        original(log, number, entry)

    monkeypatch.setattr(Log, "append", overtaken)
    with pytest.raises(Unavailable, match="faster"):
        one.write([write("a")])


def test_a_file_that_goes_while_it_is_read_counts_as_merged_away_and_one_that_stays_as_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server was seen to answer 500 for a file that another writer had just merged away."""
    storage = FolderStorage(tmp_path)
    storage.open()
    storage.put("there.parquet", b"rows", "")

    def fail(self: FolderStorage, path: str) -> Found | None:
        raise Unavailable("InternalError")

    monkeypatch.setattr(FolderStorage, "get", fail)
    files = LakeFiles(storage)
    with pytest.raises(Overtaken):
        files.source("gone.parquet")
    with pytest.raises(Unavailable):
        files.source("there.parquet")
