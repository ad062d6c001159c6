"""Embedded stores that refuse a share of what sagas write, always the same writes: failures that are injected.

They are chosen by `stores.<store>.kind = "bench.sagas.refusing:RefusingGraph"`, for example.
"""

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from msgspec import Struct

from connectors.sinks.contract import Outcome, Rejected
from connectors.sinks.sqlite.cache import CacheSink
from connectors.sinks.sqlite.graph import GraphSink
from connectors.sinks.sqlite.search import SearchSink
from schemas.writes import BaseWrite, CacheWrite, GraphWrite, SearchWrite, store_of

PARTS = 10_000
REFUSED = Rejected("refused on purpose")


class RefusingOptions(Struct, frozen=True):
    """Options of a store that refuses some writes.

    Attributes:
        path: file of the embedded store.
        share: of the writes that it refuses, from 0 to 1.
    """

    path: str
    share: float = 0.0


def refuses(options: RefusingOptions, write: BaseWrite) -> bool:
    """Whether a write is refused: by its entity and version, other ones in each store, and never a compensation."""
    name = f"{store_of(write)} {write.entity} {write.version}"
    return write.undo and crc32(name.encode()) % PARTS < options.share * PARTS


class RefusingGraph(GraphSink):
    """The embedded graph, which refuses some."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(Path(options.path))
        self._options = options

    def write(self, batch: Sequence[GraphWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        taken = iter(super().write([write for write in batch if not refuses(self._options, write)]))
        return [REFUSED if refuses(self._options, write) else next(taken) for write in batch]


class RefusingSearch(SearchSink):
    """The embedded search index, which refuses some."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(Path(options.path))
        self._options = options

    def write(self, batch: Sequence[SearchWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        taken = iter(super().write([write for write in batch if not refuses(self._options, write)]))
        return [REFUSED if refuses(self._options, write) else next(taken) for write in batch]


class RefusingCache(CacheSink):
    """The embedded live state, which refuses some."""

    def __init__(self, options: RefusingOptions) -> None:
        super().__init__(Path(options.path))
        self._options = options

    def write(self, batch: Sequence[CacheWrite]) -> list[Outcome]:
        """Apply what is not refused."""
        taken = iter(super().write([write for write in batch if not refuses(self._options, write)]))
        return [REFUSED if refuses(self._options, write) else next(taken) for write in batch]
