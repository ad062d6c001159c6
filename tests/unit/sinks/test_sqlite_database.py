# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from connectors.sinks.contract import APPLIED, Held, Rejected
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.reader import QueryRefused
from connectors.sinks.sqlite import database
from connectors.sinks.sqlite.cache import CacheReader, CacheSink
from connectors.sinks.sqlite.graph import GraphReader, GraphSink
from connectors.sinks.sqlite.search import SearchSink
from schemas.writes import CacheWrite


def write(key: str, version: int = 1, value: Any = 1) -> CacheWrite:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return CacheWrite(entity=key, version=version, source="s", event_id="e", occurred_at=at, key=key, value=value)


def test_a_new_store_carries_its_kind_and_its_schema_version(tmp_path: Path) -> None:
    sink = CacheSink(tmp_path / "deep" / "er" / "cache.db")
    sink.open()
    sink.close()
    with closing(sqlite3.connect(sink.path)) as ordinary:
        assert ordinary.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"TOca"
        assert ordinary.execute("PRAGMA user_version").fetchone() == (1,)
        assert ordinary.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_ordinary_sqlite_reads_a_store_that_is_being_written(tmp_path: Path) -> None:
    sink = CacheSink(tmp_path / "cache.db")
    sink.open()
    sink.write([write("k", value={"a": 1}), msgspec.structs.replace(write("l", value={"a": 2}), ttl_seconds=60)])
    with closing(sqlite3.connect(sink.path)) as ordinary:
        assert ordinary.execute("SELECT key, value ->> '$.a' FROM live").fetchall() == [("k", 1), ("l", 2)]
    sink.close()


def test_a_file_of_something_else_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(Fatal, match="is no TOca store"):
        CacheSink(path).open()
    assert path.read_bytes() == before


def test_another_kind_of_store_is_refused(tmp_path: Path) -> None:
    sink = GraphSink(tmp_path / "graph.db")
    sink.open()
    sink.close()
    with pytest.raises(Fatal, match="is no TOca store"):
        CacheSink(sink.path).open()
    with pytest.raises(Fatal, match="is no TOca store"):
        CacheReader(sink.path).open()


def test_a_store_of_a_newer_release_is_refused_with_a_way_out(tmp_path: Path) -> None:
    sink = CacheSink(tmp_path / "cache.db")
    sink.open()
    sink.connection.pragma("user_version", 99)
    sink.close()
    with pytest.raises(Fatal, match=r"newer release.*upgrade"):
        sink.open()


def test_migrations_that_were_not_applied_yet_are_applied_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    first = database.Schema(tag="TOxx", migrations=("CREATE TABLE one (x)",))
    second = database.Schema(
        tag="TOxx", migrations=(*first.migrations, "CREATE TABLE two (x); INSERT INTO two VALUES (1)")
    )
    for schema in (first, second, second):
        database.connect_writer(path, schema).close()
    connection = database.connect_reader(path, second)
    assert connection.execute("SELECT count(*) FROM two").get == 1
    connection.close()


def test_what_is_no_database_is_fatal_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(Fatal, match="move it away and replay"):
        CacheSink(path).open()


def test_a_store_that_was_never_written_is_unavailable_to_a_reader(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nothing has been written"):
        GraphReader(tmp_path / "graph.db").open()


def test_a_store_that_its_writer_has_just_begun_is_unavailable_to_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.touch()
    with pytest.raises(Unavailable, match="holds nothing yet"):
        CacheReader(path).open()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    sink = CacheSink(tmp_path / "cache.db")
    sink.open()
    with CacheReader(sink.path) as reader, pytest.raises(QueryRefused, match="readonly"):
        reader.query("DELETE FROM entries")
    sink.close()


def test_a_store_locked_by_another_process_is_unavailable_and_then_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MILLISECONDS", 1)
    sink = CacheSink(tmp_path / "cache.db")
    sink.open()
    other = apsw.Connection(str(sink.path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked by another process"):
        sink.write([write("k")])
    other.execute("ROLLBACK")
    assert sink.write([write("k")]) == [APPLIED]
    other.close()
    sink.close()


def test_a_full_disk_is_unavailable_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    sink = CacheSink(tmp_path / "cache.db")
    sink.open()
    sink.write([write("kept")])
    pages = sink.connection.pragma("page_count")
    sink.connection.pragma("max_page_count", pages + 2)
    with pytest.raises(Unavailable, match="no room left"):
        sink.write([write(f"k{number}", value="x" * 2_000) for number in range(100)])
    assert set(sink.held([("kept", "s"), ("k0", "s")])) == {("kept", "s")}
    sink.connection.pragma("max_page_count", 1_000_000)
    assert sink.write([write("k0")]) == [APPLIED]
    sink.close()


def test_a_folder_that_cannot_be_made_is_fatal_and_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Fatal, match="data_dir"):
        CacheSink(tmp_path / "file" / "cache.db").open()


def test_a_closed_sink_refuses_to_write(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        CacheSink(tmp_path / "cache.db").write([write("k")])


def test_half_a_surrogate_pair_is_rejected_and_not_an_error(tmp_path: Path) -> None:
    sink = CacheSink(tmp_path / "cache.db")
    sink.open()
    outcomes = sink.write([write("good"), write("bad \ud83d"), write("value", value="\ud83d"), write("last")])
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [False, True, True, False]
    assert sink.held([("good", "s"), ("last", "s")]) == {("good", "s"): Held(version=1), ("last", "s"): Held(version=1)}
    sink.close()


def test_a_copy_of_the_files_of_a_running_store_opens(tmp_path: Path) -> None:
    """As a killed machine would leave them: the WAL is not folded in."""
    sink = SearchSink(tmp_path / "search.db")
    sink.open()
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-copy")
    copied = SearchSink(tmp_path.parent / f"{tmp_path.name}-copy" / "search.db")
    copied.open()
    copied.close()
    shutil.rmtree(copied.path.parent)
    sink.close()
