"""docs/metrics.md, from the list of the metrics."""

from collections.abc import Iterator, Sequence

from streams.runtime.metrics import METRICS, Metric

INTRODUCTION = """<!-- Written by `python -m streams.documents` from streams/runtime/metrics.py. -->
# Metrics and health

A worker serves three pages once it has a port: `travelos worker ingest --port 9400`, or `worker.port`. With
`travelos run --port 9400` ingest is on 9400, deliver on 9401, the [source of changes](cdc-metrics.md) on 9402, sagas on
9403, [the archive](#the-archive) on 9404 and [erasure](#erasures) on 9405. They are served on the loopback
interface; where probes come from other machines (Kubernetes, Prometheus), set `TRAVELOS_WORKER_HOST=0.0.0.0` and keep
strangers away.

| page | 200 | 503 |
|---|---|---|
| `/live` | it makes progress, has nothing to do, or waits for something outside | it is stuck: restart it |
| `/ready` | it has its partitions (a spare worker: none) and their tables | it starts, restores, rebalances or stops |
| `/metrics` | always | |

`/live` and `/ready` answer with JSON that says why. All are answered by the event loop that does the work: no answer
means that something blocks it.

## Live, waiting, stuck
What has work and does not move an offset within `worker.patience_seconds` stalls. The log says so once, with `why` and,
where it can be told, the line of code (`where`); then once a minute; then that it moves again.

- `worker_stuck`, `/live` 503: an agent does not finish a batch, a finished offset is not committed, nothing is
  delivered although there is lag, a restore does not move, or a rebalance does not end within twice the patience.
- `worker_stuck`, `/live` does not answer: the event loop does not turn.
- `worker_waits`, `/live` 200: no broker is connected, or a store or something else that processing needs is away. A
  restart would not help.
- `worker_moves_again`: it is over.

A single batch that takes longer than the patience is taken for stuck: raise `worker.patience_seconds` where that is
normal.

```yaml
# Kubernetes; `travelos run --port 9400` does the same: it restarts a role that is not live three times
startupProbe: {httpGet: {path: /live, port: 9400}, failureThreshold: 30}
livenessProbe: {httpGet: {path: /live, port: 9400}, timeoutSeconds: 5, failureThreshold: 3}
readinessProbe: {httpGet: {path: /ready, port: 9400}}
```

## For any Faust user
```python
from streams.runtime.web import listen

app.serve(listen("127.0.0.1", 9400))  # before app.main()
```

`app.metrics.registry` is a `prometheus_client.CollectorRegistry` of this app alone; metrics of your own may be added to
it. `run.hold_up(reason, seconds)` tells that a run waits for something outside; an agent that raises `TryAgain` does so
by itself.

## All metrics
Units are base units. Labels are topics, partitions, agents, tables and classes of errors, never keys or messages.
Gauges are read when the page is asked for.
"""
DELIVERIES = """\
A worker of the deliver role has these, too. The ramp of the adaptive requests is
`stream_delivery_batch_limit_records`."""
SAGAS = """\
A worker of the sagas role has these. Alert on `stream_saga_alerts_total`, and on `stream_sagas_open{status="stuck"}`
above 0."""


CONFLICTS = """\
A worker of the ingest role has these where types of entities are [settled](conflicts.md); how soon stores hold what is
agreed is told by those of the deliver role. The three figures:

```promql
# conflicts per 1,000 claims: decisions of operators and what is read again are no claims
1000 * sum(rate(stream_conflict_claims_total{outcome=~"settled|taken back|undecided"}[5m]))
  / sum(rate(stream_conflict_claims_total{outcome=~"superseded|echo|applied|settled|taken back|undecided"}[5m]))
# seconds from a change until each store holds what is agreed: p99, and 0.5 for p50; all hold it after the slowest one's
histogram_quantile(0.99, sum by (le, store) (rate(stream_delivery_agreed_seconds_bucket[5m])))
# share of entities in agreement: of the others somebody has to decide
sum(stream_conflict_entities{state="agreed"}) / sum(stream_conflict_entities)
# and of those, the share that all stores hold: what the last sweep compared and found right
min(stream_verify_agreement)
```
`stream_conflict_agreement_seconds` is the part of that time until the writes lie in Kafka."""


ARCHIVE = """\
`travelos archive run --port 9404` has these and no others; so has `travelos run --port 9400`, four ports above that of
ingest. `/live` is 503 when its loop has not turned for ten minutes, which is as long as Kafka waits for it; `/ready` is
503 while it starts, and while the store or Kafka does not answer. Gauges are a second old at most. Alert on
`stream_archive_lag_records` that grows, and on `stream_archive_lost_records` and `stream_archive_partitions_left_out`
above 0."""


ERASURES = """\
`travelos erasure run --port 9405` has these; so has `travelos run --port 9400`, five ports above that of ingest.
`/live` is 503 when its loop has not turned for an hour, which is as long as Kafka waits for it; `/ready` is 503 while
it starts, and while Kafka does not answer. A store that is away makes erasures wait: alert on
`stream_erasures_oldest_seconds`, which counts from the request, long before the law does, and look at
`stream_erasure_steps_total{outcome="failed"}`. Gauges are of the persons of one worker: add up those of all; they are a
second old, or as old as the step that is under way. `stream_erasure_held` and `stream_erasure_held_back_total` are
those of workers of ingest; what waits is counted every ten seconds."""


KEYS = """\
Workers of ingest, deliver and erasure have these where they have [users' keys](sensitive-fields.md#keys). The store of
keys is away when `stream_keys_failures_total` rises; it is asked too much when `stream_keys_cache_misses_total` is much
of the hits: raise `keys.cache_entries`. Commands that end (`travelos keys rotate`, `travelos export`) serve nothing."""


VECTORS = """\
A worker of the ingest role has this. Where `from="model"` is most of it and a model is slow, raise
`embed.cache_entries`; see [enrichment](enrichment.md#vectors)."""


def metrics_page(
    *,
    deliveries: Sequence[Metric],
    sagas: Sequence[Metric],
    conflicts: Sequence[Metric],
    archive: Sequence[Metric],
    erasures: Sequence[Metric],
    keys: Sequence[Metric],
    vectors: Sequence[Metric],
) -> str:
    """Return the text of docs/metrics.md, with the metrics of these parts beside those of all workers."""
    parts = [INTRODUCTION, *_table(METRICS), "", "## Deliveries", DELIVERIES, "", *_table(deliveries)]
    parts += ["", "## Sagas", SAGAS, "", *_table(sagas)]
    parts += ["", "## Conflicts", CONFLICTS, "", *_table(conflicts)]
    parts += ["", "## The archive", ARCHIVE, "", *_table(archive)]
    parts += ["", "## Erasures", ERASURES, "", *_table(erasures)]
    parts += ["", "## Users' keys", KEYS, "", *_table(keys)]
    parts += ["", "## Vectors", VECTORS, "", *_table(vectors)]
    return "\n".join(parts) + "\n"


def _table(metrics: Sequence[Metric]) -> Iterator[str]:
    yield from ("| metric | kind | labels | meaning |", "|---|---|---|---|")
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        yield f"| `{one.full_name}` | {one.kind} | {labels} | {one.about} |"
