"""The coordinator of sagas when definitions change, lines grow too long, and workers are killed in the middle."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from msgspec.structs import replace

from schemas.receipts import Receipt
from schemas.sagas import Request, SagaAlert, decode_saga_record
from schemas.writes import Write
from streams.runtime.publisher import Outgoing, PublishFailed, Unpublishable
from streams.sagas import line
from streams.sagas.definition import Definition, Step
from streams.sagas.kinds import Kind, Kinds, begins
from tests.unit.agents.saga_world import AT, KINDS, PAID, PAIR, QUICK, World, pair

ANYTHING_GOES = lambda _sent: None  # noqa: E731 # pyright: ignore[reportUnknownLambdaType, reportUnknownVariableType]


def alerts(world: World) -> list[SagaAlert]:
    return [decode_saga_record(one.value, SagaAlert) for one in world.stage.of(world.catalogue.saga_alerts.name)]


async def test_how_a_saga_ended_is_durable_before_its_line_forgets_it(world: World) -> None:
    start, kafka = pair(), world.stage.kafka
    await world.take(world.start(start))
    await world.take(world.receipt(start, cast(Write, start.writes["live"]), "applied"))
    last = world.receipt(start, cast(Write, start.writes["found"]), "applied")

    def killed_in_between(sent: Sequence[Outgoing]) -> Exception | None:
        return PublishFailed("killed") if any(one.topic == "lines-log" for one in sent) else None

    kafka.fails = killed_in_between
    with pytest.raises(PublishFailed):
        await world.take(last)
    assert [record.key for record in world.stage.of("ended-log")] == [start.id.encode()]
    kafka.fails = ANYTHING_GOES
    world.coordinator = world.another()
    await world.take(last)
    assert world.told(start).status == "completed"


async def test_what_was_refused_is_a_dead_letter_before_others_of_its_subject_are_durable(world: World) -> None:
    good, bad, kafka = pair(), replace(pair(7), definition="unheard-of"), world.stage.kafka
    records = [world.start(bad), world.start(good)]

    def killed_before_outputs(sent: Sequence[Outgoing]) -> Exception | None:
        return PublishFailed("killed") if any(one.topic == "writes.cache" for one in sent) else None

    kafka.fails = killed_before_outputs
    with pytest.raises(PublishFailed):
        await world.take(*records)
    kafka.fails = ANYTHING_GOES
    world.coordinator = world.another()
    await world.take(*records)
    assert len(world.stage.letters()) >= 1


async def test_a_saga_that_has_lost_a_step_of_its_definition_waits_for_it_like_one_without_any(world: World) -> None:
    start = pair()
    await world.take(world.start(start))
    shorter = Definition(name="pair", steps=(Step(name="live", store="cache", patience=QUICK),), undo=QUICK)
    world.kinds = Kinds([Kind(definition=shorter, about="pair")])
    world.coordinator = world.another()
    await world.later(0)
    await world.later(1_000)
    (alert,) = alerts(world)
    assert "no saga 'pair' is defined here, or not with all of its steps" in alert.reason
    world.kinds = KINDS
    world.coordinator = world.another()
    await world.done(start)
    assert world.told(start).status == "completed"


async def test_a_request_whose_definition_is_gone_holds_up_no_other_saga(world: World) -> None:
    common: dict[str, Any] = {"version": 500, "source": "events", "event_id": "e", "occurred_at": AT}
    asked = Request(entity="payment:1", body={"cents": 700}, **common)
    await world.take(world.start(begins(PAID, "paid:1", 500, "e", {"pay": asked})))
    world.kinds = Kinds([Kind(definition=PAIR, about="pair")])
    world.coordinator = world.another()
    other = pair()
    await world.take(world.start(other))
    assert world.told(other).status == "started"
    assert world.stage.letters() == []


async def test_what_waits_and_lost_its_definition_meanwhile_waits_on_and_is_told_of_once(world: World) -> None:
    first, second = pair(500), pair(700)
    await world.take(world.start(first), world.start(second))
    found = world.kinds.definition

    class Changed(Kinds):
        """Knows how the first goes on, and would not begin another one."""

        def definition(self, name: str) -> Definition | None:
            return found(name) if self.known else None

        known = True

    world.kinds = changed = Changed([])
    world.coordinator = world.another()
    await world.take(world.receipt(first, cast(Write, first.writes["live"]), "applied"))
    last = world.receipt(first, cast(Write, first.writes["found"]), "applied")
    shorter = Definition(name="pair", steps=(Step(name="live", store="cache"), Step(name="found", store="graph")))
    changed.definition = lambda name: shorter  # pyright: ignore[reportAttributeAccessIssue]
    await world.take(last)
    assert world.told(first).status == "completed"
    (alert,) = alerts(world)
    assert alert.id == second.id
    await world.later(line.UNDEFINED_MS)
    assert len(alerts(world)) == 1
    world.kinds = KINDS
    world.coordinator = world.another()
    await world.later(0)
    await world.later(line.UNDEFINED_MS)
    await world.done(second)
    assert world.told(second).status == "completed"


async def test_whoever_aborts_one_that_cannot_begin_hears_of_the_next_one_that_cannot(world: World) -> None:
    first, second, third = pair(500), pair(700), pair(900)
    await world.take(*(world.start(one) for one in (first, second, third)))
    moved = Definition(name="pair", steps=(Step(name="live", store="cache"), Step(name="found", store="graph")))
    world.kinds = Kinds([Kind(definition=moved, about="pair")])
    world.coordinator = world.another()
    await world.done(first)
    await world.take(world.command(second, "abort"))
    assert [alert.id for alert in alerts(world)] == [second.id, third.id]


async def test_a_subject_for_which_too_much_waits_takes_no_more_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "WAITING_BYTES", 2_000)
    starts = [pair(500 + number) for number in range(10)]
    await world.take(*(world.start(start) for start in starts))
    letters = world.stage.letters()
    assert 0 < len(letters) < 9
    assert b"sagas wait for pair:1 already" in dict(letters[0].headers)["__connect.errors.exception.message"]
    for start in starts[: 10 - len(letters)]:
        await world.done(start)
        assert world.told(start).status == "completed"


async def test_one_subject_that_is_too_large_for_kafka_does_not_keep_the_timers_of_others_from_firing(
    world: World,
) -> None:
    large, other = pair(500, "pair:large"), pair(500, "pair:other")
    await world.later(0)
    await world.take(world.start(large), world.start(other))

    def too_large(sent: Sequence[Outgoing]) -> Exception | None:
        mine = any(one.topic == "lines-log" and one.key == b"pair:large" for one in sent)
        return Unpublishable("it is too large") if mine else None

    world.stage.kafka.fails = too_large
    world.stage.kafka.calls.clear()
    await world.later(1_000)
    assert {write.entity for write in world.sent()} == {"pair:other"}
    world.stage.kafka.calls.clear()
    await world.later(200)
    assert world.sent() == [], "it is not tried again at every look"


async def test_a_saga_past_its_deadline_turns_back_for_good_also_while_all_of_its_writes_are_under_way(
    world: World,
) -> None:
    slow = Definition(
        name="pair",
        steps=(Step(name="live", store="cache"), Step(name="found", store="search")),
        deadline_ms=5_000,
        undo=QUICK,
    )
    world.kinds = Kinds([Kind(definition=slow, about="pair")])
    world.coordinator = world.another()
    start = pair()
    await world.later(0)
    await world.take(world.start(start))
    await world.later(5_000)
    assert world.told(start).history[-1].what == "turned back"
    world.coordinator = world.another()
    await world.done(start)
    assert world.told(start).status == "stuck", "no store told what it held before"


async def test_a_command_about_a_saga_that_waits_is_answered(world: World) -> None:
    first, second = pair(500), pair(700)
    await world.take(world.start(first), world.start(second), world.command(second, "retry"))
    moment = world.told(second).history[-1]
    assert (moment.what, "it waits for its turn" in moment.detail) == ("retry refused", True)


async def test_a_superseded_write_counts_as_held_where_the_store_never_tells_what_it_held(world: World) -> None:
    start = pair()
    live = cast(Write, start.writes["live"])
    await world.take(world.start(start))
    told = Receipt(
        store="cache",
        entity=live.entity,
        version=500,
        source="events",
        event_id="e",
        result="superseded",
        at=AT,
        undo_unknown=True,
    )
    await world.take(world.told_by_store(start, told))
    await world.take(world.receipt(start, cast(Write, start.writes["found"]), "rejected"))
    (alert,) = alerts(world)
    assert "did not tell what it held before" in alert.reason
