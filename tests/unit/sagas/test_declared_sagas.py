"""The sagas that are declared here: what each can promise beyond what the machine does for all of them."""

import msgspec
import pytest

from schemas.sagas import SagaStart, SagaWrite
from streams.routing import examples
from streams.routing.changes import route_change
from streams.routing.table import route
from streams.sagas.declared import DECLARED
from streams.sagas.kinds import Kinds
from streams.sagas.machine import begin, undo_version
from streams.sagas.state import Saga

KINDS = Kinds(DECLARED)


def begun(start: SagaStart) -> Saga:
    definition = KINDS.definition(start.definition)
    assert definition is not None
    return begin(definition, start.id, start.event_id, start.writes, now_ms=0).saga


def started_by(name: str, version: int) -> SagaStart:
    """Return what an event of that version begins."""
    embedded = examples.events()[name]
    event = msgspec.structs.replace(embedded.enriched.event, version=version)
    enriched = msgspec.structs.replace(embedded.enriched, event=event)
    saga = KINDS.of_event(event, route(msgspec.structs.replace(embedded, enriched=enriched))).saga
    assert saga is not None
    return saga


@pytest.mark.parametrize("name", ["trip_planned", "booking_made", "booking_cancelled", "photo_taken"])
def test_what_takes_a_fact_back_is_older_than_the_fact_after_it(name: str) -> None:
    """Versions of producers may count by ones: the next fact was superseded by the compensation of the one before."""
    saga, after = begun(started_by(name, 5)), started_by(name, 6)
    for step in saga.steps:
        write: SagaWrite = after.writes[step.name]
        assert step.write.version < undo_version(step) < write.version


def test_a_place_leaves_the_graph_last_and_for_good() -> None:
    """With its node go the relations of travellers, which nobody could bring back."""
    change = examples.deletes()["public.restaurants"]
    routed = KINDS.of_change(change, route_change(change, None))
    assert routed.saga is not None
    definition = KINDS.definition(routed.saga.definition)
    assert definition is not None
    assert definition.step("node").kind == "pivot"
    saga = begun(routed.saga)
    assert {step.name for step in saga.steps if step.status == "waiting"} == {"node"}
