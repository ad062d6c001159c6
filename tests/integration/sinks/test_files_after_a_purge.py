# pyright: reportUnknownMemberType=false
"""What the files of servers still say of what was deleted, byte by byte, before a purge and after it.

Neo4j and Elasticsearch are looked at where a whole pipeline writes to them.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from connectors.sinks.contract import APPLIED
from connectors.sinks.errors import Fatal
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.persons import Purge
from connectors.sinks.redis import RedisOptions, RedisSink
from connectors.sinks.s3 import S3Options, S3Sink
from connectors.sinks.s3.old_versions import NOT_ALLOWED
from deploy.local.influxdb import InfluxServer
from deploy.local.redis import RedisServer
from deploy.local.s3 import S3Server
from schemas.writes import CacheWrite, ObjectWrite, TimeSeriesWrite
from tests.integration.raw_search import where

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TIME = 1_777_000_000_123_456_789
PATIENCE = 60.0


@pytest.fixture
def word() -> str:
    """A text that is in no other test's data, as long as people's messages are."""
    return f"meet me at the pier at midnight, {uuid4().hex}, and bring the letter that I sent you"


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.1)  # between two looks at the files


def common(version: int, op: str = "upsert") -> dict[str, Any]:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return {"version": version, "op": op, "source": "events", "event_id": "e", "occurred_at": at}


def value(version: int, text: str | None) -> CacheWrite:
    given = common(version, "delete" if text is None else "upsert")
    return CacheWrite(entity="trip:ann", key="trip:ann", value=None if text is None else {"title": text}, **given)


def test_redis_writes_its_append_only_file_and_its_snapshot_anew(redis_server: RedisServer, word: str) -> None:
    sink, data = RedisSink(RedisOptions(url=redis_server.url, prefix=f"{uuid4().hex}:")), redis_server.folder / "data"
    sink.open()
    assert sink.write([value(1, word)]) == [APPLIED]
    wait_until(lambda: bool(where([data], [word])))
    with redis.Redis.from_url(redis_server.url) as client:
        client.save()
    assert {Path(path).suffix for path in where([data], [word])} == {".aof", ".rdb"}  # the snapshot is compressed
    assert sink.write([value(2, None)]) == [APPLIED]
    assert where([data], [word])
    assert sink.purge() == Purge(forced="BGREWRITEAOF, BGSAVE")
    assert where([data], [word]) == {}
    sink.close()


def test_a_redis_that_does_not_let_us_rewrite_keeps_what_it_has_and_the_purge_says_so(
    redis_server: RedisServer, word: str
) -> None:
    name, password = f"user-{uuid4().hex}", uuid4().hex
    with redis.Redis.from_url(redis_server.url) as client:
        rights = ["~*", "&*", "+@all", "-bgrewriteaof", "-bgsave", "-config"]
        client.execute_command("ACL", "SETUSER", name, "on", f">{password}", *rights)
    address = f"redis://127.0.0.1:{redis_server.port}/0"
    sink = RedisSink(RedisOptions(url=address, username=name, password=password, prefix=f"{uuid4().hex}:"))
    sink.open()
    sink.write([value(1, word), value(2, None)])
    said = sink.purge()
    assert said.forced == ""
    assert "BGREWRITEAOF" in said.keeps
    assert "CONFIG is not allowed" in said.keeps
    assert password not in said.keeps
    sink.close()


@pytest.fixture
def hasty_influx(start_server: Callable[[Any], Any], tmp_path: Path) -> Iterator[InfluxServer]:
    """One that empties its log and compacts its files soon after the last write, and not only hours later."""
    server = InfluxServer(tmp_path / "influxdb")
    cold = ("storage-cache-snapshot-write-cold-duration", "storage-compact-full-write-cold-duration")
    server.arguments = tuple(f"--{name}=1s" for name in cold)
    start_server(server)
    yield server
    server.delete()


def points(server: InfluxServer) -> InfluxSink:
    given: dict[str, Any] = {"url": server.address, "token": server.token, "organisation": server.organisation}
    sink = InfluxSink(InfluxOptions(**given, bucket=f"bucket-{uuid4().hex}"))
    sink.open()
    return sink


def point(version: int, text: str | None, number: int = 0) -> TimeSeriesWrite:
    given = common(version, "delete" if text is None else "upsert")
    fields: dict[str, Any] = {} if text is None else {"note": text}
    tags = {"user_id": "ann"}
    return TimeSeriesWrite(
        entity=f"note:{number}", measurement="notes", tags=tags, time_ns=TIME + number, fields=fields, **given
    )


def test_influxdb_keeps_deleted_points_in_its_log_and_the_purge_says_until_when(
    influx_server: InfluxServer, word: str
) -> None:
    sink = points(influx_server)
    assert sink.write([point(1, word)]) == [APPLIED]
    assert sink.write([point(2, None)]) == [APPLIED]
    said = sink.purge()
    assert said.forced == ""
    assert "storage-cache-snapshot-write-cold-duration" in said.keeps
    assert {Path(path).suffix for path in where([influx_server.folder], [word])} == {".wal"}
    sink.close()


def test_influxdb_has_nothing_left_of_deleted_points_once_it_has_compacted_its_files(
    hasty_influx: InfluxServer, word: str
) -> None:
    sink = points(hasty_influx)
    assert sink.write([point(1, word), point(1, "another", 1)]) == [APPLIED, APPLIED]
    engine = hasty_influx.folder / "engine"
    wait_until(lambda: {Path(path).suffix for path in where([engine], [word])} == {".tsm"})
    assert sink.write([point(2, None)]) == [APPLIED]
    wait_until(lambda: where([engine], [word]) == {})
    assert where([engine], ["another"])
    sink.close()


def photo(version: int, text: str | None, key: str = "photos/ann/1") -> ObjectWrite:
    given = common(version, "delete" if text is None else "upsert")
    data = None if text is None else text.encode()
    return ObjectWrite(entity=f"photo:{key}", key=key, content_type="text/plain", data=data, **given)


@pytest.fixture(params=[False, True], ids=["plain", "versioned"])
def bucket(request: pytest.FixtureRequest, s3_server: S3Server) -> S3Options:
    name = f"bucket-{uuid4().hex}"
    if request.param:
        client = s3_server.client()
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        client.close()
    login: dict[str, Any] = {"access_key": s3_server.access_key, "secret_key": s3_server.secret_key}
    return S3Options(endpoint=s3_server.address, path_style=True, bucket=name, **login)


def test_s3_has_nothing_left_of_deleted_objects_also_in_a_bucket_with_versioning(
    bucket: S3Options, s3_server: S3Server, word: str, request: pytest.FixtureRequest
) -> None:
    versioned = "versioned" in request.node.name
    sink, other = S3Sink(bucket), f"{word}, too"
    sink.open()
    living = [photo(1, f"old {other}", "photos/bert/1"), photo(2, f"new {other}", "photos/bert/1")]
    assert sink.write([photo(1, word), photo(2, f"again {word}"), *living]) == [APPLIED] * 4
    assert sink.write([photo(3, None)]) == [APPLIED]
    assert bool(_of_ann(s3_server, word)) == versioned
    said = sink.purge()
    assert said == Purge(forced="older versions of deleted objects removed" if versioned else "")
    assert _of_ann(s3_server, word) == []
    assert bool(where([s3_server.folder], [f"old {other}"])) == versioned  # of what is not deleted all versions stay
    assert where([s3_server.folder], [f"new {other}"])
    assert sink.held([("photo:photos/ann/1", "events")])["photo:photos/ann/1", "events"].deleted
    sink.close()


def test_a_bucket_whose_versions_we_may_not_remove_keeps_them_and_the_purge_says_so(
    bucket: S3Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = S3Sink(bucket)
    sink.open()

    def refuse(*_: object) -> bool:
        raise Fatal("S3: AccessDenied")

    monkeypatch.setattr("connectors.sinks.s3.client.Bucket.versioned", refuse)
    assert sink.purge() == Purge(keeps=NOT_ALLOWED)
    sink.close()


def _of_ann(server: S3Server, word: str) -> list[str]:
    """Return the files with the word that are not the other person's, whose texts have it as well."""
    return [path for path in where([server.folder], [word]) if b", too" not in Path(path).read_bytes()]
