"""What a worker's metrics say, and that each is named, labelled and documented as it should be."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from prometheus_client import generate_latest

from schemas.headers import ERROR_CLASS, ERROR_TOPIC
from streams.runtime.metrics import METRICS, PREFIX, Look, Metric, RuntimeMetrics, lag_seconds
from streams.runtime.progress import Oldest, PartitionSample, Sample, Stall, TableRestore, Verdict

NOW_MS = 1_000_000
IDLE = PartitionSample("t", 0, "work", committed=7, finished=7, position=7, end=7, answered=0.0)
BUSY = PartitionSample(
    *("t", 1, "work"),
    **dict[str, Any](
        position=20, end=50, oldest=Oldest(10, 19, NOW_MS - 4_000), open_runs=1, open_bytes=600, full=True
    ),
)


class Record(Struct):
    topic: str
    headers: Sequence[tuple[str, bytes | None]] = ()


def starved(topic: str, partition: int) -> float:
    return 3.5


def look(*partitions: PartitionSample, verdict: Verdict | None = None, **values: Any) -> Look:
    sample = msgspec.structs.replace(Sample("running", partitions), **values)
    return Look(sample, verdict or Verdict(), starved, NOW_MS)


def exposed(metrics: RuntimeMetrics) -> dict[str, float]:
    """Return every value by name, without the prefix, and labels, which are in the order of the alphabet."""
    lines = generate_latest(metrics.registry).decode().replace('"', "").splitlines()
    values = (line.removeprefix(PREFIX).rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in values}


def test_what_happens_is_counted_by_batch() -> None:
    metrics = RuntimeMetrics()
    metrics.delivered("in", 1_000)
    metrics.delivered("in", 5)
    metrics.processed("work", 1_000, 0.25)
    metrics.retried("work")
    metrics.committed()
    metrics.commit_failed()
    metrics.rebalanced()
    metrics.dead_lettered("in", "ValueError")
    metrics.published([Record("out"), Record("out"), Record("log")])
    values = exposed(metrics)
    assert values["records_in_total{topic=in}"] == 1_005
    assert (values["records_out_total{topic=out}"], values["records_out_total{topic=log}"]) == (2, 1)
    assert (values["batch_records_sum{agent=work}"], values["batch_records_count{agent=work}"]) == (1_000, 1)
    assert values["batch_seconds_sum{agent=work}"] == 0.25
    assert values["batch_seconds_bucket{agent=work,le=0.2}"] == 0
    assert values["batch_seconds_bucket{agent=work,le=0.5}"] == 1
    assert values["retries_total{agent=work}"] == values["dead_letters_total{error=ValueError,topic=in}"] == 1
    assert values["commits_total"] == values["commit_failures_total"] == values["rebalances_total"] == 1


def test_what_is_published_to_the_topic_of_dead_letters_counts_by_where_it_came_from_and_why() -> None:
    metrics = RuntimeMetrics("letters")
    letter = Record("letters", ((ERROR_TOPIC, b"in"), (ERROR_CLASS, b"InvalidEvent")))
    metrics.published([Record("out"), letter, letter, Record("letters")])
    values = exposed(metrics)
    assert values["dead_letters_total{error=InvalidEvent,topic=in}"] == 2
    assert values["dead_letters_total{error=,topic=}"] == 1
    assert values["records_out_total{topic=letters}"] == 3


def test_what_is_read_when_it_is_asked_for() -> None:
    metrics = RuntimeMetrics()
    seen = [look(IDLE)]
    metrics.read_from("group", lambda: seen[-1])
    values = exposed(metrics)
    assert values["committed_offset{partition=0,topic=t}"] == 7
    assert values["lag_records{partition=0,topic=t}"] == values["lag_seconds{partition=0,topic=t}"] == 0
    assert (values["live"], values["waiting"], values["restoring"]) == (1, 0, 0)
    assert values["worker_info{group=group}"] == 1
    seen.append(look(BUSY, unacknowledged=12, verdict=Verdict((Stall("why", 61),))))
    values = exposed(metrics)
    assert "committed_offset{partition=0,topic=t}" not in values  # the partition was taken away
    assert (values["lag_records{partition=1,topic=t}"], values["lag_seconds{partition=1,topic=t}"]) == (40, 4)
    assert (values["open_runs{partition=1,topic=t}"], values["open_bytes{partition=1,topic=t}"]) == (1, 600)
    assert values["partition_paused{partition=1,reason=bytes,topic=t}"] == 1
    assert (values["publisher_queue_records"], values["live"]) == (12, 0)


def test_a_partition_is_paused_for_the_reason_that_its_oldest_run_gives() -> None:
    metrics = RuntimeMetrics()
    held = PartitionSample("t", 0, "work", oldest=Oldest(0, 9, 0, held_up="the store is away"), full=True)
    metrics.read_from("group", lambda: look(held, verdict=Verdict((Stall("why", 61, waiting=True),))))
    values = exposed(metrics)
    assert values["partition_paused{partition=0,reason=held_up,topic=t}"] == 1
    assert (values["live"], values["waiting"]) == (1, 1)


def test_a_restore_is_told_by_table() -> None:
    metrics = RuntimeMetrics()
    restores = (TableRestore("counts", 12_000, 38_000), TableRestore("seen", 5, 0))
    metrics.read_from("group", lambda: look(state="restoring", restores=restores))
    values = exposed(metrics)
    assert values["restoring"] == 1
    assert (values["restore_done_records{table=counts}"], values["restore_remaining_records{table=counts}"]) == (
        12_000,
        38_000,
    )


@pytest.mark.parametrize(
    ("one", "seconds"),
    [
        (IDLE, 0.0),  # however old the last record of an idle topic is
        (BUSY, 4.0),
        (PartitionSample("t", 0, "work", position=7, end=9), 3.5),  # not fetched: its age is not known
        (PartitionSample("t", 0, "work", oldest=Oldest(0, 0, NOW_MS + 60_000)), 0.0),  # a producer's clock is ahead
    ],
)
def test_lag_in_seconds_is_the_age_of_the_oldest_record_that_is_not_finished(
    one: PartitionSample, seconds: float
) -> None:
    assert lag_seconds(one, look(one)) == seconds


def test_two_workers_of_a_process_share_nothing() -> None:
    one, other = RuntimeMetrics(), RuntimeMetrics()
    one.delivered("in", 1)
    assert "records_in_total{topic=in}" not in exposed(other)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_asks_and_its_labels_are_bounded(metric: Metric) -> None:
    assert re.fullmatch(r"stream_[a-z]+(_[a-z]+)*", metric.full_name)
    assert metric.name.endswith("_total") is (metric.kind == "counter")
    assert set(metric.labels) <= {"topic", "partition", "agent", "table", "error", "reason", "group"}
    assert metric.about.endswith(".")


def test_everything_that_is_exposed_is_in_the_list() -> None:
    metrics = RuntimeMetrics()
    metrics.read_from("group", lambda: look(IDLE))
    text = generate_latest(metrics.registry).decode()
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE") and "_created" not in line}
    assert named == {metric.full_name for metric in METRICS}
