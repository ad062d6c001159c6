import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.reader import QueryRefused
from connectors.sinks.warehouse import WarehouseReader, WarehouseSink
from connectors.sinks.warehouse.files import FolderFiles
from schemas.writes import WarehouseWrite

SOURCE = "user-events"
DAY = date(2026, 5, 1)
AT = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def write(entity: str, version: int = 1, day: date = DAY, **fields: Any) -> WarehouseWrite:
    named: dict[str, Any] = {"dataset": "events", "type": "test", "body": {"version": version}, **fields}
    common: dict[str, Any] = {"entity": entity, "version": version, "source": SOURCE, "event_id": f"id-{entity}"}
    return WarehouseWrite(**common, occurred_at=AT, day=day, **named)


def opened(folder: Path) -> WarehouseSink:
    sink = WarehouseSink(folder)
    sink.open()
    return sink


def on_disk(folder: Path) -> Counter[str]:
    """What any reader of the files sees, who knows nothing of the manifest."""
    if not list(folder.glob("*/day=*/*.parquet")):
        return Counter()
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT entity, version FROM read_parquet('{folder}/*/*/*.parquet')").fetchall()
    return Counter(f"{entity}@{version}" for entity, version in rows)


def test_files_are_partitioned_by_day_and_readable_in_place(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("a", user_id="u1", body={"text": "서울 🗽", "n": [1, None]}), write("b", day=date(2026, 5, 2))])
    sink.close()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        cursor = connection.execute(
            f"SELECT * FROM read_parquet('{tmp_path}/events/*/*.parquet', hive_partitioning = true) ORDER BY entity"
        )
        names = [column[0] for column in cursor.description or ()]
        one, two = (dict(zip(names, row, strict=True)) for row in cursor.fetchall())
    assert json.loads(one.pop("body")) == {"text": "서울 🗽", "n": [1, None]}
    assert one.pop("occurred_at").timestamp() == AT.timestamp()
    assert one == {
        "event_id": "id-a",
        "entity": "a",
        "type": "test",
        "user_id": "u1",
        "version": 1,
        "source": SOURCE,
        "day": DAY,
    }
    assert (two["user_id"], two["day"]) == (None, date(2026, 5, 2))


def test_there_is_a_view_for_each_dataset_also_for_an_empty_one(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    with WarehouseReader(tmp_path) as reader:
        assert reader.query("SELECT * FROM events") == []
        sink.write([write("a"), write("b", dataset="activities", user_id="u'1")])
        assert reader.query("SELECT entity, day FROM events") == [{"entity": "a", "day": DAY}]
        assert reader.query("SELECT count(*) AS n FROM activities WHERE user_id = ?", ["u'1"]) == [{"n": 1}]
        assert reader.query("SELECT count(*) AS n FROM changes WHERE body ->> '$.x' = 'y'") == [{"n": 0}]
        assert reader.counts() == {"events": 1, "activities": 1, "changes": 0}
        for statement in ("SELECT nonsense FROM events", "SELEC", "SELECT 'x'::int"):
            with pytest.raises(QueryRefused):
                reader.query(statement)
    sink.close()


def test_a_batch_makes_one_file_for_each_dataset_and_day(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write(f"e{n}", day=date(2026, 5, 1 + n % 2)) for n in range(100)] + [write("x", dataset="changes")])
    assert len(list(tmp_path.glob("*/day=*/*.parquet"))) == 3
    sink.write([write(f"e{n}") for n in range(100)])
    assert len(list(tmp_path.glob("*/day=*/*.parquet"))) == 3
    sink.close()


def test_a_correction_replaces_the_row_and_an_erasure_removes_it_from_the_files(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("a"), write("b"), write("c")])
    assert sink.write([write("a", 2, day=date(2026, 5, 2)), write("b", 2, op="delete")]) == [APPLIED] * 2
    assert on_disk(tmp_path) == {"a@2": 1, "c@1": 1}
    assert sink.held([("a", SOURCE), ("b", SOURCE)]) == {
        ("a", SOURCE): Held(version=2),
        ("b", SOURCE): Held(version=2, deleted=True, copies=0),
    }
    assert (
        sink.write([write("b", 3), write("c", 2, op="delete"), write("d"), write("d", 2, op="delete")]) == [APPLIED] * 4
    )
    assert sink.write([write("e")]) == [APPLIED]
    assert on_disk(tmp_path) == {"a@2": 1, "b@3": 1, "e@1": 1}
    sink.close()


def test_small_files_are_merged_in_bounded_steps_without_a_row_lost_or_doubled(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    for number in range(10):
        sink.write([write(f"e{number}"), write(f"f{number}", day=date(2026, 5, 2))])
    with WarehouseReader(tmp_path) as reader:
        assert sink.compact(max_files=4) == 3
        assert len(list(tmp_path.glob("*/day=*/*.parquet"))) == 17
        while sink.compact():
            pass
        assert len(list(tmp_path.glob("*/day=*/*.parquet"))) == 2
        assert reader.query("SELECT count(*) AS n, count(DISTINCT entity) AS d FROM events") == [{"n": 20, "d": 20}]
    assert sum(on_disk(tmp_path).values()) == 20
    assert sink.write([write("e3"), write("e4", 2), write("e5", 2, op="delete")]) == [SUPERSEDED, APPLIED, APPLIED]
    assert sink.held([("e4", SOURCE)]) == {("e4", SOURCE): Held(version=2)}
    assert sum(on_disk(tmp_path).values()) == 19
    sink.close()


def test_a_dataset_that_is_none_of_ours_is_no_folder(tmp_path: Path) -> None:
    sink = opened(tmp_path / "w")
    [outcome] = sink.write([write("a", dataset="../elsewhere")])
    assert isinstance(outcome, Rejected)
    assert "`dataset`" in outcome.reason
    assert {path.name for path in tmp_path.iterdir()} == {"w"}
    sink.close()


def test_half_a_surrogate_pair_spoils_no_file(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    outcomes = sink.write([write("a"), write("b", type="\ud83d"), write("c", user_id="\ud83d"), write("d")])
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, True, False]
    assert on_disk(tmp_path) == {"a@1": 1, "d@1": 1}
    sink.close()


def test_files_without_their_manifest_are_not_removed(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("a")])
    sink.close()
    shutil.move(tmp_path / "_manifest.db", tmp_path / "elsewhere")
    with pytest.raises(Fatal, match=r"holds Parquet files, but _manifest\.db is gone"):
        sink.open()
    shutil.move(tmp_path / "elsewhere", tmp_path / "_manifest.db")
    sink.open()
    assert on_disk(tmp_path) == {"a@1": 1}
    sink.close()


