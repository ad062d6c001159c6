"""Every metric of a worker, named once, for Prometheus.

What happens is counted a batch at a time, in counters and histograms. What is (lag, offsets, a restore) is read when
somebody asks: a gauge costs nothing in between. Nothing is global: each worker has a registry of its own.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schemas.headers import ERROR_CLASS, ERROR_TOPIC
from streams.runtime.progress import PartitionSample, Sample, Verdict

PREFIX = "stream_"
BATCH_RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
BATCH_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metric(NamedTuple):
    """One metric: its name without the prefix, its kind, its labels, what it says."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str

    @property
    def full_name(self) -> str:
        """The name as it is exposed."""
        return PREFIX + self.name


def _partition(name: str, about: str) -> Metric:
    return Metric(name, "gauge", ("topic", "partition"), about)


RECORDS_IN = Metric(
    "records_in_total", "counter", ("topic",), "Records delivered to agents, those read again included."
)
RECORDS_OUT = Metric("records_out_total", "counter", ("topic",), "Records that the brokers acknowledged.")
BATCH_SIZE = Metric("batch_records", "histogram", ("agent",), "Records of a batch that an agent finished.")
BATCH_TIME = Metric("batch_seconds", "histogram", ("agent",), "Time from when an agent took a batch until it ended.")
RETRIES = Metric(
    "retries_total",
    "counter",
    ("agent",),
    "Attempts that are repeated because something outside was away or asked for it.",
)
DEAD_LETTERS = Metric(
    "dead_letters_total", "counter", ("topic", "error"), "Records set aside, by the topic they came from and the error."
)
COMMITS = Metric("commits_total", "counter", (), "Commits of offsets that succeeded.")
COMMIT_FAILURES = Metric("commit_failures_total", "counter", (), "Commits of offsets that were refused or failed.")
REBALANCES = Metric("rebalances_total", "counter", (), "Rebalances that this worker took part in.")

COMMITTED = _partition("committed_offset", "Where the partition is read on after a restart.")
LAG_RECORDS = _partition("lag_records", "Records that are in the log and not finished.")
LAG_SECONDS = _partition(
    "lag_seconds", "Age of the oldest record that is not finished, by its own timestamp; 0 when there is none."
)
OPEN_RUNS = _partition("open_runs", "Batches delivered and not finished.")
OPEN_BYTES = _partition("open_bytes", "Size of the values of these batches, for topics that are read in runs.")
PAUSED = Metric(
    "partition_paused",
    "gauge",
    ("topic", "partition", "reason"),
    "1 while no more is fetched. Reasons: bytes (as much as may be open is open), held_up (the same, and whoever works "
    "on it waits for something outside), and what the application pauses for: breaker, operator, deferred.",
)
RESTORING = Metric("restoring", "gauge", (), "1 while tables are read back from their changelogs.")
RESTORED = Metric(
    "restore_done_records",
    "gauge",
    ("table",),
    "Changelog offsets that the table has reached, those it had on disk included.",
)
RESTORE_LEFT = Metric("restore_remaining_records", "gauge", ("table",), "Changelog offsets still to be read.")
UNACKNOWLEDGED = Metric("publisher_queue_records", "gauge", (), "Records sent and not acknowledged yet.")
LIVE = Metric("live", "gauge", (), "0 when the worker is stuck, as /live says.")
WAITING = Metric("waiting", "gauge", (), "1 while something waits for brokers or a store that are away.")
INFO = Metric("worker_info", "gauge", ("group",), "Always 1; names the consumer group.")

METRICS = (
    *(RECORDS_IN, RECORDS_OUT, BATCH_SIZE, BATCH_TIME, RETRIES, DEAD_LETTERS, COMMITS, COMMIT_FAILURES, REBALANCES),
    *(COMMITTED, LAG_RECORDS, LAG_SECONDS, OPEN_RUNS, OPEN_BYTES, PAUSED),
    *(RESTORING, RESTORED, RESTORE_LEFT, UNACKNOWLEDGED, LIVE, WAITING, INFO),
)


