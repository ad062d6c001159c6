# pyright: reportUnknownMemberType=false
"""What the Redis sink does beside the contract."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import redis

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Rejected
from connectors.sinks.errors import Fatal, SinkError, Unavailable
from connectors.sinks.redis import RedisOptions, RedisSink
from connectors.sinks.redis.keys import Names
from deploy.local.redis import RedisServer
from schemas.writes import CacheWrite
from streams.routing.entities import entity
from tests.unit.verify.sweeping import found_and_repaired

pytestmark = pytest.mark.integration

PATIENCE = 30.0


@pytest.fixture
def options(redis_server: RedisServer) -> RedisOptions:
    return RedisOptions(url=redis_server.url, prefix=f"{uuid4().hex}:")


@pytest.fixture
def names(options: RedisOptions) -> Names:
    return Names(options.prefix)


@pytest.fixture
def sink(options: RedisOptions) -> Iterator[RedisSink]:
    sink = RedisSink(options)
    sink.open()
    yield sink
    sink.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis.Redis.from_url(redis_server.url) as client:
        yield client


def write(key: str, version: int = 1, value: Any = 1, **given: Any) -> CacheWrite:
    fields: dict[str, Any] = {"entity": key, "source": "s", "event_id": "e", "key": key}
    fields["occurred_at"] = datetime(2026, 5, 1, tzinfo=UTC)
    fields |= {"version": version, "value": value, **given}
    return CacheWrite(**fields)


def wait_until(condition: Callable[[], bool]) -> None:
    until = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < until, "the condition did not come true in time"


def test_any_client_reads_the_value_as_json_under_its_key(sink: RedisSink, names: Names, client: Any) -> None:
    value = {"id": "t1", "stops": ["서울 🗽", None], "n": 2**53, "ok": True}
    assert sink.write([write("trip:u1", value=value), write("empty", value=None)]) == [APPLIED] * 2
    assert msgspec.json.decode(client.get(f"{names.prefix}{{trip:u1}}")) == value
    assert client.get(names.value("empty")) == b"null"
    assert client.ttl(names.value("empty")) == -1


def test_a_value_is_forgotten_in_time_and_its_version_is_not(sink: RedisSink, names: Names, client: Any) -> None:
    assert sink.write([write("a", 5, ttl_seconds=1), write("b", 5, ttl_seconds=3_600)]) == [APPLIED] * 2
    assert 3_590_000 < client.pttl(names.value("b")) <= 3_600_000
    wait_until(lambda: client.get(names.value("a")) is None)
    wait_until(lambda: sink.held([("a", "s")])["a", "s"] == Held(version=5, deleted=True, copies=0))
    assert sink.write([write("a", 4), write("a", 5), write("a", 6)]) == [SUPERSEDED, SUPERSEDED, APPLIED]
    assert client.ttl(names.value("a")) == -1


def test_versions_can_be_bounded_in_time(options: RedisOptions, names: Names, client: Any) -> None:
    sink = RedisSink(msgspec.structs.replace(options, versions_hours=2))
    sink.write([write("a", ttl_seconds=60), write("b", op="delete")])
    assert 7_200_000 < client.pttl(names.versions("a")) <= 7_260_000
    assert 7_190_000 < client.pttl(names.versions("b")) <= 7_200_000
    sink.close()


def test_a_value_that_was_lost_is_not_taken_for_an_expired_one(sink: RedisSink, names: Names, client: Any) -> None:
    sink.write([write("a", 5, ttl_seconds=3_600)])
    client.delete(names.value("a"))
    assert sink.held([("a", "s")]) == {("a", "s"): Held(version=5, deleted=False, copies=0)}


def test_an_undone_value_has_its_key_and_what_was_left_of_its_time(sink: RedisSink, names: Names, client: Any) -> None:
    sink.write([write("b", 5, [1], entity="a", ttl_seconds=3_600), write("c", 5, [2])])
    moved, lasting = write("a", 6, [3], ttl_seconds=60), write("c", 6, op="delete")
    undos = sink.before([moved, lasting])
    sink.write([moved, lasting])
    again = [msgspec.structs.replace(undo, version=7) for undo in undos if undo is not None]
    assert sink.write(again) == [APPLIED] * 2
    assert (client.get(names.value("a")), client.get(names.value("b")), client.get(names.value("c"))) == (
        None,
        b"[1]",
        b"[2]",
    )
    assert 3_590_000 < client.pttl(names.value("b")) <= 3_600_000
    assert client.ttl(names.value("c")) == -1


def test_what_another_program_has_under_a_key_cannot_be_undone(sink: RedisSink, names: Names, client: Any) -> None:
    client.rpush(names.value("a"), "theirs")
    assert sink.before([write("a"), write("", 1)]) == [None, None]


def test_watchers_hear_of_what_was_applied_and_of_nothing_else(sink: RedisSink, names: Names, client: Any) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as watcher:
        watcher.psubscribe(f"{names.channels}trip:*")
        watcher.get_message(timeout=5)
        sink.write([write("trip:u1", 2**63 - 1, {"a": 1}), write("trip:u1", 3, "late"), write("other", 1)])
        sink.write([write("trip:u2", 0, op="delete")])
        heard = [watcher.get_message(timeout=5) for _ in range(2)]
        assert watcher.get_message(timeout=0.1) is None
    assert [one["channel"].decode().removeprefix(names.channels) for one in heard] == ["trip:u1", "trip:u2"]
    assert [msgspec.json.decode(one["data"]) for one in heard] == [
        {"op": "upsert", "version": 2**63 - 1, "value": {"a": 1}},
        {"op": "delete", "version": 0, "value": None},
    ]


def test_last_positions_are_found_by_distance_whatever_order_they_come_in(
    sink: RedisSink, names: Names, client: Any
) -> None:
    def here(user: str, version: int, lon: float, **given: Any) -> CacheWrite:
        return write(f"position:{user}", version, {"lat": 40.7, "lon": lon}, **given)

    def near(lon: float) -> list[bytes]:
        return client.geosearch(names.positions[0], longitude=lon, latitude=40.7, radius=1, unit="km", sort="ASC")

    sink.write([here("u1", 5, -74.0), here("u2", 5, -74.001), here("u3", 5, 10.0)])
    assert near(-74.0) == [b"u1", b"u2"]
    sink.write([here("u1", 4, 10.0), here("u2", 6, 10.0), here("u3", 6, 0, op="delete")])
    assert near(-74.0) == [b"u1"]
    assert near(10.0) == [b"u2"]
    sink.write([write("position:u2", 7, {"lat": 89.9, "lon": 0.0}), write("position:u1", 7, {"lat": "?"})])
    assert client.zcard(names.positions[0]) == 0
    assert client.exists(names.value("position:u2")) == 1


def test_a_position_that_has_expired_leaves_the_index(sink: RedisSink, names: Names, client: Any) -> None:
    here = {"lat": 1.0, "lon": 1.0}
    sink.write([write("position:u1", 1, here, ttl_seconds=1), write("position:u2", 1, here)])
    assert client.zcard(names.positions[0]) == 2
    wait_until(lambda: client.get(names.value("position:u1")) is None)
    wait_until(lambda: bool(sink.write([write("position:u3", 1, here)])) and client.zcard(names.positions[0]) == 2)
    assert sorted(client.zrange(names.positions[0], 0, -1)) == [b"u2", b"u3"]


def test_a_repair_puts_a_position_back_that_the_index_has_lost(sink: RedisSink, names: Names, client: Any) -> None:
    lost = write("position:u1", 3, {"lat": 1.0, "lon": 1.0}, ttl_seconds=100)
    sink.write([lost, write("position:u2", 3, {"lat": 1.0, "lon": 1.0})])
    client.zrem(names.positions[0], "u1")
    assert sink.write([lost]) == [SUPERSEDED]
    assert client.zrange(names.positions[0], 0, -1) == [b"u2"]
    assert sink.write([msgspec.structs.replace(lost, repair=True)]) == [APPLIED]
    assert sorted(client.zrange(names.positions[0], 0, -1)) == [b"u1", b"u2"]
    assert sink.write([msgspec.structs.replace(lost, version=2, repair=True, op="delete")]) == [SUPERSEDED]
    assert client.zcard(names.positions[0]) == 2


def test_a_position_that_could_not_be_indexed_is_when_its_write_comes_again(
    sink: RedisSink, names: Names, client: Any
) -> None:
    here = write("position:u1", 1, {"lat": 1.0, "lon": 1.0})
    client.set(names.positions[0], "another program's")
    with pytest.raises(SinkError, match="WRONGTYPE"):
        sink.write([here])
    client.delete(names.positions[0])
    assert sink.write([here]) == [SUPERSEDED]
    assert client.zrange(names.positions[0], 0, -1) == [b"u1"]


def test_versions_of_positions_go_with_those_of_values(options: RedisOptions, names: Names, client: Any) -> None:
    here = {"lat": 1.0, "lon": 1.0}
    _, versions, _, expiry = names.positions
    for hours, dated in ((0, 0), (2, 1)):
        sink = RedisSink(msgspec.structs.replace(options, versions_hours=hours))
        sink.open()
        sink.write([write("position:u1", 1 + hours, here, ttl_seconds=60)])
        assert client.zcard(expiry) == dated
        if dated:
            [(field, expires)] = client.zrange(expiry, 0, -1, withscores=True)
            assert 0 <= expires / 1000 - (time() + 7_260) + 30 <= 31
            client.zadd(expiry, {field: 1})  # as if two hours had gone by
            sink.write([write("position:u2", 1, here)])
            assert client.hkeys(versions) == [b"s\0u2"]
            assert client.zcard(expiry) == 1
        sink.close()


def test_an_entity_takes_its_value_with_it_to_another_key(sink: RedisSink, names: Names, client: Any) -> None:
    for version, key in ((1, "home"), (2, "away"), (3, "home"), (4, "far")):
        assert sink.write([write(key, version, version, entity="home")]) == [APPLIED]
        assert sink.held([("home", "s")]) == {("home", "s"): Held(version=version)}
    assert [client.get(names.value(key)) for key in ("home", "away", "far")] == [None, None, b"4"]
    sink.write([write("far", 5, entity="home", op="delete")])
    assert client.exists(names.value("far")) == 0


def test_what_cannot_be_kept_is_rejected_by_name_and_nothing_else(sink: RedisSink, names: Names, client: Any) -> None:
    client.set(names.versions("taken"), "by somebody else")
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    outcomes = sink.write(
        [
            write("a"),
            write("ttl", ttl_seconds=0),
            write("deep", value=deep),
            write("}brace"),
            write("half \ud800"),
            write("taken"),
            write("b"),
        ]
    )
    reasons = [outcome.reason if isinstance(outcome, Rejected) else "" for outcome in outcomes]
    assert reasons[0] == reasons[6] == ""
    for reason, name in zip(reasons[1:6], ("ttl_seconds", "value", "key", "key", "entity"), strict=True):
        assert reason.startswith(f"`{name}`")
    assert sink.held([("b", "s")]) == {("b", "s"): Held(version=1)}


def test_scripts_that_the_server_forgot_are_given_to_it_again(sink: RedisSink, client: Any) -> None:
    assert sink.write([write("a")]) == [APPLIED]
    client.script_flush()
    assert sink.write([write("a"), write("b")]) == [SUPERSEDED, APPLIED]


def test_what_is_set_up_wrongly_is_fatal_and_names_the_option_and_no_secret(
    options: RedisOptions, redis_server: RedisServer, client: Any
) -> None:
    assert redis_server.password not in repr(options)
    client.acl_setuser("limited", enabled=True, passwords=["+x"], keys=["*"], commands=["+@read"])
    for wrong, says in (
        ({"url": redis_server.address, "password": "wr0ng"}, "stores.cache.password"),
        ({"url": redis_server.address, "username": "limited", "password": "x"}, "stores.cache.username"),
        ({"url": "http://localhost"}, "stores.cache.url"),
        ({"url": f"redis+sentinel://127.0.0.1:{redis_server.port}"}, "stores.cache.url"),
    ):
        sink = RedisSink(msgspec.structs.replace(options, **wrong))
        with pytest.raises(Fatal) as caught:
            sink.open()
        assert says in str(caught.value)
        assert "wr0ng" not in str(caught.value)
        sink.close()


def test_a_full_server_is_unavailable_and_takes_the_batch_when_there_is_room(
    sink: RedisSink, redis_server: RedisServer, client: Any
) -> None:
    client.config_set("maxmemory", 1_000)
    try:
        with pytest.raises(Unavailable, match=r"full|OOM"):
            sink.write([write("a"), write("b")])
    finally:
        client.config_set("maxmemory", 0)
    assert sink.write([write("a"), write("b")]) == [APPLIED] * 2


def test_a_lost_server_is_unavailable_and_the_sink_goes_on_when_it_is_back(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = start_server(RedisServer(tmp_path_factory.mktemp("killed")))
    sink = RedisSink(RedisOptions(url=server.url))
    try:
        sink.open()
        assert sink.write([write("a")]) == [APPLIED]
        server.kill()
        for _ in range(2):
            with pytest.raises(Unavailable):
                sink.write([write("b")])
        with pytest.raises(Unavailable):
            sink.open()
        server.start()
        assert sink.write([write("a"), write("b")]) == [SUPERSEDED, APPLIED]
    finally:
        sink.close()
        server.delete()


@pytest.mark.parametrize("user", ["ann", "a:n%n", "*", "[ab]", "\\"])
def test_the_values_of_a_person_are_found_and_those_of_others_are_not(sink: RedisSink, user: str) -> None:
    own, gone = entity("trip", user), entity("urgent", user)
    others = [entity("trip", f"{user}x"), entity("trip", "b"), user]
    sink.write([write(one, 3) for one in (own, gone, *others)])
    sink.write([write(gone, 4, op="delete")])
    elsewhere = write(entity("position", user), 5)
    sink.write([msgspec.structs.replace(elsewhere, key="elsewhere")])
    found = {(one.entity, one.key, one.version) for one in sink.of_user(user)}
    assert found == {(own, own, 3), (elsewhere.entity, "elsewhere", 5)}
    sink.write([msgspec.structs.replace(one, version=9) for one in sink.of_user(user)])
    assert sink.of_user(user) == []


def test_what_another_client_did_to_redis_is_found_and_repaired(sink: RedisSink, names: Names, client: Any) -> None:
    place = {"lat": 40.5, "lon": -74.0}
    writes = [write("whole"), write("removed", 5, [1]), write("altered", 6, place), write("gone", 1), write("old", 7)]
    gone = msgspec.structs.replace(writes[3], op="delete", version=2, value=None)
    found_and_repaired(
        "cache",
        sink,
        [*writes, gone],
        {
            "removed": ("missing", lambda: client.delete(names.value("removed"))),
            "altered": ("different", lambda: client.set(names.value("altered"), b'{"lat":40.6,"lon":-74.0}')),
            "gone": ("extra", lambda: client.set(names.value("gone"), b"1")),
            "old": ("missing", lambda: client.delete(names.value("old"), names.versions("old"))),
        },
    )
