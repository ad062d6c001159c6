"""The metrics of users' keys, for Prometheus. They are read from the keys' own tally when somebody asks."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from connectors.keys import UserKeys
from streams.runtime.metrics import Metric

MADE = Metric("keys_made_total", "counter", (), "Keys that were made for users.")
OPENED = Metric("keys_opened_total", "counter", (), "Keys that were unwrapped with a master key, for a rotation too.")
DESTROYED = Metric("keys_destroyed_total", "counter", (), "Keys that were destroyed, those destroyed again included.")
HITS = Metric("keys_cache_hits_total", "counter", (), "Users whose key was remembered.")
MISSES = Metric("keys_cache_misses_total", "counter", (), "Users whose key the store was asked for.")
FAILURES = Metric(
    "keys_failures_total",
    "counter",
    ("error",),
    "Requests that failed, by the class of error: Unavailable (the store or KMS is away; it is tried again), Fatal.",
)

METRICS = (MADE, OPENED, DESTROYED, HITS, MISSES, FAILURES)


def register_keys(keys: UserKeys, registry: CollectorRegistry) -> None:
    """Have a registry show what becomes of keys."""
    registry.register(_Tally(keys))


class _Tally(Collector):
    def __init__(self, keys: UserKeys) -> None:
        self._keys = keys

    def describe(self) -> Iterator[CounterMetricFamily]:
        """Name the metrics, so that registering them asks for no values."""
        yield from map(_family, METRICS)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Read the values."""
        tally = self._keys.tally
        counts = ((MADE, tally.made), (OPENED, tally.opened), (DESTROYED, tally.destroyed))
        for metric, count in (*counts, (HITS, tally.hits), (MISSES, tally.misses)):
            family = _family(metric)
            family.add_metric((), count)
            yield family
        failures = _family(FAILURES)
        for error, count in tuple(tally.failures.items()):
            failures.add_metric((error,), count)
        yield failures


def _family(metric: Metric) -> CounterMetricFamily:
    return CounterMetricFamily(metric.full_name, metric.about, labels=metric.labels)
