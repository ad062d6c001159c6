"""How far a snapshot is, and when it may be done: for the log and the counters."""

import time
from collections.abc import Callable, Iterable

import structlog

from connectors.cdc.catalog import TableInfo
from connectors.cdc.counters import Counters

log = structlog.get_logger(__name__)

SAY_EVERY_SECONDS = 10.0


class SnapshotProgress:
    """Counts rows and says every ten seconds how many there are and how long the rest may take.

    Args:
        counters: kept up to date.
        clock: monotonic seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._began = self._said = clock()

    def expect(self, tables: Iterable[TableInfo], already: int = 0) -> None:
        """Note what will be read, as far as ANALYZE knows, and how many rows of it an earlier attempt has read."""
        self._counters.snapshot_estimated_rows += max(0, sum(table.estimated_rows for table in tables) - already)

    def read(self, table: str, rows: int) -> None:
        """Note that rows were sent."""
        counters = self._counters
        counters.snapshot_rows += rows
        counters.count(table, "r", rows)
        now = self._clock()
        if now - self._said < SAY_EVERY_SECONDS:
            return
        self._said = now
        rate = counters.snapshot_rows / (now - self._began)
        counters.snapshot_eta_seconds = eta_seconds(counters.snapshot_rows, counters.snapshot_estimated_rows, rate)
        log.info(
            "snapshot_progress",
            table=table,
            rows=counters.snapshot_rows,
            estimated_rows=counters.snapshot_estimated_rows or None,
            rows_per_second=round(rate),
            eta_seconds=counters.snapshot_eta_seconds,
        )

    def end(self) -> None:
        """Note that nothing is left."""
        self._counters.snapshot_eta_seconds = 0 if self._counters.snapshot_rows else None


def eta_seconds(rows: int, estimated: int, rate: float) -> int | None:
    """Return the seconds until `estimated` rows are read; None when that is not known, or was too low."""
    if rate <= 0 or estimated <= rows:
        return None
    return round((estimated - rows) / rate)
