"""Events that wait for their place: parked, resumed whichever comes first, given up in the end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest

from schemas.events import PlaceVisited, TripStarted
from schemas.headers import ERROR_STAGE, SCHEMA, header_map
from schemas.reference import Place, ResumedEvent, WaitingEvent
from streams.agents.events import EventPass
from streams.agents.waiting import ResumedPass, WaitingRoom
from streams.runtime.publisher import Outgoing, PublishFailed, TryAgain

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOON_MS = 1_777_636_800_000
WAIT_MS = 60_000  # as in conftest.py
CAFE = Place(id="cafe", name="Cafe", kind="restaurant", city="Cambridge", lsn=1)


def visit(number: int = 1, place_id: str = "cafe") -> PlaceVisited:
    at = NOON + timedelta(seconds=number)
    return PlaceVisited(event_id=f"v{number}", user_id="ann", occurred_at=at, version=number, place_id=place_id)


def parked(stage: Any, offset: int, event: PlaceVisited, *, urgent: bool = False) -> Any:
    """Return the record that the pass over events makes of an event about an unknown place."""
    one = WaitingEvent(place_id=event.place_id, event=event, waiting_since_ms=NOON_MS, urgent=urgent)
    value = msgspec.json.encode(one)
    return stage.record(stage.catalogue.waiting_events.name, offset, event.place_id.encode(), value)


def arrived(stage: Any, offset: int, place: Place | None, key: str = "cafe") -> Any:
    value = None if place is None else msgspec.json.encode(place)
    return stage.record(stage.catalogue.reference_places.name, offset, key.encode(), value)


def resumed(stage: Any) -> list[ResumedEvent]:
    return [decoded(one) for one in stage.of(stage.catalogue.resumed_events.name)]


def decoded(one: Outgoing) -> ResumedEvent:
    return msgspec.json.decode(one.value or b"", type=ResumedEvent)


def fail(_: Sequence[Outgoing]) -> Exception:
    return PublishFailed("away")


def waits(stage: Any) -> list[str]:
    return [one.event.event_id for one in stage.state(stage.tables.waiting).values()]


async def test_an_event_waits_until_its_place_arrives_and_goes_back_under_its_travellers_key(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    await room.wait([parked(stage, 1, visit(1), urgent=True), parked(stage, 2, visit(2, "bar"))])
    assert resumed(stage) == []
    assert waits(stage) == ["v2", "v1"]

    await room.arrive([arrived(stage, 9, CAFE)])
    (back,) = stage.of(stage.catalogue.resumed_events.name)
    assert back.key == b"ann"
    assert resumed(stage) == [ResumedEvent(event=visit(1), place=CAFE, urgent=True)]
    assert waits(stage) == ["v2"]


async def test_an_event_that_comes_after_its_place_goes_back_at_once(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    await room.arrive([arrived(stage, 9, CAFE)])
    await room.wait([parked(stage, 1, visit())])
    assert resumed(stage) == [ResumedEvent(event=visit(), place=CAFE)]
    assert waits(stage) == []


async def test_whatever_the_order_each_event_goes_back_once_with_its_place(stage: Any) -> None:
    bar = Place(id="bar", name="Bar", kind="bar", city="Cambridge", lsn=2)
    for number, order in enumerate(permutations(range(4))):
        events = [visit(10 * number + one, place) for one, place in ((1, "cafe"), (2, "bar"))]
        steps = [
            ("wait", parked(stage, 2 * number, events[0])),
            ("wait", parked(stage, 2 * number + 1, events[1])),
            ("arrive", arrived(stage, 4 * number, CAFE)),
            ("arrive", arrived(stage, 4 * number + 1, bar, "bar")),
        ]
        room = WaitingRoom(stage.ingest())
        stage.kafka.calls.clear()
        for which in order:
            name, record = steps[which]
            await getattr(room, name)([record])
        assert sorted((one.event.event_id, one.place) for one in resumed(stage)) == sorted(
            zip([event.event_id for event in events], [CAFE, bar], strict=True)
        )
        await room.arrive([arrived(stage, 4 * number + 2, None), arrived(stage, 4 * number + 3, None, "bar")])


async def test_a_place_with_a_longer_id_is_another_place(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    await room.wait([parked(stage, 1, visit(1, "cafe-2"))])
    await room.arrive([arrived(stage, 1, CAFE)])
    assert waits(stage) == ["v1"]


async def test_an_event_about_a_place_that_was_deleted_waits_for_it_to_come_back(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    await room.arrive([arrived(stage, 1, CAFE), arrived(stage, 2, None)])
    await room.wait([parked(stage, 1, visit())])
    assert waits(stage) == ["v1"]


async def test_an_event_goes_on_without_its_place_when_it_has_waited_long_enough(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    await room.wait([parked(stage, 1, visit())])
    await room.give_up([0], NOON_MS + WAIT_MS - 1)
    assert resumed(stage) == []
    await room.give_up([0], NOON_MS + WAIT_MS)
    assert resumed(stage) == [ResumedEvent(event=visit(), place=None)]
    assert waits(stage) == []
    stage.kafka.calls.clear()
    await room.give_up([0], NOON_MS + 2 * WAIT_MS)
    assert stage.kafka.records == []


async def test_only_partitions_that_are_ours_are_given_up_on(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    await room.wait([parked(stage, 1, visit())])
    await room.give_up([], NOON_MS + 10 * WAIT_MS)
    assert waits(stage) == ["v1"]


@pytest.mark.parametrize("step", ["wait", "arrive", "give_up"])
async def test_what_goes_back_is_acknowledged_before_it_waits_no_more(stage: Any, step: str) -> None:
    room = WaitingRoom(stage.ingest())
    calls = {
        "wait": lambda: room.wait([parked(stage, 2, visit(2))]),
        "arrive": lambda: room.arrive([arrived(stage, 1, CAFE)]),
        "give_up": lambda: room.give_up([0], NOON_MS + WAIT_MS),
    }
    await room.wait([parked(stage, 1, visit())])
    if step == "wait":
        await room.arrive([arrived(stage, 1, CAFE)])
    before = stage.all_state()
    stage.kafka.calls.clear()
    stage.kafka.fails = fail
    with pytest.raises(TryAgain):
        await calls[step]()
    assert stage.all_state() == before
    stage.kafka.fails = lambda _: None  # pyright: ignore[reportUnknownLambdaType]
    await calls[step]()
    assert len(resumed(stage)) == 1
    topics = [{one.topic for one in call} for call in stage.kafka.calls]
    assert topics[0] == {stage.catalogue.resumed_events.name}


async def test_replays_send_back_the_same_again_and_leave_nothing_waiting(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    event, place = parked(stage, 1, visit()), arrived(stage, 1, CAFE)
    for step in (room.wait([event]), room.arrive([place]), room.wait([event]), room.arrive([place])):
        await step
    assert resumed(stage) == [ResumedEvent(event=visit(), place=CAFE)] * 2
    assert waits(stage) == []


@pytest.mark.parametrize(
    "value", [b"garbage", b'{"place_id": "\xff"}', pytest.param(b"[" * 100_000, id="nested"), None]
)
async def test_bytes_that_are_no_waiting_event_become_a_dead_letter_and_the_others_wait(
    stage: Any, value: bytes | None
) -> None:
    room = WaitingRoom(stage.ingest())
    bad = stage.record(stage.catalogue.waiting_events.name, 2, b"cafe", value)
    await room.wait([parked(stage, 1, visit(1)), bad, parked(stage, 3, visit(3))])
    (letter,) = stage.letters()
    assert letter.value == value
    assert header_map(letter.headers)[SCHEMA] == "WaitingEvent"
    assert waits(stage) == ["v1", "v3"]


async def test_bytes_that_are_no_place_become_a_dead_letter_and_the_others_arrive(stage: Any) -> None:
    room = WaitingRoom(stage.ingest())
    bad = stage.record(stage.catalogue.reference_places.name, 1, b"\xff", b'{"id": "\xff"}')
    await room.wait([parked(stage, 1, visit())])
    await room.arrive([bad, arrived(stage, 2, CAFE)])
    assert header_map(stage.letters()[0].headers)[ERROR_STAGE] == "decode"
    assert len(resumed(stage)) == 1


def back(stage: Any, offset: int, event: Any, place: Place | None, *, urgent: bool = False) -> Any:
    value = msgspec.json.encode(ResumedEvent(event=event, place=place, urgent=urgent))
    return stage.record(stage.catalogue.resumed_events.name, offset, event.user_id.encode(), value)


async def test_an_event_that_is_back_is_written_with_the_place_it_brings_in_its_own_lane(stage: Any) -> None:
    resume = ResumedPass(stage.ingest())
    await resume.process([back(stage, 1, visit(1), CAFE), back(stage, 2, visit(2), None, urgent=True)])
    lanes = {topic.name: lane for topic, _, lane in stage.catalogue.all_writes()}
    found = {
        (write.event_id, lane): write.body.get("place_name")
        for lane in ("normal", "urgent")
        for write in stage.writes("warehouse")
        if any(lanes.get(one.topic) == lane and write.entity.encode() == one.key for one in stage.kafka.records)
    }
    assert found == {("v1", "normal"): "Cafe", ("v2", "urgent"): None}


async def test_an_event_that_is_back_never_waits_again_and_is_not_taken_for_a_duplicate(stage: Any) -> None:
    events, resume = EventPass(stage.ingest(), "normal"), ResumedPass(stage.ingest())
    await events.process([stage.event(visit(), 1)])
    await resume.process([back(stage, 1, visit(), None)])
    assert len(stage.of(stage.catalogue.waiting_events.name)) == 1
    assert [write.entity for write in stage.writes("graph")] == ["VISITED:v1"]


async def test_an_event_that_is_back_moves_its_travellers_state_once_however_often_it_is_replayed(stage: Any) -> None:
    resume = ResumedPass(stage.ingest())
    start = TripStarted(event_id="s", user_id="ann", occurred_at=NOON, version=5, trip_id="t")
    batch = [back(stage, 1, start, None), back(stage, 2, visit(7), CAFE)]
    await resume.process(batch)
    state = stage.all_state()
    await resume.process(batch)
    assert stage.all_state() == state
    assert state["travellers"]["ann"].trip.trip_id == "t"


async def test_bytes_that_are_no_resumed_event_become_a_dead_letter_and_the_others_are_written(stage: Any) -> None:
    bad = stage.record(stage.catalogue.resumed_events.name, 1, b"ann", b'{"event": {"type": "\xff"}}')
    await ResumedPass(stage.ingest()).process([back(stage, 0, visit(1), CAFE), bad, back(stage, 2, visit(2), CAFE)])
    assert header_map(stage.letters()[0].headers)[SCHEMA] == "ResumedEvent"
    assert [write.entity for write in stage.writes("graph")] == ["VISITED:v1", "VISITED:v2"]
