"""The coordinator of sagas on real state tables: what it decides, when that is durable, what comes twice."""

import gc
from collections.abc import Sequence
from typing import Any, cast

import pytest
from msgspec.structs import replace

from schemas.events import BookingMade
from schemas.reference import Place
from schemas.sagas import Reply, Request, SagaAlert, SagaStart, decode_saga_record, encode_saga_record
from schemas.writes import CacheWrite, Write, store_of
from streams.agents.events import EventPass
from streams.runtime.publisher import Outgoing, PublishFailed
from streams.runtime.records import Record
from streams.sagas.batch import Batch
from streams.sagas.declared import DECLARED
from streams.sagas.kinds import Kinds, begins
from streams.sagas.line import Turn
from tests.unit.agents.saga_world import AT, KINDS, PAID, World, pair, results


async def test_a_saga_is_completed_when_all_of_its_writes_are_done(world: World) -> None:
    start = pair()
    await world.take(world.start(start))
    assert results(world.sent()) == [("cache", "upsert", 500), ("search", "upsert", 500)]
    assert all(write.undo for write in world.sent())
    await world.done(start)
    told = world.told(start)
    assert told.status == "completed"
    assert [moment.what for moment in told.history] == ["began", "sent", "sent", "applied", "applied", "completed"]
    assert world.stage.state(world.tables.lines) == {}, "nothing of it is left but that it ended"


async def test_what_is_told_of_a_saga_lies_in_the_partition_of_its_subject(world: World) -> None:
    """Whatever partition its id has: a batch would else send a request for each."""
    await world.take(*[world.start(pair(subject=f"pair:{number}")) for number in range(8)])
    assert {one.partition for one in world.stage.of(world.catalogue.saga_log.name)} == {0}


async def test_a_refused_write_has_the_others_taken_back_by_what_their_stores_held(world: World) -> None:
    start = pair()
    live, found = (cast(Write, write) for write in start.writes.values())
    await world.take(
        world.start(start),
    )
    held = replace(live, op="upsert", version=321, undo=False)
    await world.take(
        world.receipt(start, live, "captured", held),
        world.receipt(start, live, "applied"),
        world.receipt(start, found, "rejected"),
    )
    assert results(world.compensations()) == [("cache", "upsert", 501)]
    await world.take(world.receipt(start, replace(live, version=501), "applied"))
    assert world.told(start).status == "compensated"


async def test_a_decision_is_durable_before_it_is_carried_out(world: World) -> None:
    await world.take(world.start(pair()))
    topics = [{record.topic for record in call} for call in world.stage.kafka.calls]
    assert topics.index({"lines-log"}) < next(i for i, found in enumerate(topics) if "writes.cache" in found)


async def test_what_was_decided_and_not_sent_is_sent_when_the_record_comes_again(world: World) -> None:
    start, kafka = pair(), world.stage.kafka
    record = world.start(start)

    def away(sent: Sequence[Outgoing]) -> Exception | None:
        return PublishFailed("away") if any(one.topic == "writes.cache" for one in sent) else None

    kafka.fails = away
    with pytest.raises(PublishFailed):
        await world.take(record)
    assert world.sent() == []
    kafka.fails = lambda _sent: None  # pyright: ignore[reportUnknownLambdaType]
    await world.take(record)
    assert results(world.sent()) == [("cache", "upsert", 500), ("search", "upsert", 500)]
    assert world.inputs()["start", "replayed"] == 1
    assert len(world.told(start).history) == 3, "nothing happened twice"


async def test_whoever_takes_a_partition_over_asks_again_for_what_has_no_end(world: World) -> None:
    start = pair()
    await world.take(world.start(start))
    await world.take(world.receipt(start, cast(Write, start.writes["live"]), "applied"))
    world.stage.kafka.calls.clear()
    world.coordinator = world.another()
    await world.later(0)
    assert results(world.sent()) == [("search", "upsert", 500)]


