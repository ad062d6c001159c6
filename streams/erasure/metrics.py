"""The metrics of erasures, for Prometheus: of the role that carries them out, and of ingest, which holds back."""

import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.erasures import Erasure, ErasureStep
from schemas.writes import StoreName
from streams.runtime.metrics import Metric

# done: the next step follows. waits: a store still holds something. failed: something is away, or refuses.
StepOutcome = Literal["done", "waits", "failed"]
Held = Literal["events", "rows"]
HeldOutcome = Literal["held", "released", "refused"]
STEP_SECONDS = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600)  # a step reads topics and rewrites stores

OPEN = Metric("erasures_open", "gauge", ("step",), "Erasures that are not over, by the step that is to be done next.")
OLDEST = Metric(
    "erasures_oldest_seconds", "gauge", (), "Since the oldest of them was asked for; absent when there are none."
)
BEGUN = Metric("erasures_begun_total", "counter", (), "Erasures that this worker has taken up.")
OVER = Metric("erasures_over_total", "counter", (), "Erasures that this worker has brought to their end.")
STEPS = Metric(
    "erasure_steps_total",
    "counter",
    ("step", "outcome"),
    f"Steps that were tried, by what they came to: {', '.join(get_args(StepOutcome))}.",
)
STEP_TIME = Metric("erasure_step_seconds", "histogram", ("step",), "Time that a step took, whatever it came to.")
DELETED = Metric("erasure_deletes_total", "counter", ("store",), "Deletes that were sent, those sent again included.")

METRICS = (OPEN, OLDEST, BEGUN, OVER, STEPS, STEP_TIME, DELETED)

HELD = Metric("erasure_held", "gauge", ("what",), "Events and rows that wait until their person is erased.")
SIEVED = Metric(
    "erasure_held_back_total",
    "counter",
    ("what", "outcome"),
    "Events and rows of persons who are erased, by what became of them: held; released or refused, also after they "
    "were held.",
)

HOLD_METRICS = (HELD, SIEVED)


class _Open(NamedTuple):
    steps: Mapping[ErasureStep, int]
    oldest: datetime | None


class ErasureMetrics:
    """Counts what one worker of the role does; the gauges show what it said last of itself.

    Args:
        registry: where the metrics are added.
        now: a clock, in seconds since 1970.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.time) -> None:
        self._begun = _counter(BEGUN, registry)
        self._over = _counter(OVER, registry)
        self._steps = _counter(STEPS, registry)
        self._deleted = _counter(DELETED, registry)
        self._seconds = Histogram(
            STEP_TIME.full_name, STEP_TIME.about, STEP_TIME.labels, registry=registry, buckets=STEP_SECONDS
        )
        self._now = now
        self._open = _Open({}, None)
        registry.register(_Gauges((OPEN, OLDEST), self._families))

    def began(self) -> None:
        """Count an erasure that was taken up."""
        self._begun.inc()

    def stepped(self, before: Erasure, after: Erasure, outcome: StepOutcome, seconds: float) -> None:
        """Count a step of an erasure that was tried."""
        self._steps.labels(before.step, outcome).inc()
        self._seconds.labels(before.step).observe(seconds)
        if after.step == "over":
            self._over.inc()

    def deleted(self, counts: Mapping[StoreName, int]) -> None:
        """Count deletes that were sent, by store."""
        for store, count in counts.items():
            self._deleted.labels(store).inc(count)

    def shows(self, erasures: Iterable[Erasure]) -> None:
        """Have the gauges show these erasures, until told otherwise."""
        going = [one for one in erasures if one.step != "over"]
        self._open = _Open(Counts(one.step for one in going), min((one.requested_at for one in going), default=None))

    def _families(self) -> Iterator[GaugeMetricFamily]:
        found, steps, oldest = self._open, _family(OPEN), _family(OLDEST)
        for step in get_args(ErasureStep):
            if step != "over":
                steps.add_metric((step,), found.steps.get(step, 0))
        if found.oldest is not None:
            oldest.add_metric((), max(0.0, self._now() - found.oldest.timestamp()))
        yield from (steps, oldest)


class HoldMetrics:
    """Counts what a worker of ingest holds back of persons who are erased, and what it refuses.

    Args:
        registry: where the metrics are added.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sieved = _counter(SIEVED, registry)
        self._held: Mapping[Held, int] = {}
        registry.register(_Gauges((HELD,), self._families))

    def sieved(self, what: Held, outcome: HeldOutcome, count: int) -> None:
        """Count events or rows."""
        if count:
            self._sieved.labels(what, outcome).inc(count)

    def shows(self, held: Mapping[Held, int]) -> None:
        """Have the gauge show that so many wait, until told otherwise."""
        self._held = dict(held)

    def _families(self) -> Iterator[GaugeMetricFamily]:
        family = _family(HELD)
        for what, count in self._held.items():
            family.add_metric((what,), count)
        yield family


class _Gauges(Collector):
    def __init__(self, metrics: Iterable[Metric], look: Callable[[], Iterator[GaugeMetricFamily]]) -> None:
        self._metrics, self._look = tuple(metrics), look

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that registering them asks for no values."""
        yield from map(_family, self._metrics)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the values."""
        yield from self._look()


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.full_name, metric.about, metric.labels, registry=registry)


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.about, labels=metric.labels)
