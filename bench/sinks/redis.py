# pyright: reportUnknownMemberType=false
"""Live state: last positions and trips of travellers, each written several times, beside a pipeline of redis-py.

Peer: a pipeline without MULTI of 1,000 writes, the value made into JSON by the same encoder
(https://redis.io/docs/latest/develop/using-commands/pipelining). For the values alone it sends `SET key value EX
seconds`, and our sink keeps no index and tells no watchers; for all of it `GEOADD` and `PUBLISH` as well, as ours
does. It compares no versions.
"""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import msgspec
import redis

from bench.sinks.measured import AT, Bench, batches, deliver, rate
from connectors.sinks.redis import RedisOptions, RedisSink
from deploy.local.redis import RedisServer
from schemas.writes import CacheWrite

BAR = 0.9
PEER = "redis pipeline"
BATCH = 1_000
USERS = 5_000
TIMES = 4  # as many writes as of a store that takes some ten thousand a second, so that a round lasts as long


def measure(bench: Bench) -> None:
    """Run the row."""
    server = RedisServer(bench.folder / "redis")
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            writes = [_write(number) for number in range(TIMES * bench.options.writes)]
            rows = {
                "redis, values": RedisOptions(url=server.url, publish=False, positions=""),
                "redis, values, places and watchers": RedisOptions(url=server.url),
            }
            for number in bench.turns:
                for row, options in rows.items():
                    contenders = {
                        PEER: partial(_peer, client, options, writes),
                        "ours": partial(_ours, client, options, writes),
                    }
                    bench.in_turns(row, number, contenders)
            bench.setup |= {"redis": client.info("server")["redis_version"], "redis_py": version("redis")}
    finally:
        server.delete()
    for row in rows:
        bench.compare(row, PEER, BAR)


def _peer(client: redis.Redis, options: RedisOptions, writes: Sequence[CacheWrite]) -> float:
    client.flushall()
    found = rate(len(writes), lambda: _pipeline(client, writes, whole=options.publish))
    _check(client, "peer:[pt]*:*", writes)
    return found


def _ours(client: redis.Redis, options: RedisOptions, writes: Sequence[CacheWrite]) -> float:
    client.flushall()
    sinks = [RedisSink(options) for _ in range(RedisSink.limits.requests)]
    for sink in sinks:
        sink.open()
    found = rate(len(writes), lambda: deliver(sinks, writes))
    for sink in sinks:
        sink.close()
    _check(client, "travelos:{[pt]*:*}", writes)
    return found


def _pipeline(client: redis.Redis, writes: Sequence[CacheWrite], *, whole: bool) -> None:
    encode = msgspec.json.Encoder().encode
    for batch in batches(writes, BATCH):
        with client.pipeline(transaction=False) as pipe:
            for write in batch:
                value = encode(write.value)
                pipe.set(f"peer:{write.key}", value, ex=write.ttl_seconds)
                if whole:
                    pipe.publish(f"peer:changes:{write.key}", value)
                    if write.key.startswith("position:"):
                        member = write.key.removeprefix("position:")
                        pipe.geoadd("peer:geo", (write.value["lon"], write.value["lat"], member))
            pipe.execute()


def _check(client: Any, pattern: str, writes: Sequence[CacheWrite]) -> None:
    found, keys = len(set(client.scan_iter(pattern, count=10_000))), len({write.key for write in writes})
    if found != keys:
        raise SystemExit(f"there are {found} keys {pattern}, not {keys}")


def _write(number: int) -> CacheWrite:
    user = f"user-{number * 7_919 % USERS}"
    if number % 10:
        key = f"position:{user}"
        value = {
            "lat": 40.7 + number % 997 / 1e4,
            "lon": -74.0,
            "at": "2026-05-01T12:00:00.123456Z",
            "cell": "8a2a1072b59ffff",
            "place_id": f"place-{number % 300}",
        }
    else:
        key = f"trip:{user}"
        value = {"id": f"trip-{number}", "title": "New York", "status": "started", "stops": ["Soho", "Harlem"]}
    return CacheWrite(
        entity=key,
        version=number,
        source="user-events",
        event_id="e",
        occurred_at=AT,
        key=key,
        value=value,
        ttl_seconds=604_800,
    )
