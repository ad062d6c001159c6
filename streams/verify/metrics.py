"""The figures of a sweep, as a file for the textfile collector of Prometheus: the command ends with the sweep."""

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from streams.verify.lines import Kind
from streams.verify.sweep import StoreReport


def write_metrics(reports: Iterable[StoreReport], path: Path) -> None:
    """Write what the last sweep found; the file is replaced as a whole.

    Raises:
        OSError: it cannot be written.
    """
    registry = CollectorRegistry()
    by_store = ("store",)
    compared = Gauge("stream_verify_compared", "entities that were compared", by_store, registry=registry)
    agreement = Gauge("stream_verify_agreement", "share of them that agree, 0 to 1", by_store, registry=registry)
    under_way = Gauge("stream_verify_under_way", "entities left out: writes on their way", by_store, registry=registry)
    unaccounted = Gauge("stream_verify_unaccounted", "held, and of no known write", by_store, registry=registry)
    whole = Gauge("stream_verify_all_known", "1 when all writes are known, else 0", by_store, registry=registry)
    repaired = Gauge("stream_verify_repaired", "findings that were repaired", by_store, registry=registry)
    seconds = Gauge("stream_verify_seconds", "how long the sweep took", by_store, registry=registry)
    failed = Gauge("stream_verify_failed", "1 when the store could not be asked", by_store, registry=registry)
    findings = Gauge("stream_verify_findings", "what is wrong", ("store", "kind"), registry=registry)
    for report in reports:
        compared.labels(report.store).set(report.compared)
        agreement.labels(report.store).set(report.agreement)
        under_way.labels(report.store).set(report.under_way)
        unaccounted.labels(report.store).set(report.unaccounted)
        whole.labels(report.store).set(not report.known_from)
        repaired.labels(report.store).set(len(report.repaired))
        seconds.labels(report.store).set(report.seconds)
        failed.labels(report.store).set(report.failed is not None)
        for kind in get_args(Kind):
            findings.labels(report.store, kind).set(sum(one.kind == kind for one in report.findings))
    write_to_textfile(str(path), registry)
