"""Stores that refuse a share of what sagas write, always the same writes: failures that are injected.

They are chosen by `stores.<store>.kind = "bench.sagas.refusing:RefusingGraph"`, for example.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from msgspec import Struct

from connectors.sinks.contract import Outcome, Rejected
from connectors.sinks.elasticsearch import ElasticsearchSink
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.neo4j import Neo4jSink
from connectors.sinks.neo4j.options import Neo4jOptions
from connectors.sinks.redis import RedisSink
from connectors.sinks.redis.options import RedisOptions
from connectors.sinks.sqlite.cache import CacheSink
from connectors.sinks.sqlite.graph import GraphSink
from connectors.sinks.sqlite.search import SearchSink
from schemas.writes import BaseWrite, CacheWrite, GraphWrite, SearchWrite, store_of

PARTS = 10_000
REFUSED = Rejected("refused on purpose")

W = TypeVar("W", bound=BaseWrite)


class RefusingOptions(Struct, frozen=True):
    """Options of an embedded store that refuses some writes.

    Attributes:
        path: file of the embedded store.
        share: of the writes that it refuses, from 0 to 1.
    """

    path: str
    share: float = 0.0


class RefusingRedisOptions(RedisOptions, frozen=True, kw_only=True):
    """Options of a Redis that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


class RefusingNeo4jOptions(Neo4jOptions, frozen=True, kw_only=True):
    """Options of a Neo4j that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


class RefusingElasticsearchOptions(ElasticsearchOptions, frozen=True, kw_only=True):
    """Options of an Elasticsearch that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


def refuses(share: float, write: BaseWrite) -> bool:
    """Whether a write is refused: by its entity and version, other ones in each store, and never a compensation."""
    name = f"{store_of(write)} {write.entity} {write.version}"
    return write.undo and crc32(name.encode()) % PARTS < share * PARTS


def refusing(share: float, batch: Sequence[W], write: Callable[[Sequence[W]], list[Outcome]]) -> list[Outcome]:
    """Have what is not refused written, and return the outcome of each write."""
    taken = iter(write([one for one in batch if not refuses(share, one)]))
    return [REFUSED if refuses(share, one) else next(taken) for one in batch]


class RefusingGraph(GraphSink):
    """The embedded graph, which refuses some."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(Path(options.path))
        self._share = options.share

    def write(self, batch: Sequence[GraphWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, super().write)


class RefusingSearch(SearchSink):
    """The embedded search index, which refuses some."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(Path(options.path))
        self._share = options.share

    def write(self, batch: Sequence[SearchWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, super().write)


class RefusingCache(CacheSink):
    """The embedded live state, which refuses some."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(Path(options.path))
        self._share = options.share

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, super().write)


class RefusingNeo4j(Neo4jSink):
    """A Neo4j, which refuses some."""

    def __init__(self, options: RefusingNeo4jOptions) -> None:
        super().__init__(options)
        self._share = options.share

    def write(self, batch: Sequence[GraphWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, super().write)


class RefusingElasticsearch(ElasticsearchSink):
    """An Elasticsearch, which refuses some."""

    def __init__(self, options: RefusingElasticsearchOptions) -> None:
        super().__init__(options)
        self._share = options.share

    def write(self, batch: Sequence[SearchWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, super().write)


class RefusingRedis(RedisSink):
    """A Redis, which refuses some."""

    def __init__(self, options: RefusingRedisOptions) -> None:
        super().__init__(options)
        self._share = options.share

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, super().write)
