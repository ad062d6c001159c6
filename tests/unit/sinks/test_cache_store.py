from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.sqlite import cache
from connectors.sinks.sqlite.cache import CacheReader, CacheSink
from schemas.writes import CacheWrite

NOW = 1_777_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def write(key: str, value: Any = 1, version: int = 1, ttl: int | None = None, **fields: Any) -> CacheWrite:
    return CacheWrite(
        entity=f"state:{key}",
        version=version,
        source="user-events",
        event_id="e",
        occurred_at=datetime(2026, 5, 1, tzinfo=UTC),
        key=key,
        value=value,
        ttl_seconds=ttl,
        **fields,
    )


def opened(folder: Path) -> tuple[CacheSink, CacheReader, Clock]:
    clock = Clock()
    sink, reader = CacheSink(folder / "cache.db", clock), CacheReader(folder / "cache.db", clock)
    sink.open()
    reader.open()
    return sink, reader, clock


def test_a_value_is_read_by_another_connection_until_it_expires(tmp_path: Path) -> None:
    sink, reader, clock = opened(tmp_path)
    sink.write([write("trip", {"id": "t1", "stops": ["a", None]}, ttl=60), write("forever", None)])
    entry = reader.get("trip")
    assert entry is not None
    assert (entry.value, entry.version, entry.expires_at) == ({"id": "t1", "stops": ["a", None]}, 1, NOW + 60)
    clock.now += 60
    assert reader.get("trip") is None
    forever = reader.get("forever")
    assert forever is not None
    assert forever.value is None
    assert reader.get("nothing") is None
    sink.close()
    reader.close()


def test_what_has_expired_is_removed_in_bounded_steps_and_its_version_stays(tmp_path: Path) -> None:
    sink, reader, clock = opened(tmp_path)
    many = cache.SWEPT_AT_ONCE + 5
    for start in range(0, many, 500):
        sink.write([write(f"k{n}", version=7, ttl=10) for n in range(start, min(many, start + 500))])
    clock.now += 11
    sink.write([])
    assert reader.query("SELECT count(*) AS n FROM entries") == [{"n": 5}]
    sink.write([])
    assert reader.query("SELECT count(*) AS n FROM entries") == [{"n": 0}]
    key = ("state:k3", "user-events")
    assert sink.held([key]) == {key: Held(version=7, deleted=True, copies=0)}
    assert sink.write([write("k3", version=6, ttl=10), write("k3", version=7, ttl=10)]) == [SUPERSEDED] * 2
    assert sink.write([write("k3", version=8, ttl=10)]) == [APPLIED]
    sink.close()
    reader.close()


def test_a_newer_write_renews_the_time_to_live_or_ends_it(tmp_path: Path) -> None:
    sink, reader, clock = opened(tmp_path)
    sink.write([write("a", ttl=10), write("b", ttl=10)])
    clock.now += 9
    sink.write([write("a", version=2, ttl=10), write("b", version=2)])
    clock.now += 9
    assert [entry.key for entry in reader.starting_with("")] == ["a", "b"]
    sink.close()
    reader.close()


def test_keys_are_found_by_their_beginning(tmp_path: Path) -> None:
    sink, reader, _ = opened(tmp_path)
    sink.write([write(key) for key in ("trip:1", "trip:2", "trip", "trips", "position:1", "trip:🗽", "tria")])
    assert [entry.key for entry in reader.starting_with("trip:")] == ["trip:1", "trip:2", "trip:🗽"]
    assert [entry.key for entry in reader.starting_with("trip:", limit=1)] == ["trip:1"]
    sink.close()
    reader.close()


def test_a_time_to_live_of_nothing_is_rejected(tmp_path: Path) -> None:
    sink, reader, _ = opened(tmp_path)
    assert sink.write([write("a", ttl=0)]) == [Rejected("`ttl_seconds` is 0, not more than 0")]
    sink.close()
    reader.close()
