"""Every metric of the source of changes, named once, for Prometheus.

They mean what the attributes of Debezium's streaming and snapshot metrics mean whose names stand beside them. All are
read from the counters when somebody asks, so the source pays nothing for them.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from connectors.cdc.counters import Counters
from connectors.cdc.publisher import QUEUE_RECORDS

PREFIX = "cdc_"
QUANTILES = (0.5, 0.95, 0.99)


class Metric(NamedTuple):
    """One metric: its name without the prefix, its kind, its labels, Debezium's name, what it says."""

    name: str
    kind: str
    labels: tuple[str, ...]
    debezium: str
    about: str

    @property
    def full_name(self) -> str:
        """The name as it is exposed."""
        return PREFIX + self.name


def _gauge(name: str, debezium: str, about: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, debezium, about)


def _counter(name: str, debezium: str, about: str, *labels: str) -> Metric:
    return Metric(name, "counter", labels, debezium, about)


CONNECTED = _gauge("connected", "Connected", "1 while it streams or takes a snapshot.")
DISCONNECTS = _counter("disconnects_total", "", "Connections that were lost or not made.")
EVENTS = _counter(
    "events_total",
    "TotalNumberOfCreateEventsSeen, ...UpdateEventsSeen, ...DeleteEventsSeen",
    "Events, tombstones left out, by table and op (r, c, u, d, t).",
    "table",
    "op",
)
TRANSACTIONS = _counter("transactions_total", "NumberOfCommittedTransactions", "Transactions that were handled.")
LAG = _gauge(
    "behind_source_milliseconds",
    "MilliSecondsBehindSource, P50, P95, P99",
    "From commit to handling, of the last 1,000 commits.",
    "quantile",
)
SINCE_LAST = _gauge(
    "since_last_event_milliseconds", "MilliSecondsSinceLastEvent", "Since the last commit that was handled."
)
QUEUED = _gauge(
    "queue_records", "QueueTotalCapacity - QueueRemainingCapacity", "Records that Kafka has not acknowledged."
)
CAPACITY = _gauge("queue_capacity_records", "QueueTotalCapacity", "With more than so many nothing is read.")
RECEIVED = _gauge("received_lsn", "SourceEventPosition", "End of what has arrived from the server, as a number.")
CONFIRMED = _gauge("confirmed_lsn", "", "What the server may forget, as a number.")
LAG_BYTES = _gauge("lag_bytes", "", "WAL that was written since what is confirmed; looked at with each heartbeat.")
RETAINED = _gauge("slot_retained_bytes", "", "WAL that the server keeps for the slot.")
SAFE = _gauge("slot_safe_bytes", "", "WAL that may be written before the slot is lost; absent without a limit.")
SNAPSHOT_RUNNING = _gauge("snapshot_running", "SnapshotRunning", "1 while the first snapshot is taken.")
SNAPSHOT_ROWS = _gauge("snapshot_rows", "RowsScanned", "Rows of the present or last snapshot.")
SNAPSHOT_ESTIMATE = _gauge("snapshot_estimated_rows", "", "How many there may be, as of the last ANALYZE; 0: unknown.")
SNAPSHOT_ETA = _gauge("snapshot_eta_seconds", "", "How long the rest may take; absent when nobody knows.")
SNAPSHOTS = _counter("snapshots_total", "SnapshotCompleted", "Snapshots that were completed.")

METRICS = (
    *(CONNECTED, DISCONNECTS, EVENTS, TRANSACTIONS, LAG, SINCE_LAST, QUEUED, CAPACITY, RECEIVED, CONFIRMED, LAG_BYTES),
    *(RETAINED, SAFE, SNAPSHOT_RUNNING, SNAPSHOT_ROWS, SNAPSHOT_ESTIMATE, SNAPSHOT_ETA, SNAPSHOTS),
)


def registry_of(counters: Counters, now: Callable[[], float] = time.time) -> CollectorRegistry:
    """Return a registry whose metrics are those of one source.

    Args:
        counters: of the source.
        now: seconds since 1970.
    """
    registry = CollectorRegistry()
    registry.register(_Source(counters, now))
    return registry


class _Source(Collector):
    """The metrics, read from counters."""

    def __init__(self, counters: Counters, now: Callable[[], float]) -> None:
        self._counters = counters
        self._now = now

    def describe(self) -> Iterator[Family]:
        """Name the metrics, so that registering them asks for no values."""
        yield from map(_family, METRICS)

    def collect(self) -> Iterator[Family]:
        """Read the values."""
        counters = self._counters
        values: dict[Metric, float | None] = {
            CONNECTED: counters.connected,
            DISCONNECTS: counters.disconnects,
            TRANSACTIONS: counters.transactions,
            SINCE_LAST: self._since_last(),
            QUEUED: counters.queued,
            CAPACITY: QUEUE_RECORDS,
            RECEIVED: counters.received_lsn,
            CONFIRMED: counters.confirmed_lsn,
            LAG_BYTES: counters.lag_bytes,
            RETAINED: counters.slot_retained_bytes,
            SAFE: counters.slot_safe_bytes,
            SNAPSHOT_RUNNING: counters.phase == "snapshot",
            SNAPSHOT_ROWS: counters.snapshot_rows,
            SNAPSHOT_ESTIMATE: counters.snapshot_estimated_rows,
            SNAPSHOT_ETA: counters.snapshot_eta_seconds,
            SNAPSHOTS: counters.snapshots,
        }
        for metric in METRICS:
            family = _family(metric)
            if metric is EVENTS:
                for (table, op), count in counters.events.copy().items():
                    family.add_metric((table, op), count)
            elif metric is LAG:
                for share, lag in zip(QUANTILES, counters.lag.quantiles(*QUANTILES), strict=False):
                    family.add_metric((str(share),), lag)
            elif (value := values[metric]) is not None:
                family.add_metric((), value)
            yield family

    def _since_last(self) -> float | None:
        committed = self._counters.committed_at_us
        return max(0.0, self._now() * 1_000 - committed / 1_000) if committed else None


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.full_name, metric.about, labels=metric.labels)
