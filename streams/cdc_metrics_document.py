"""docs/cdc-metrics.md, from the list of the metrics."""

from connectors.cdc.metrics import METRICS

INTRODUCTION = """<!-- Written by `python -m streams.documents` from connectors/cdc/metrics.py. -->
# Metrics and health of the source of changes

`travelos cdc run --port 9402` serves four pages, on the address `worker.host` (the loopback interface by default), and
so does `travelos run --port 9400`, two ports above that of ingest:

| page | 200 | 503 |
|---|---|---|
| `/live` | it works, or waits for a server | its loop has not turned for `worker.patience_seconds`: restart it |
| `/ready` | it streams or takes a snapshot | it connects, waits or stops |
| `/metrics` | always | |
| `/status` | always: everything as JSON, which `travelos cdc status --port 9402` prints | |

What an alert should look at: `cdc_connected` is 0 for minutes; `cdc_slot_safe_bytes` is small, or without a limit
`cdc_slot_retained_bytes` grows towards the size of the disk; `cdc_behind_source_milliseconds` grows;
`cdc_queue_records` stays at `cdc_queue_capacity_records`, then Kafka is slow.

With `source.notifications` (Debezium's `notification.enabled.channels=sink`) the topic `<prefix>.notification` tells
what happens to snapshots, in Debezium's form: `id`, `aggregate_type`, `type`, `additional_data` (texts, always with
`connector_name`), `timestamp`; with `source.schemas` they bring Debezium's schemas. Types:

- STARTED: before the slot is made; beside the stream ("Incremental Snapshot") once for all tables that wait.
  `data_collections` names the tables, as in most of what follows.
- IN_PROGRESS: a table is begun (`current_collection_in_progress`); beside the stream after each chunk that Kafka has,
  with `last_processed_key`. There is no `maximum_key`.
- TABLE_SCAN_COMPLETED: Kafka has a table (`scanned_collection`, `total_rows_scanned`, `status`: SUCCEEDED, EMPTY), or
  it cannot be read beside the stream (SQL_EXCEPTION, UNKNOWN_SCHEMA).
- COMPLETED: Kafka has all tables.
- ABORTED: the initial snapshot has ended before, and the next start reads what is left beside the stream; or a signal
  has stopped the tables that are named.
- SKIPPED: the source starts and reads nothing.
- PAUSED, RESUMED: beside the stream, by a signal.

`aggregate_type` is "Initial Snapshot" or "Incremental Snapshot"; the `id` of the latter is that of the signal that
asked for it. The aggregate "Slot" (WARNING) is ours: it tells, at most once a minute, that the server will soon remove
WAL that the slot needs.

Lag compares the clock of Postgres with ours. All values are since the start of the process. Labels are tables and ops,
never keys or values.

"""


def cdc_metrics_page() -> str:
    """Return the text of docs/cdc-metrics.md."""
    rows = [
        f"| `{one.full_name}` | {one.kind} | {', '.join(f'`{label}`' for label in one.labels)} | {one.debezium} "
        f"| {one.about} |"
        for one in METRICS
    ]
    heads = ["| metric | kind | labels | in Debezium | meaning |", "|---|---|---|---|---|"]
    return INTRODUCTION + "\n".join([*heads, *rows]) + "\n"
