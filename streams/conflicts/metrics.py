"""The metrics of conflicts, for Prometheus."""

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.conflicts.known import Tally
from streams.runtime.metrics import BATCH_SECONDS, Metric

# superseded: older than what its source has said. echo: what is agreed already. applied: a later change. settled, taken
# back, undecided: a conflict. decided, not decided, late: what an operator decided. replayed: read again after a crash.
# forgotten: by a record without a value. refused: it cannot be read, or is no row of its table.
OUTCOMES = (
    *("superseded", "echo", "applied", "settled", "taken back", "undecided"),
    *("decided", "not decided", "late", "replayed", "forgotten", "refused"),
)

CLAIMS = Metric(
    "conflict_claims_total",
    "counter",
    ("type", "outcome"),
    f"Claims and decisions, by what became of them: {', '.join(OUTCOMES)}. Conflicts are those settled, taken back and "
    "undecided.",
)
SECONDS = Metric(
    "conflict_agreement_seconds",
    "histogram",
    ("type",),
    "Time from a change in its source until Kafka had the writes of what is agreed with it, by both clocks; of a "
    "decision, from when it was read.",
)
ENTITIES = Metric(
    "conflict_entities",
    "gauge",
    ("type", "state"),
    "Entities of this worker's partitions: agreed, or undecided while somebody has to decide.",
)

METRICS = (CLAIMS, SECONDS, ENTITIES)


class ConflictMetrics:
    """Counts what becomes of claims; the gauges are read when somebody asks.

    Args:
        registry: where the metrics are added.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._claims = Counter(CLAIMS.full_name, CLAIMS.about, CLAIMS.labels, registry=registry)
        self._seconds = Histogram(
            SECONDS.full_name, SECONDS.about, SECONDS.labels, registry=registry, buckets=BATCH_SECONDS
        )
        self._registry = registry

    def read_from(self, look: Callable[[], Mapping[str, Tally]]) -> None:
        """Have the gauges filled from `look`: tallies by type."""
        self._registry.register(_Entities(look))

    def took(self, outcomes: Counts[tuple[str, str]]) -> None:
        """Count claims by type and outcome."""
        for labels, count in outcomes.items():
            self._claims.labels(*labels).inc(count)

    def agreed(self, changes: Sequence[tuple[str, int]], now_ms: int) -> None:
        """Note how long changes took, given as their type and when they were made."""
        for name, at_ms in changes:
            self._seconds.labels(name).observe(max(0, now_ms - at_ms) / 1_000)


class _Entities(Collector):
    def __init__(self, look: Callable[[], Mapping[str, Tally]]) -> None:
        self._look = look

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metric, so that registering it asks for no values."""
        yield _family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the values."""
        family = _family()
        for name, tally in self._look().items():
            family.add_metric((name, "agreed"), tally.entities - tally.undecided)
            family.add_metric((name, "undecided"), tally.undecided)
        yield family


def _family() -> GaugeMetricFamily:
    return GaugeMetricFamily(ENTITIES.full_name, ENTITIES.about, labels=ENTITIES.labels)
