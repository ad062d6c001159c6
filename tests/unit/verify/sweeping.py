"""A store beside the topic of its writes: sweep it, and repair it as `travelos verify --repair` does."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.sinks.contract import APPLIED, Sink
from schemas.writes import StoreName, Write
from streams.verify.lines import Finding, Kind
from streams.verify.repairs import can_be_repaired, origins_of, removals_of, repairs_of
from streams.verify.sweep import StoreReport, StoreSweep
from tests.unit.verify.kafka_stand_in import AT_MS, TopicInMemory


class SweptStore:
    """A store, open, and all that was ever written to it."""

    def __init__(self, store: StoreName, sink: Sink[Any], writes: Sequence[Write]) -> None:
        self.store: StoreName = store
        self.sink = sink
        self.topic = TopicInMemory(writes)

    def sweep(self, **options: Any) -> tuple[StoreSweep, StoreReport]:
        sweep = StoreSweep(self.store, self.sink, self.topic.again(), patience=0, pause=lambda _: None, **options)
        return sweep, sweep.run()

    def repair(self) -> None:
        """Send again what is wrong and can be put right, all of which the store has to take."""
        sweep, report = self.sweep()
        sent: list[Write] = []
        for finding in report.findings:
            if repairable(sweep, finding) and finding.entity not in sweep.surplus:
                origins = origins_of(sweep.expected.lines(finding.entity))
                sent += repairs_of(self.topic.records_at(origins), AT_MS)
        sent += removals_of(sweep.surplus, report.findings)
        outcomes = self.sink.write(sent)
        assert outcomes == [APPLIED] * len(sent), list(zip(sent, outcomes, strict=True))
        self.topic.add(sent)

    def assert_found(self, expected: Mapping[str, Kind]) -> None:
        findings = self.sweep()[1].findings
        assert {one.entity: one.kind for one in findings} == expected, (expected, findings)


def repairable(sweep: StoreSweep, finding: Finding) -> bool:
    return can_be_repaired(finding, sweep.expected.lines(finding.entity))


def found_and_repaired(
    store: StoreName,
    sink: Sink[Any],
    writes: Sequence[Write],
    by_hand: Mapping[str, tuple[Kind, Callable[[], object]]],
) -> None:
    """Assert that what is done to a store by its own client is found, with nothing else, and repaired.

    Args:
        store: which one.
        sink: it, open and empty.
        writes: what it is to hold.
        by_hand: by entity, as what it is to be found and what is done.
    """
    swept = SweptStore(store, sink, writes)
    assert sink.write(writes) == [APPLIED] * len(writes)
    swept.assert_found({})
    for _, hand in by_hand.values():
        hand()
    swept.assert_found({entity: kind for entity, (kind, _) in by_hand.items()})
    swept.repair()
    swept.assert_found({})
