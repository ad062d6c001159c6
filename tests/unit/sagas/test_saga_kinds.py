"""Which facts begin which sagas, with which of their writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import BookingMade, TripPlanned
from schemas.sagas import InvalidSagaRecord, SagaStart, decode_saga_record, encode_saga_record, saga_headers, saga_of
from schemas.writes import STORES, WarehouseWrite, store_of
from streams.routing import examples
from streams.routing.changes import route_change
from streams.routing.table import route
from streams.sagas.declared import DECLARED
from streams.sagas.definition import Definition, InvalidDefinition, Step
from streams.sagas.document import sagas_page
from streams.sagas.kinds import Kind, Kinds
from streams.sagas.load import SagasNotFound, kinds_of

KINDS = Kinds(DECLARED)
PAID = Kind(
    definition=Definition(
        name="paid_booking",
        steps=(
            Step(name="pay", store="outside", request_topic="payments.requests", reply_topic="payments.replies"),
            Step(name="booking", store="relational", entity="bookings", after=("pay",), deadline_ms=20_000),
        ),
    ),
    about="booking",
)
WRITES_BOOKINGS = Step(name="a", store="relational", entity="bookings")
OWN = [Kind(definition=Definition(name="own", steps=(Step(name="a", store="cache"),)), about="thing")]


@pytest.mark.parametrize(
    ("event", "steps"),
    [
        ("trip_planned", ["plan", "itinerary"]),
        ("booking_made", ["booking", "booked"]),
        ("booking_cancelled", ["booking", "booked"]),
        ("photo_taken", ["file", "picture", "taken"]),
        ("erasure_requested", ["request"]),
    ],
)
def test_the_writes_of_a_fact_are_those_of_its_saga_and_history_goes_at_once(event: str, steps: list[str]) -> None:
    embedded = examples.events()[event]
    routed = KINDS.of_event(embedded.enriched.event, route(embedded))
    assert [type(write) for write in routed.at_once] == [WarehouseWrite]
    assert routed.saga is not None
    assert sorted(routed.saga.writes) == sorted(steps)
    definition = KINDS.definition(event)
    assert definition is not None
    assert all(store_of(write) == definition.step(name).store for name, write in routed.saga.writes.items())


def test_an_event_that_begins_no_saga_has_all_of_its_writes_go_at_once() -> None:
    embedded = examples.events()["message_sent"]
    writes = route(embedded)
    assert KINDS.of_event(embedded.enriched.event, writes) == (writes, None)


def test_the_same_fact_begins_the_same_saga_however_often_it_is_told() -> None:
    embedded = examples.events()["booking_made"]
    event = embedded.enriched.event
    first, second = (KINDS.of_event(event, route(embedded)).saga for _ in range(2))
    assert first == second
    assert first is not None
    assert (first.subject, first.version) == ("booking:b-5", event.version)


def test_places_of_a_snapshot_are_no_facts_that_happen_now() -> None:
    for table, change in examples.inserts().items():
        routed = KINDS.of_change(change, route_change(change, examples.VECTOR))
        begins = table in {"public.places", "public.restaurants"} and change.change.op != "r"
        assert (routed.saga is not None) == begins, table
    for table, change in examples.deletes().items():
        routed = KINDS.of_change(change, route_change(change, None))
        assert (routed.saga is not None) == (table in {"public.places", "public.restaurants"})


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([*OWN, *OWN], "saga own: there are two of that name"),
        (
            [Kind(definition=OWN[0].definition, about="trip", events=(TripPlanned,), subject_field="nothing")],
            "saga own: TripPlanned has no field nothing",
        ),
        (
            [
                *DECLARED,
                Kind(definition=Definition(name="own", steps=(WRITES_BOOKINGS,)), about="table"),
            ],
            "saga own, step a: it writes bookings to relational, as does saga booking_made, which is about a booking",
        ),
        (
            [*DECLARED, Kind(definition=OWN[0].definition, about="b", events=(BookingMade,))],
            "saga own: the event booking_made begins the saga booking_made already",
        ),
    ],
)
def test_kinds_that_contradict_each_other_are_refused_by_name(kinds: list[Kind], said: str) -> None:
    with pytest.raises(InvalidDefinition, match=said):
        Kinds(kinds)


def test_a_step_outside_names_both_of_its_topics() -> None:
    with pytest.raises(InvalidDefinition, match="names `request_topic` and `reply_topic`"):
        Definition(name="paid", steps=(Step(name="pay", store="outside", request_topic="payments"),))


def test_sagas_of_other_projects_run_beside_ours() -> None:
    assert kinds_of([f"{__name__}:OWN"]).definition("own") is OWN[0].definition
    for wrong in ("nowhere:KINDS", f"{__name__}:NOTHING", f"{__name__}:STORES", "no colon"):
        with pytest.raises(SagasNotFound, match=r"sagas\.declared: "):
            kinds_of([wrong])


def test_a_page_shows_steps_compensations_and_states() -> None:
    page = sagas_page([PAID], "")
    assert "`payments.requests`, answered in `payments.replies`" in page
    assert "a request to take it back, after booking" in page
    assert "30 s to 600 s apart | that of the saga |" in page
    assert "30 s to 600 s apart | 20 s |" in page
    assert "stateDiagram-v2" in page
    assert "    pay --> booking: done" in page


@given(st.binary())
def test_whatever_the_bytes_are_nothing_else_is_raised(data: bytes) -> None:
    try:
        decode_saga_record(data, SagaStart)
    except InvalidSagaRecord:
        return


def test_a_start_survives_its_way_through_a_topic_and_its_headers_name_it() -> None:
    embedded = examples.events()["photo_taken"]
    saga = KINDS.of_event(embedded.enriched.event, route(embedded), urgent=True).saga
    assert saga is not None
    assert decode_saga_record(encode_saga_record(saga), SagaStart) == saga
    assert saga_of(saga_headers(saga.id, saga.subject)) == (saga.id.encode(), saga.subject.encode())
    assert saga_of([("saga", b"1")]) is None
    assert set(STORES) > {store_of(write) for write in saga.writes.values()}
