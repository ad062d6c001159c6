"""The metrics of sagas, for Prometheus."""

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.sagas import SagaEntry
from streams.runtime.metrics import BATCH_SECONDS, Metric

# taken: it said something new. repeated: it said nothing new. replayed: read again after a crash. late: of a saga that
# has ended. unknown: of a saga that nobody knows. refused: it cannot be read, or fits no definition.
OUTCOMES = ("taken", "repeated", "replayed", "late", "unknown", "refused")

BEGUN = Metric("sagas_begun_total", "counter", ("definition",), "Sagas that have begun.")
ENDED = Metric(
    "sagas_ended_total", "counter", ("definition", "status"), "Sagas that are over: completed or compensated."
)
SECONDS = Metric("saga_seconds", "histogram", ("definition",), "Time from when a saga began until it was over.")
ALERTS = Metric("saga_alerts_total", "counter", ("definition",), "Sagas that somebody was told of.")
INPUTS = Metric(
    "saga_inputs_total",
    "counter",
    ("input", "outcome"),
    f"What coordinators read: start, receipt, reply, command; by what became of it: {', '.join(OUTCOMES)}.",
)
FIRED = Metric("saga_timers_fired_total", "counter", (), "Sagas that were looked at because their time had come.")
OPEN = Metric("sagas_open", "gauge", ("status",), "Sagas that are not over; waiting: for one of the same subject.")
TIMERS = Metric("saga_timers_pending", "gauge", (), "Times that are waited for.")

METRICS = (BEGUN, ENDED, SECONDS, ALERTS, INPUTS, FIRED, OPEN, TIMERS)


class SagaMetrics:
    """Counts what a coordinator does; the gauges are read when somebody asks.

    Args:
        registry: where the metrics are added.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._begun = _counter(BEGUN, registry)
        self._ended = _counter(ENDED, registry)
        self._alerts = _counter(ALERTS, registry)
        self._inputs = _counter(INPUTS, registry)
        self._fired = _counter(FIRED, registry)
        self._seconds = Histogram(
            SECONDS.full_name, SECONDS.about, SECONDS.labels, registry=registry, buckets=BATCH_SECONDS
        )
        self._registry = registry

    def read_from(self, look: Callable[[], tuple[Mapping[str, int], int]]) -> None:
        """Have the gauges filled from `look`: open sagas by status, pending timers."""
        self._registry.register(_Gauges(look))

    def inputs(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count what was read, by input and outcome."""
        for labels, count in counts.items():
            self._inputs.labels(*labels).inc(count)

    def begun(self, definitions: Counts[str]) -> None:
        """Count sagas that have begun."""
        for definition, count in definitions.items():
            self._begun.labels(definition).inc(count)

    def ended(self, entries: Sequence[SagaEntry]) -> None:
        """Count sagas that are over."""
        for labels, count in Counts((entry.definition, entry.status) for entry in entries).items():
            self._ended.labels(*labels).inc(count)
        histograms = {name: self._seconds.labels(name) for name in {entry.definition for entry in entries}}
        for entry in entries:
            histograms[entry.definition].observe((entry.at_ms - entry.began_ms) / 1_000)

    def alerted(self, definition: str) -> None:
        """Count an alert."""
        self._alerts.labels(definition).inc()

    def fired(self, count: int) -> None:
        """Count timers."""
        self._fired.inc(count)


class _Gauges(Collector):
    def __init__(self, look: Callable[[], tuple[Mapping[str, int], int]]) -> None:
        self._look = look

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that registering them asks for no values."""
        yield from (_family(OPEN), _family(TIMERS))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the values."""
        counts, pending = self._look()
        sagas, timers = _family(OPEN), _family(TIMERS)
        for status, count in counts.items():
            sagas.add_metric((status,), count)
        timers.add_metric((), pending)
        yield from (sagas, timers)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.full_name, metric.about, metric.labels, registry=registry)


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.about, labels=metric.labels)
