"""The metrics of deliveries, by store, for Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.clock import milliseconds, unpack
from schemas.writes import BaseWrite, StoreName
from streams.routing.entities import AGREED
from streams.runtime.metrics import BATCH_RECORDS, BATCH_SECONDS, Metric

OUTCOMES = ("applied", "superseded", "rejected", "retried", "deferred")

_STORE = ("store",)


WRITES = Metric(
    "delivery_writes_total", "counter", ("store", "outcome"), f"Writes by what became of them: {', '.join(OUTCOMES)}."
)
REQUEST_RECORDS = Metric("delivery_request_records", "histogram", _STORE, "Writes of a request that the store took.")
REQUEST_TIME = Metric("delivery_request_seconds", "histogram", _STORE, "Time that such a request took.")
FAILURES = Metric(
    "delivery_failures_total", "counter", ("store", "error"), "Requests that failed as a whole, by the class of error."
)
BATCH_LIMIT = Metric(
    "delivery_batch_limit_records",
    "gauge",
    _STORE,
    "Most writes of the next request: doubled while requests are fast, halved when they are slow.",
)
QUEUED = Metric("delivery_queue_records", "gauge", _STORE, "Writes that wait for a request, or for another try.")
QUEUED_BYTES = Metric("delivery_queue_bytes", "gauge", _STORE, "Size of these writes.")
IN_FLIGHT = Metric("delivery_in_flight_records", "gauge", _STORE, "Writes in requests that are under way.")
IN_FLIGHT_BYTES = Metric("delivery_in_flight_bytes", "gauge", _STORE, "Size of these writes.")
BREAKER = Metric(
    "delivery_breaker", "gauge", ("store", "state"), "1 for the state of the circuit breaker: closed, half-open, open."
)
OPERATOR_PAUSED = Metric("delivery_paused", "gauge", _STORE, "1 while `travelos sinks pause` holds.")
THROTTLED = Metric(
    "delivery_throttled_seconds_total", "counter", _STORE, "Time that requests waited for the store's rate limit."
)

AGREED_TIME = Metric(
    "delivery_agreed_seconds",
    "histogram",
    _STORE,
    "Time from a change in its source until the store held what sources have agreed on with it, by both clocks; "
    "without repairs. While a store is rebuilt it is as old as what is written.",
)

METRICS = (
    *(WRITES, REQUEST_RECORDS, REQUEST_TIME, FAILURES, THROTTLED, AGREED_TIME),
    *(BATCH_LIMIT, QUEUED, QUEUED_BYTES, IN_FLIGHT, IN_FLIGHT_BYTES, BREAKER, OPERATOR_PAUSED),
)


class StoreSample(Struct, frozen=True, kw_only=True):
    """The delivery to one store at one moment."""

    batch_limit: int
    queued: int
    queued_bytes: int
    in_flight: int
    in_flight_bytes: int
    breaker: str
    paused: bool


class DeliveryMetrics:
    """Counts what deliveries do; the gauges are read when somebody asks.

    Args:
        registry: where the metrics are added.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._writes = _counter(WRITES, registry)
        self._request_records = _histogram(REQUEST_RECORDS, BATCH_RECORDS, registry)
        self._request_time = _histogram(REQUEST_TIME, BATCH_SECONDS, registry)
        self._failures = _counter(FAILURES, registry)
        self._throttled = _counter(THROTTLED, registry)
        self._agreed_time = _histogram(AGREED_TIME, BATCH_SECONDS, registry)
        self._looks: dict[StoreName, Callable[[], StoreSample]] = {}
        registry.register(_Gauges(self._looks))

    def read_from(self, store: StoreName, look: Callable[[], StoreSample]) -> None:
        """Have the gauges of a store filled from `look`."""
        self._looks[store] = look

    def ended(self, store: StoreName, outcomes: Mapping[str, int]) -> None:
        """Count writes by what became of them."""
        for outcome, count in outcomes.items():
            self._writes.labels(store, outcome).inc(count)

    def agreed(self, store: StoreName, applied: Iterable[BaseWrite], at: datetime) -> None:
        """Note how long what sources have agreed on took to its store, of writes that the store took at a moment.

        The version of what is agreed has the time of the newest change in it.
        """
        at_ms = milliseconds(at)
        for write in applied:
            if write.source == AGREED and not write.repair:
                self._agreed_time.labels(store).observe(max(0, at_ms - unpack(write.version)[0]) / 1_000)

    def request(self, store: StoreName, writes: int, seconds: float) -> None:
        """Count a request that the store took."""
        self._request_records.labels(store).observe(writes)
        self._request_time.labels(store).observe(seconds)

    def throttled(self, store: StoreName, seconds: float) -> None:
        """Count time that a request waited for the rate limit."""
        self._throttled.labels(store).inc(seconds)

    def failed(self, store: StoreName, error: Exception) -> None:
        """Count a request that failed as a whole."""
        self._failures.labels(store, type(error).__name__).inc()


class _Gauges(Collector):
    def __init__(self, looks: Mapping[StoreName, Callable[[], StoreSample]]) -> None:
        self._looks = looks

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that registering them asks for no values."""
        yield from (_family(metric) for metric in (*_GAUGES, BREAKER))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the values."""
        samples = {store: look() for store, look in self._looks.items()}
        for metric, value in _GAUGES.items():
            family = _family(metric)
            for store, sample in samples.items():
                family.add_metric((store,), value(sample))
            yield family
        breaker = _family(BREAKER)
        for store, sample in samples.items():
            breaker.add_metric((store, sample.breaker), 1)
        yield breaker


_GAUGES: Mapping[Metric, Callable[[StoreSample], float]] = {
    BATCH_LIMIT: lambda sample: sample.batch_limit,
    QUEUED: lambda sample: sample.queued,
    QUEUED_BYTES: lambda sample: sample.queued_bytes,
    IN_FLIGHT: lambda sample: sample.in_flight,
    IN_FLIGHT_BYTES: lambda sample: sample.in_flight_bytes,
    OPERATOR_PAUSED: lambda sample: sample.paused,
}


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.about, labels=metric.labels)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.full_name, metric.about, metric.labels, registry=registry)


def _histogram(metric: Metric, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.full_name, metric.about, metric.labels, registry=registry, buckets=buckets)
