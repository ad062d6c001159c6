# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""The conformance kit on one Redis."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import redis

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import Sink
from connectors.sinks.redis import RedisOptions, RedisSink
from connectors.sinks.redis.keys import Names
from deploy.local.redis import RedisServer
from schemas.writes import CacheWrite

pytestmark = pytest.mark.integration


class TestRedis(SinkConformance[CacheWrite]):
    server: RedisServer

    @pytest.fixture(autouse=True)
    def _server(self, redis_server: RedisServer) -> None:
        self.server = redis_server

    @pytest.fixture
    def place(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        return f"{uuid4().hex}:"

    def sink(self, place: str) -> RedisSink:
        return RedisSink(RedisOptions(url=self.server.address, password=self.server.password, prefix=place))

    def full(self, place: str, sink: Sink[CacheWrite]) -> AbstractContextManager[object]:
        return without_memory(self.server)

    def stranger(self, place: str) -> RedisSink:
        return RedisSink(RedisOptions(url=self.server.address, password="another", prefix=place))

    def hang_up(self, place: str) -> bool:
        with redis.Redis.from_url(self.server.url) as client:
            ended: Any = client.client_kill_filter(_type="normal", skipme=True)
        return bool(ended)

    def good(self, entity: str, version: int, source: str, content: int) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value=[content], ttl_seconds=3_600)

    def bad(self, entity: str, version: int, source: str) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value=1, ttl_seconds=0)

    def content(self, place: str, entity: str) -> int | None:
        with redis.Redis.from_url(self.server.url) as client:
            found = client.get(Names(place).value(entity))
        return None if found is None else msgspec.json.decode(found, type=list[int])[0]  # pyright: ignore[reportArgumentType] - bytes


@contextmanager
def without_memory(server: RedisServer) -> Generator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1_000)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)