async def test_a_fact_that_is_told_twice_begins_one_saga(world: World) -> None:
    start = pair()
    await world.take(world.start(start), world.start(start))
    await world.done(start)
    await world.take(world.start(start))
    assert len(world.sent()) == 2
    assert {outcome: count for (name, outcome), count in world.inputs().items() if name == "start"} == {
        "taken": 1,
        "repeated": 1,
        "late": 1,
    }


async def test_receipts_that_come_twice_late_or_of_nothing_known_are_harmless_and_counted(world: World) -> None:
    start, stranger = pair(), pair(9, "pair:9")
    live = cast(Write, start.writes["live"])
    await world.take(world.start(start))
    await world.take(world.receipt(start, live, "applied"), world.receipt(start, live, "applied"))
    await world.take(world.receipt(stranger, live, "applied"))
    await world.take(world.receipt(start, cast(Write, start.writes["found"]), "applied"))
    await world.take(world.receipt(start, live, "superseded"))
    assert world.told(start).status == "completed"
    found = {outcome: count for (name, outcome), count in world.inputs().items() if name == "receipt"}
    assert found == {"taken": 2, "repeated": 1, "unknown": 1, "late": 1}


async def test_sagas_of_one_subject_run_one_after_the_other_in_the_order_of_their_versions(world: World) -> None:
    first, third, second = pair(500), pair(900), pair(700)
    await world.take(world.start(first), world.start(third), world.start(second))
    assert {write.version for write in world.sent()} == {500}
    assert world.told(third).status == "waiting"
    await world.done(first)
    assert {write.version for write in world.sent()} == {500, 700}
    await world.done(second)
    assert {write.version for write in world.sent()} == {500, 700, 900}


async def test_a_saga_is_sent_again_turned_back_and_told_of_when_its_time_has_come(world: World) -> None:
    start = pair()
    await world.later(0)  # the worker has taken the partition over
    await world.take(world.start(start))
    await world.later(999)
    assert len(world.sent()) == 2
    await world.later(1)
    assert len(world.sent()) == 4
    for _ in range(4):
        await world.later(4_000)
    alerts = [decode_saga_record(one.value, SagaAlert) for one in world.stage.of(world.catalogue.saga_alerts.name)]
    assert [alert.id for alert in alerts] == [start.id]
    assert world.told(start).status == "stuck"


async def test_timers_are_read_from_the_table_by_whoever_comes_after_a_killed_worker(world: World) -> None:
    await world.take(world.start(pair()))
    world.coordinator = world.another()
    await world.later(0)
    before = len(world.sent())
    await world.later(1_000)
    assert len(world.sent()) == before + 2


async def test_ten_thousand_pending_timers_fire_when_they_are_due(world: World) -> None:
    await world.later(0)
    count = 10_000
    for first in range(0, count, 1_000):
        world.now += 1
        await world.take(*(world.start(pair(500, f"pair:{first + number}")) for number in range(1_000)))
    world.stage.kafka.calls.clear()
    world.now += 1_000
    await world.coordinator.fire()
    assert len({write.entity for write in world.sent()}) == count


async def test_an_operator_aborts_and_what_makes_no_sense_is_told_in_the_history(world: World) -> None:
    start = pair()
    await world.take(world.start(start))
    await world.take(world.command(start, "resume"))
    assert world.told(start).history[-1].what == "resume refused"
    await world.take(world.command(start, "abort"))
    assert world.told(start).status == "compensating"


async def test_what_waits_can_be_aborted_before_anything_of_it_was_written(world: World) -> None:
    first, second = pair(500), pair(700)
    await world.take(world.start(first), world.start(second), world.command(second, "abort"))
    assert world.told(second).status == "compensated"
    await world.done(first)
    assert {write.version for write in world.sent()} == {500}


