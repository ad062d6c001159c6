"""A coordinator of sagas on real state tables, what it reads, and what it sent."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from prometheus_client import CollectorRegistry

from schemas.receipts import Receipt, Result, encode_receipt
from schemas.sagas import SagaCommand, SagaEntry, SagaStart, decode_saga_record, encode_saga_record, saga_headers
from schemas.writes import CacheWrite, SearchWrite, Write, decode_write, store_of
from streams.agents.sagas import Coordinator, Tables
from streams.runtime.publisher import Publisher
from streams.runtime.records import Record
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.kinds import Kind, Kinds, begins
from streams.sagas.metrics import SagaMetrics

AT = datetime(2026, 11, 21, tzinfo=UTC)
QUICK = Patience(first_ms=1_000, longest_ms=4_000, attempts=2)
PAIR = Definition(
    name="pair",
    steps=(Step(name="live", store="cache", patience=QUICK), Step(name="found", store="search", patience=QUICK)),
    deadline_ms=60_000,
    undo=QUICK,
)
PAID = Definition(
    name="paid",
    steps=(
        Step(name="pay", store="outside", patience=QUICK, request_topic="payments", reply_topic="payments.done"),
        Step(name="live", store="cache", after=("pay",), patience=QUICK),
    ),
    undo=QUICK,
)

DECLARED = [Kind(definition=PAIR, about="pair"), Kind(definition=PAID, about="paid")]
KINDS = Kinds(DECLARED)


class World:
    """A coordinator, what it reads, and what it sent."""

    def __init__(self, stage: Any, tables: Tables) -> None:
        self.stage, self.catalogue, self.tables = stage, stage.catalogue, tables
        self.now = 1_000_000
        self.registry = CollectorRegistry()
        self.offsets: dict[str, int] = {}
        self.kinds = KINDS
        self.ours = [0]
        self.coordinator = self.another()

    def another(self) -> Coordinator:
        """Return a coordinator that takes over: it has the tables, and nothing in memory."""
        self.registry = CollectorRegistry()
        return Coordinator(
            catalogue=self.catalogue,
            publisher=cast(Publisher, self.stage.kafka),
            transactions=self.stage.transactions,
            tables=self.tables,
            kinds=self.kinds,
            metrics=SagaMetrics(self.registry),
            now_ms=lambda: self.now,
            ours=lambda: self.ours,
        )

    def record(self, topic: str, key: str, value: bytes, headers: Any = ()) -> Record:
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        return self.stage.record(topic, offset, key.encode(), value, headers=headers)

    def start(self, start: SagaStart) -> Record:
        return self.record(self.catalogue.saga_starts.name, start.subject, encode_saga_record(start))

    def receipt(self, start: SagaStart, write: Write, result: Result, undo: Write | None = None) -> Record:
        receipt = Receipt(
            store=store_of(write),
            entity=write.entity,
            version=write.version,
            source="events",
            event_id="e",
            result=result,
            at=AT,
            undo=undo,
        )
        return self.told_by_store(start, receipt)

    def told_by_store(self, start: SagaStart, receipt: Receipt) -> Record:
        topic = self.catalogue.saga_receipts.name
        return self.record(topic, start.subject, encode_receipt(receipt), saga_headers(start.id, start.subject))

    def command(self, start: SagaStart, action: Any) -> Record:
        command = SagaCommand(id=start.id, subject=start.subject, action=action, by="ann", at=AT)
        return self.record(self.catalogue.saga_commands.name, start.subject, encode_saga_record(command))

    async def take(self, *records: Record) -> None:
        await self.coordinator.process(records)

    async def done(self, start: SagaStart) -> None:
        for write in start.writes.values():
            await self.take(self.receipt(start, cast(Write, write), "applied"))

    async def later(self, ms: int) -> None:
        self.now += ms
        await self.coordinator.fire()

    def sent(self) -> list[Write]:
        return self.stage.writes()

    def compensations(self) -> list[Write]:
        topics = {self.catalogue.compensations(store).name for store in ("cache", "search")}
        return [decode_write(one.value) for one in self.stage.kafka.records if one.topic in topics]

    def told(self, start: SagaStart) -> SagaEntry:
        """Return what the log says last of a saga."""
        of_it = [one for one in self.stage.of(self.catalogue.saga_log.name) if one.key == start.id.encode()]
        return decode_saga_record(of_it[-1].value, SagaEntry)

    def inputs(self) -> dict[tuple[str, str], float]:
        """Return how many inputs had which outcome."""
        return {
            (sample.labels["input"], sample.labels["outcome"]): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "stream_saga_inputs_total"
        }


def pair(version: int = 500, subject: str = "pair:1") -> SagaStart:
    common: dict[str, Any] = {
        "entity": subject,
        "version": version,
        "source": "events",
        "event_id": f"e{version}",
        "occurred_at": AT,
    }
    writes = {"live": CacheWrite(**common, key="k", value=version), "found": SearchWrite(**common, name="n")}
    return begins(PAIR, subject, version, f"e{version}", writes)


def results(writes: Sequence[Write]) -> list[tuple[str, str, int]]:
    return [(store_of(write), write.op, write.version) for write in writes]