def test_a_folder_that_was_never_written_is_unavailable_to_a_reader(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        WarehouseReader(tmp_path / "nowhere").open()


class Crash(BaseException):
    """Stands for the end of the process: nothing catches it, and nothing after it is done."""


def test_a_crash_between_any_two_steps_leaves_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Additions, a correction, an erasure and a merge; the steps are what changes the file system."""
    steps_left = 0

    def crashing(original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps_left
            if steps_left == 0:
                raise Crash
            steps_left -= 1
            return original(*args, **kwargs)

        return step

    before = Counter({"a@1": 1, "b@1": 1, "c@1": 1, "d@1": 1})
    second = [write("a", 2), write("b", 2, op="delete"), write("new"), write("new2", day=date(2026, 5, 3))]
    after = Counter({"a@2": 1, "c@1": 1, "d@1": 1, "new@1": 1, "new2@1": 1})
    for merge in (False, True):
        crashes = 0
        while True:
            folder = tmp_path / f"crash-{merge}-{crashes}"
            sink = opened(folder)
            sink.write([write("a"), write("b")])
            sink.write([write("c")])
            sink.write([write("d")])
            with monkeypatch.context() as patched:
                for name in ("replace", "unlink", "open", "mkdir"):
                    patched.setattr(Path, name, crashing(getattr(Path, name)))
                steps_left = crashes
                try:
                    if merge:
                        assert sink.compact() == 2
                    else:
                        sink.write(second)
                    crashed = False
                except Crash:
                    crashed = True
            sink.close()
            sink = opened(folder)
            assert on_disk(folder) in ([before] if merge else [before, after])
            sink.write(second)
            assert on_disk(folder) == after
            assert sink.held([("a", SOURCE)]) == {("a", SOURCE): Held(version=2)}
            assert list((folder / "_tmp").iterdir()) == []
            sink.close()
            shutil.rmtree(folder)
            if not crashed:
                break
            crashes += 1
        assert crashes >= 4


def test_a_failed_commit_leaves_no_file_for_the_next_batch_to_repeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = opened(tmp_path)
    with monkeypatch.context() as patched:

        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr("connectors.sinks.warehouse.files._flush", fail)
        with pytest.raises(Unavailable, match="No space left"):
            sink.write([write("a")])
    assert sink.write([write("a")]) == [APPLIED]
    assert on_disk(tmp_path) == {"a@1": 1}
    sink.close()


def test_a_deleted_row_leaves_the_folder_although_its_file_could_not_be_removed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = opened(tmp_path)
    sink.write([write("a"), write("b")])

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "for now")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        with pytest.raises(Fatal, match="for now"):
            sink.write([write("b", 2, op="delete")])
    assert sink.write([write("b", 2, op="delete")]) == [SUPERSEDED]
    assert on_disk(tmp_path) == {"a@1": 1}


def read_by(sink: WarehouseSink) -> list[object]:
    """Return what every question about what is there answers, of `a` and of `b`."""
    held = sink.held([("a", SOURCE), ("b", SOURCE)])
    stored = [None if one is None or one.op == "delete" else one.body for one in sink.stored([write("a"), write("b")])]
    before = sink.before([write("a", 2), write("b", 2)])
    undos = [None if one is None or one.op == "delete" else one.body for one in before]
    return [[one.copies for one in held.values()], stored, undos, sorted(one.entity for one in sink.of_user("ann"))]


@pytest.mark.parametrize("question", ["held", "stored", "before", "of_user"])
def test_a_file_that_is_merged_away_while_it_is_asked_for_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    sink, other = opened(tmp_path), opened(tmp_path)
    for entity in ("a", "b"):
        sink.write([write(entity, user_id="ann")])
    before = read_by(sink)
    source, ask, merged = FolderFiles.source, getattr(WarehouseSink, question), 0

    def late(files: FolderFiles, path: str) -> Any:
        nonlocal merged
        if files is sink.files and not merged:
            merged = other.compact()
        return source(files, path)

    def asked(asked: WarehouseSink, about: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(FolderFiles, "source", late)
            return ask(asked, about)

    monkeypatch.setattr(WarehouseSink, question, asked)
    assert read_by(sink) == before == [[1, 1], [{"version": 1}] * 2, [{"version": 1}] * 2, ["a", "b"]]
    assert merged == 1


def test_a_file_that_somebody_removed_holds_nothing(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write([write("a", user_id="ann"), write("b", day=date(2026, 5, 2), user_id="ann")])
    (file,) = tmp_path.glob("events/day=2026-05-01/*.parquet")
    file.unlink()
    assert read_by(sink) == [[0, 1], [None, {"version": 1}], [None, {"version": 1}], ["b"]]