async def test_a_saga_whose_definition_is_gone_is_told_of_and_waits_for_it(world: World) -> None:
    start = pair()
    await world.take(world.start(start), world.start(pair(700)))
    world.kinds = Kinds([])
    world.coordinator = world.another()
    await world.later(0)
    await world.later(1_000)
    (alert,) = world.stage.of(world.catalogue.saga_alerts.name)
    assert b"no saga 'pair' is defined here" in alert.value
    world.kinds = KINDS
    world.coordinator = world.another()
    await world.done(start)
    assert world.told(start).status == "completed"
    assert world.told(pair(700)).status == "started"


async def test_a_start_that_fits_no_definition_is_a_dead_letter_that_says_so(world: World) -> None:
    await world.take(world.start(replace(pair(), definition="unheard-of")))
    (letter,) = world.stage.letters()
    assert b"no saga 'unheard-of' is defined here" in dict(letter.headers)["__connect.errors.exception.message"]


async def test_a_step_may_be_a_request_to_somebody_outside(world: World) -> None:
    common: dict[str, Any] = {"version": 500, "source": "events", "event_id": "e", "occurred_at": AT}
    asked = Request(entity="payment:1", body={"cents": 700}, **common)
    live = CacheWrite(entity="paid:1", key="k", value=1, **common)
    start = begins(PAID, "paid:1", 500, "e", {"pay": asked, "live": live})
    await world.take(world.start(start))
    (request,) = world.stage.of("payments")
    assert world.sent() == []

    def reply(version: int, result: Any) -> Record:
        answer = Reply(entity="payment:1", version=version, result=result)
        return world.record("payments.done", "paid:1", encode_saga_record(answer), request.headers)

    await world.take(reply(500, "applied"))
    assert results(world.sent()) == [("cache", "upsert", 500)]
    await world.take(world.receipt(start, live, "rejected"))
    assert b'"op":"delete"' in world.stage.of("payments")[-1].value
    await world.take(reply(501, "applied"))
    assert world.told(start).status == "compensated"


async def test_ingest_hands_the_writes_of_a_saga_to_its_coordinator_and_history_to_the_warehouse(stage: Any) -> None:
    booking = BookingMade(
        event_id="e1", user_id="u1", occurred_at=AT, booking_id="b1", place_id="r1", starts_at=AT, guests=2
    )
    stage.reference.places.upsert(Place(id="r1", name="Ann's", kind="restaurant", city="Cambridge", lsn=1))
    ingest = stage.ingest(kinds=Kinds(DECLARED))
    await EventPass(ingest, "urgent").process([stage.event(booking, 0)])
    (begun,) = stage.of(stage.catalogue.saga_starts.name)
    start = decode_saga_record(begun.value, SagaStart)
    assert (begun.key, start.subject, start.urgent) == (b"booking:b1", "booking:b1", True)
    assert sorted(start.writes) == ["booked", "booking"]
    assert [store_of(write) for write in stage.writes()] == ["warehouse"]


async def test_what_a_timer_decided_and_could_not_send_is_asked_for_again_at_once(world: World) -> None:
    kafka = world.stage.kafka
    await world.take(world.start(pair()))
    world.stage.kafka.calls.clear()

    def away(sent: Sequence[Outgoing]) -> Exception | None:
        return PublishFailed("away") if any(one.topic == "writes.cache" for one in sent) else None

    kafka.fails = away
    await world.later(1_000)
    assert world.sent() == []
    kafka.fails = lambda _sent: None  # pyright: ignore[reportUnknownLambdaType]
    await world.later(0)
    assert results(world.sent()) == [("cache", "upsert", 500), ("search", "upsert", 500)]


async def test_nothing_of_a_batch_is_left_to_the_garbage_collector(world: World) -> None:
    start = pair()
    gc.disable()
    try:
        await world.take(world.start(start))
        await world.done(start)
        await world.later(0)
        left = [one for one in gc.get_objects() if isinstance(one, (Batch, Turn))]
    finally:
        gc.enable()
    assert left == [], "each would lie about with all that it holds, until a pause of some 50 ms"
