"""The embedded stores by name: what runs when no server is configured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors.sinks.contract import Sink
from connectors.sinks.folder import FolderReader, FolderSink
from connectors.sinks.postgres import REQUEST_SECONDS, RelationalReader, RelationalSink
from connectors.sinks.sqlite.cache import CacheReader, CacheSink
from connectors.sinks.sqlite.graph import GraphReader, GraphSink
from connectors.sinks.sqlite.search import SearchReader, SearchSink
from connectors.sinks.sqlite.timeseries import TimeSeriesReader, TimeSeriesSink
from connectors.sinks.sqlite.vector import VectorReader, VectorSink
from connectors.sinks.warehouse import WarehouseReader, WarehouseSink
from schemas.writes import StoreName

_SINKS: dict[StoreName, tuple[Callable[[Path], Sink[Any]], str]] = {
    "graph": (GraphSink, "graph.db"),
    "vector": (VectorSink, "vector.db"),
    "search": (SearchSink, "search.db"),
    "timeseries": (TimeSeriesSink, "timeseries.db"),
    "cache": (CacheSink, "cache.db"),
    "objects": (FolderSink, "objects"),
    "warehouse": (WarehouseSink, "warehouse"),
}


def embedded_sink(
    store: StoreName, folder: Path, relational_dsn: str, relational_seconds: float = REQUEST_SECONDS
) -> Sink[Any]:
    """Return the sink of a store.

    Args:
        store: which one.
        folder: where all stores' files lie; made by `open` when it is missing.
        relational_dsn: the Postgres server of the relational store; the others do not look at it.
        relational_seconds: how long it is waited for; the same.
    """
    if store == "relational":
        return RelationalSink(relational_dsn, relational_seconds)
    kind, name = _SINKS[store]
    return kind(folder / name)


class EmbeddedReaders:
    """The readers of the same stores. Each is new, not yet open, and may be in another process than the sink."""

    def __init__(self, folder: Path, relational_dsn: str) -> None:
        self._folder = folder
        self._relational_dsn = relational_dsn

    def graph(self) -> GraphReader:
        """Return the reader of the graph."""
        return GraphReader(self._folder / _SINKS["graph"][1])

    def vector(self) -> VectorReader:
        """Return the reader of the vectors."""
        return VectorReader(self._folder / _SINKS["vector"][1])

    def search(self) -> SearchReader:
        """Return the reader of the search documents."""
        return SearchReader(self._folder / _SINKS["search"][1])

    def timeseries(self) -> TimeSeriesReader:
        """Return the reader of the time series."""
        return TimeSeriesReader(self._folder / _SINKS["timeseries"][1])

    def cache(self) -> CacheReader:
        """Return the reader of the live state."""
        return CacheReader(self._folder / _SINKS["cache"][1])

    def objects(self) -> FolderReader:
        """Return the reader of the objects."""
        return FolderReader(self._folder / _SINKS["objects"][1])

    def warehouse(self) -> WarehouseReader:
        """Return the reader of the history."""
        return WarehouseReader(self._folder / _SINKS["warehouse"][1])

    def relational(self) -> RelationalReader:
        """Return the reader of the relational facts."""
        return RelationalReader(self._relational_dsn)
