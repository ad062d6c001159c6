"""Sweep the stores that the options name, and repair them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from connectors.archive.errors import ArchiveError
from connectors.kafka.errors import error_of
from connectors.kafka.reading import StoredRecord
from connectors.producers import EventProducer, ProducerError
from connectors.sinks.contract import Sink
from connectors.sinks.errors import SinkError
from connectors.sinks.kinds import UnknownKind
from schemas.writes import StoreName, Write, encode_write, key_of
from streams.app import group_of
from streams.archive.plan import plan_of, storage_of
from streams.delivery.opening import Opening
from streams.keys import keys_of
from streams.settings import Options
from streams.settings.load import without_login
from streams.stores import sink_of
from streams.verify.archived import ArchivedTopics
from streams.verify.history import WithArchive, Writes
from streams.verify.kafka_side import KafkaSide, topics_of
from streams.verify.lines import Finding, Origin
from streams.verify.repairs import can_be_repaired, origins_of, removals_of, repairs_of
from streams.verify.sweep import StoreReport, StoreSweep

SOURCE = "/travelos/verify"
REPAIRED_AT_ONCE = 200  # findings; their writes are in memory


class Plan:
    """How a sweep is done.

    Args:
        share: of the entities, 0 to 1.
        rate: most entities a second and store; 0: no limit.
        patience: seconds that deliveries are waited for before what looks wrong is looked at again.
        repair: whether to send again what is wrong.
    """

    def __init__(self, *, share: float = 1.0, rate: float = 0.0, patience: float = 30.0, repair: bool = False) -> None:
        self.share = share
        self.rate = rate
        self.patience = patience
        self.repair = repair


def sweep_stores(stores: Sequence[StoreName], options: Options, plan: Plan) -> list[StoreReport]:
    """Sweep stores side by side; see `sweep_store`."""
    try:
        keys = keys_of(options)
    except SinkError as error:
        return [StoreReport(store=store, failed=without_login(str(error))) for store in stores]
    with closing(keys) if keys is not None else nullcontext(), ThreadPoolExecutor(len(stores)) as threads:
        return list(threads.map(partial(sweep_store, options=options, plan=plan, opening=Opening(keys)), stores))


def sweep_store(store: StoreName, options: Options, plan: Plan, opening: Opening | None = None) -> StoreReport:
    """Compare one store with its writes, and repair it if that is planned; its report says why when it cannot be done.

    Other processes may deliver to the store meanwhile, and have to if it shall be repaired.
    """
    try:
        sink = sink_of(store, options)
        sink.open()
    except (SinkError, UnknownKind) as error:
        return StoreReport(store=store, failed=without_login(str(error)))
    try:
        return _swept(store, sink, options, plan, opening)
    except (SinkError, UnknownKind, ArchiveError, ProducerError) as error:
        return StoreReport(store=store, failed=without_login(str(error)))
    except KafkaException as error:
        return StoreReport(store=store, failed=f"kafka.bootstrap {options.kafka.bootstrap}: {error_of(error).str()}")
    finally:
        sink.close()


def _swept(store: StoreName, sink: Sink[Any], options: Options, plan: Plan, opening: Opening | None) -> StoreReport:
    connection, catalogue = options.kafka.connection(), options.catalogue()
    archive = _archive_of(store, options)
    kafka = KafkaSide(connection, catalogue, group_of("deliver", options), store)
    writes = kafka if archive is None else WithArchive(kafka, archive)
    sweep = StoreSweep(store, sink, writes, share=plan.share, opening=opening, rate=plan.rate, patience=plan.patience)
    try:
        report = sweep.run()
        sent = list(_repairable(sweep, report.findings)) if plan.repair else []
        if sent:
            with EventProducer(connection, catalogue, source=SOURCE) as producer:
                for write in _repairs(sweep, writes, sent):
                    producer.publish_raw(catalogue.writes(store).name, key_of(write).encode(), encode_write(write))
            before = report.findings
            report.findings = sweep.again({one.entity for one in before}, dict(sweep.surplus))
            left = {one.entity for one in report.findings}
            report.repaired = [one for one in before if one.entity not in left]
            report.under_way = sweep.expected.under_way()
        if plan.repair:
            report.left_alone = len(report.findings) - len(list(_repairable(sweep, report.findings)))
        return report
    finally:
        sweep.expected.close()
        kafka.close()
        if archive is not None:
            archive.close()


def _archive_of(store: StoreName, options: Options) -> ArchivedTopics | None:
    """Return the archive, open; None when no topic of the store's writes is in it by the options.

    Raises:
        UnknownKind: its store cannot be used.
        SinkError: its store does not answer.
    """
    if not plan_of(options).topics(topics_of(store, options.catalogue())):
        return None
    storage = storage_of(options)
    storage.open()
    return ArchivedTopics(storage)


def _repairable(sweep: StoreSweep, findings: Iterable[Finding]) -> Iterator[Finding]:
    return (one for one in findings if can_be_repaired(one, sweep.expected.lines(one.entity)))


def _repairs(sweep: StoreSweep, writes: Writes, findings: Sequence[Finding]) -> Iterator[Write]:
    """Yield the writes that are to be sent again, those of an entity in the order they came."""
    now_ms = time.time_ns() // 1_000_000
    entities = list(dict.fromkeys(one.entity for one in findings if one.entity not in sweep.surplus))
    for start in range(0, len(entities), REPAIRED_AT_ONCE):
        wanted = [
            origin
            for entity in entities[start : start + REPAIRED_AT_ONCE]
            for origin in origins_of(sweep.expected.lines(entity))
        ]
        found = {Origin(one.topic, one.partition, one.offset): one for one in writes.records_at(wanted)}
        records: list[StoredRecord] = [found[origin] for origin in wanted if origin in found]
        yield from repairs_of(records, now_ms)
    yield from removals_of(sweep.surplus, findings)