class Published(Protocol):
    """A record that was published."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102


class RuntimeMetrics:
    """Counts what a worker does. Each method is called once a batch, or less often.

    Args:
        dead_letters: the topic of dead letters, if there is one; what is published there counts as such, with the topic
            and the error that its headers name (those of Kafka Connect's error reporter).
    """

    def __init__(self, dead_letters: str | None = None) -> None:
        self._letters = {dead_letters} if dead_letters is not None else set[str]()
        self.registry = CollectorRegistry()
        self._records_in = self._counter(RECORDS_IN)
        self._records_out = self._counter(RECORDS_OUT)
        self._batch_size = self._histogram(BATCH_SIZE, BATCH_RECORDS)
        self._batch_time = self._histogram(BATCH_TIME, BATCH_SECONDS)
        self._retries = self._counter(RETRIES)
        self._dead_letters = self._counter(DEAD_LETTERS)
        self._commits = self._counter(COMMITS)
        self._commit_failures = self._counter(COMMIT_FAILURES)
        self._rebalances = self._counter(REBALANCES)

    def count_letters(self, topic: str) -> None:
        """Count what is published to one more topic as dead letters."""
        self._letters.add(topic)

    def delivered(self, topic: str, records: int) -> None:
        """Count records on their way to an agent."""
        self._records_in.labels(topic).inc(records)

    def published(self, records: Sequence[Published]) -> None:
        """Count a batch of records that were acknowledged, dead letters among them."""
        counts = Counts(map(attrgetter("topic"), records))
        for topic, count in counts.items():
            self._records_out.labels(topic).inc(count)
        if not self._letters.isdisjoint(counts):
            for record in records:
                if record.topic in self._letters:
                    headers = dict(record.headers)
                    self.dead_lettered(_text(headers.get(ERROR_TOPIC)), _text(headers.get(ERROR_CLASS)))

    def processed(self, agent: str, records: int, seconds: float) -> None:
        """Count a batch that an agent finished."""
        self._batch_size.labels(agent).observe(records)
        self._batch_time.labels(agent).observe(seconds)

    def retried(self, agent: str) -> None:
        """Count another attempt at a batch."""
        self._retries.labels(agent).inc()

    def dead_lettered(self, topic: str, error: str) -> None:
        """Count a record that was set aside; `error` is the name of a class, never a message."""
        self._dead_letters.labels(topic, error).inc()

    def committed(self) -> None:
        """Count a commit."""
        self._commits.inc()

    def commit_failed(self) -> None:
        """Count a commit that did not happen."""
        self._commit_failures.inc()

    def rebalanced(self) -> None:
        """Count a rebalance."""
        self._rebalances.inc()

    def read_from(self, group: str, look: "Callable[[], Look]") -> None:
        """Have the gauges filled from `look`, each time the metrics are asked for."""
        self.registry.register(_Gauges(group, look))

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.full_name, metric.about, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(metric.full_name, metric.about, metric.labels, registry=self.registry, buckets=buckets)


class Look(NamedTuple):
    """A worker at one moment, and what was made of it."""

    sample: Sample
    verdict: Verdict
    starved: Callable[[str, int], float]
    now_ms: int


class _Gauges(Collector):
    """The metrics of what is."""

    def __init__(self, group: str, look: Callable[[], Look]) -> None:
        self._group = group
        self._look = look

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics, so that registering them asks for no values."""
        yield from (_family(metric) for metric in METRICS if metric.kind == "gauge")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the values."""
        look = self._look()
        sample = look.sample
        families = {metric: _family(metric) for metric in METRICS if metric.kind == "gauge"}
        for one in sample.partitions:
            home = (one.topic, str(one.partition))
            if one.committed is not None:
                families[COMMITTED].add_metric(home, one.committed)
            families[LAG_RECORDS].add_metric(home, one.lag)
            families[LAG_SECONDS].add_metric(home, lag_seconds(one, look))
            families[OPEN_RUNS].add_metric(home, one.open_runs)
            families[OPEN_BYTES].add_metric(home, one.open_bytes)
            for reason in one.paused:
                families[PAUSED].add_metric((*home, reason), 1)
            if one.full and not one.paused:
                held_up = one.oldest is not None and one.oldest.held_up is not None
                families[PAUSED].add_metric((*home, "held_up" if held_up else "bytes"), 1)
        for table in sample.restores:
            families[RESTORED].add_metric((table.table,), table.restored)
            families[RESTORE_LEFT].add_metric((table.table,), table.remaining)
        families[RESTORING].add_metric((), sample.state == "restoring")
        families[UNACKNOWLEDGED].add_metric((), sample.unacknowledged)
        families[LIVE].add_metric((), look.verdict.live)
        families[WAITING].add_metric((), any(stall.waiting for stall in look.verdict.stalls))
        families[INFO].add_metric((self._group,), 1)
        yield from families.values()


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.full_name, metric.about, labels=metric.labels)


def _text(header: bytes | None) -> str:
    return "" if header is None else header.decode("utf-8", "replace")


def lag_seconds(one: PartitionSample, look: Look) -> float:
    """Return how old the oldest record of a partition is that is not finished; 0 when there is none.

    An idle topic has no lag, however old its last record is. While a record has not been fetched its age is not known:
    then it is the time since when nothing was delivered although there is something.
    """
    if one.oldest is not None:
        return max(0.0, (look.now_ms - one.oldest.timestamp_ms) / 1000)
    return look.starved(one.topic, one.partition) if one.lag else 0.0
