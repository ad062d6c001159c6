"""The metrics of the archive, for Prometheus.

What happens is counted where it happens. What is (lag, open objects) the archiver leaves as a sample now and then,
because whoever asks does so from another thread.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.archive.collecting import Collected, Reason
from streams.runtime.metrics import BATCH_SECONDS, Metric

_TOPIC = ("topic",)
_PARTITION = ("topic", "partition")

OBJECTS = Metric(
    "archive_objects_total",
    "counter",
    ("topic", "reason"),
    "Objects that were written, by why they were complete: records, bytes, time, day, memory, stop, deleted, pending.",
)
RECORDS = Metric("archive_records_total", "counter", _TOPIC, "Records in these objects.")
BYTES = Metric("archive_bytes_total", "counter", _TOPIC, "Size of these objects, compressed.")
WRITE_TIME = Metric("archive_write_seconds", "histogram", (), "Time that packing and writing an object took.")
FAILURES = Metric(
    "archive_failures_total",
    "counter",
    ("error",),
    "Times that everything collected was let go of to be read again, by the class of error: the store or Kafka did not "
    "answer, or another worker had taken over.",
)
LAG = Metric("archive_lag_records", "gauge", _PARTITION, "Records that no object holds yet, those collected included.")
OPEN_RECORDS = Metric("archive_open_records", "gauge", _PARTITION, "Records collected for the next object.")
OPEN_BYTES = Metric("archive_open_bytes", "gauge", _PARTITION, "Memory that they take, about.")
OPEN_AGE = Metric(
    "archive_open_seconds", "gauge", _PARTITION, "Since the first of them was read; absent when there are none."
)
LOST = Metric(
    "archive_lost_records",
    "gauge",
    _PARTITION,
    "Records that Kafka had removed before they were archived, as found when this worker took the partition.",
)
LEFT_OUT = Metric("archive_partitions_left_out", "gauge", (), "Partitions whose archive does not fit their topic.")

METRICS = (OBJECTS, RECORDS, BYTES, WRITE_TIME, FAILURES, LAG, OPEN_RECORDS, OPEN_BYTES, OPEN_AGE, LOST, LEFT_OUT)


class LaneSample(Struct, frozen=True, kw_only=True):
    """One partition at one moment.

    Attributes:
        topic: whose it is.
        partition: which one.
        lag: records that no object holds yet; None: Kafka has not said where the partition ends.
        records: collected for the next object.
        bytes: the memory they take.
        opened: when the first of them was read, by the archiver's clock; None: there are none.
        lost: records that were gone before they were archived.
    """

    topic: str
    partition: int
    lag: int | None
    records: int
    bytes: int
    opened: float | None
    lost: int


class ArchiveMetrics:
    """Counts what one archiver does; the gauges show what it said last of itself.

    Args:
        registry: where the metrics are added.
        now: the archiver's clock, in seconds.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.monotonic) -> None:
        self._objects = _counter(OBJECTS, registry)
        self._records = _counter(RECORDS, registry)
        self._bytes = _counter(BYTES, registry)
        self._failures = _counter(FAILURES, registry)
        self._write_time = Histogram(WRITE_TIME.full_name, WRITE_TIME.about, registry=registry, buckets=BATCH_SECONDS)
        self._now = now
        self._lanes: Sequence[LaneSample] = ()
        self._left_out = 0
        registry.register(_Gauges(lambda: (self._lanes, self._left_out, self._now())))

    def written(self, collected: Collected, reason: Reason, seconds: float) -> None:
        """Count an object that is in the store."""
        topic = collected.name.topic
        self._objects.labels(topic, reason).inc()
        self._records.labels(topic).inc(collected.records)
        self._bytes.labels(topic).inc(len(collected.data))
        self._write_time.observe(seconds)

    def failed(self, error: Exception) -> None:
        """Count that everything collected was let go of."""
        self._failures.labels(type(error).__name__).inc()

    def shows(self, lanes: Sequence[LaneSample], left_out: int) -> None:
        """Have the gauges show these partitions, and how many are left out, until told otherwise."""
        self._lanes, self._left_out = lanes, left_out


class _Gauges(Collector):
    def __init__(self, look: Callable[[], tuple[Sequence[LaneSample], int, float]]) -> None:
        self._look = look

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that registering them asks for no values."""
        yield from (_family(metric) for metric in (*_GAUGES, OPEN_AGE, LEFT_OUT))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the values."""
        lanes, left_out, now = self._look()
        ages = {lane: None if lane.opened is None else max(0.0, now - lane.opened) for lane in lanes}
        for metric, value in (*_GAUGES.items(), (OPEN_AGE, ages.__getitem__)):
            family = _family(metric)
            for lane in lanes:
                if (found := value(lane)) is not None:
                    family.add_metric((lane.topic, str(lane.partition)), found)
            yield family
        family = _family(LEFT_OUT)
        family.add_metric((), left_out)
        yield family


_GAUGES: Mapping[Metric, Callable[[LaneSample], float | None]] = {
    LAG: lambda lane: lane.lag,
    OPEN_RECORDS: lambda lane: lane.records,
    OPEN_BYTES: lambda lane: lane.bytes,
    LOST: lambda lane: lane.lost,
}


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.about, labels=metric.labels)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.full_name, metric.about, metric.labels, registry=registry)
