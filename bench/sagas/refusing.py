"""Stores that refuse a share of what sagas write, always the same writes: failures that are injected.

They are chosen by `stores.<store>.kind = "bench.sagas.refusing:RefusingGraph"`, for example.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from zlib import crc32

from msgspec import Struct

from connectors.sinks.content import stored
from connectors.sinks.contract import Held, Limits, Outcome, Recognising, Rejected, Sink, Undoing
from connectors.sinks.elasticsearch import ElasticsearchSink
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.influxdb import InfluxOptions, InfluxSink
from connectors.sinks.neo4j import Neo4jSink
from connectors.sinks.neo4j.options import Neo4jOptions
from connectors.sinks.postgres import REQUEST_SECONDS, RelationalSink
from connectors.sinks.redis import RedisSink
from connectors.sinks.redis.options import RedisOptions
from connectors.sinks.s3 import S3Options, S3Sink
from connectors.sinks.sqlite.cache import CacheSink
from connectors.sinks.sqlite.graph import GraphSink
from connectors.sinks.sqlite.search import SearchSink
from connectors.sinks.sqlite.vector import VectorSink
from connectors.sinks.warehouse.s3 import S3WarehouseOptions, S3WarehouseSink
from schemas.writes import BaseWrite, store_of

PARTS = 10_000
REFUSED = Rejected("refused on purpose")

W = TypeVar("W", bound=BaseWrite)


class RefusingOptions(Struct, frozen=True):
    """Options of an embedded store that refuses some writes.

    Attributes:
        path: file of the embedded store.
        share: of the writes that it refuses, from 0 to 1.
        matching: a regular expression; of other entities it refuses none.
    """

    path: str
    share: float = 0.0
    matching: str = ""


class RefusingRelationalOptions(Struct, frozen=True):
    """Options of a Postgres that refuses some writes: a share from 0 to 1, of entities that match."""

    url: str
    share: float = 0.0
    matching: str = ""
    request_seconds: float = REQUEST_SECONDS

    def __repr__(self) -> str:
        """Leave the address out: it may have a password."""
        return f"RefusingRelationalOptions(share={self.share})"


class RefusingRedisOptions(RedisOptions, frozen=True, kw_only=True):
    """Options of a Redis that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


class RefusingNeo4jOptions(Neo4jOptions, frozen=True, kw_only=True):
    """Options of a Neo4j that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


class RefusingElasticsearchOptions(ElasticsearchOptions, frozen=True, kw_only=True):
    """Options of an Elasticsearch that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


class RefusingInfluxOptions(InfluxOptions, frozen=True, kw_only=True):
    """Options of an InfluxDB that refuses some writes: a share from 0 to 1."""

    share: float = 0.0


class RefusingS3Options(S3Options, frozen=True, kw_only=True):
    """Options of an S3 that refuses some objects: a share from 0 to 1."""

    share: float = 0.0


class RefusingS3WarehouseOptions(S3WarehouseOptions, frozen=True, kw_only=True):
    """Options of a warehouse in S3 that refuses some rows: a share from 0 to 1."""

    share: float = 0.0


def refuses(share: float, write: BaseWrite, matching: str = "") -> bool:
    """Whether a write is refused: by its entity and version, other ones in each store, and never a compensation."""
    name = f"{store_of(write)} {write.entity} {write.version}"
    chosen = write.undo and crc32(name.encode()) % PARTS < share * PARTS
    return chosen and re.search(matching, write.entity) is not None


def refusing(
    share: float, batch: Sequence[W], write: Callable[[Sequence[W]], list[Outcome]], matching: str = ""
) -> list[Outcome]:
    """Have what is not refused written, and return the outcome of each write."""
    taken = iter(write([one for one in batch if not refuses(share, one, matching)]))
    return [REFUSED if refuses(share, one, matching) else next(taken) for one in batch]


class Refusing:
    """A sink that can tell what undoes a write, and refuses some.

    Args:
        sink: that takes the others.
        share: of the writes that are refused, from 0 to 1.
        matching: a regular expression; of other entities none is refused.
    """

    def __init__(self, sink: Sink[Any], share: float, matching: str = "") -> None:
        self._sink = sink
        self._share = share
        self._matching = matching

    @property
    def limits(self) -> Limits:
        """Those of the sink."""
        return self._sink.limits

    def open(self) -> None:
        """Open the sink."""
        self._sink.open()

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        """Apply what is not refused."""
        return refusing(self._share, batch, self._sink.write, self._matching)

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the store holds."""
        return self._sink.held(entities)

    def before(self, writes: Sequence[Any]) -> list[Any]:
        """Return what would undo writes."""
        return cast("Undoing[Any]", self._sink).before(writes)

    def stored(self, places: Sequence[Any]) -> list[Any]:
        """Return what the store holds of entities."""
        return stored(self._sink, places)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


class RefusingEmbedded(Refusing):
    """A sink that recognises what it took, too."""

    def own(self, writes: Sequence[Any]) -> list[Any]:
        """Return what takes back writes that the store holds."""
        return cast("Recognising[Any]", self._sink).own(writes)


class RefusingGraph(RefusingEmbedded):
    """The embedded graph."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(GraphSink(Path(options.path)), options.share, options.matching)


class RefusingSearch(RefusingEmbedded):
    """The embedded search index."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(SearchSink(Path(options.path)), options.share, options.matching)


class RefusingCache(RefusingEmbedded):
    """The embedded live state."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(CacheSink(Path(options.path)), options.share, options.matching)


class RefusingVector(RefusingEmbedded):
    """The embedded vectors."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(VectorSink(Path(options.path)), options.share, options.matching)


class RefusingRelational(Refusing):
    """A Postgres."""

    def __init__(self, options: RefusingRelationalOptions) -> None:
        super().__init__(RelationalSink(options.url, options.request_seconds), options.share, options.matching)


class RefusingNeo4j(Refusing):
    """A Neo4j."""

    def __init__(self, options: RefusingNeo4jOptions) -> None:
        super().__init__(Neo4jSink(options), options.share)


class RefusingElasticsearch(Refusing):
    """An Elasticsearch."""

    def __init__(self, options: RefusingElasticsearchOptions) -> None:
        super().__init__(ElasticsearchSink(options), options.share)


class RefusingRedis(Refusing):
    """A Redis."""

    def __init__(self, options: RefusingRedisOptions) -> None:
        super().__init__(RedisSink(options), options.share)


class RefusingInflux(Refusing):
    """An InfluxDB."""

    def __init__(self, options: RefusingInfluxOptions) -> None:
        super().__init__(InfluxSink(options), options.share)


class RefusingS3(Refusing):
    """Objects in S3."""

    def __init__(self, options: RefusingS3Options) -> None:
        super().__init__(S3Sink(options), options.share)


class RefusingS3Warehouse(Refusing):
    """A warehouse in S3."""

    def __init__(self, options: RefusingS3WarehouseOptions) -> None:
        super().__init__(S3WarehouseSink(options), options.share)
