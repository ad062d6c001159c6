"""A batch of events, from bytes to outputs and state: what is published in which order, and what a crash leaves."""

import asyncio
import itertools
import struct
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.registry import RegistryUnavailable
from schemas.events import (
    Event,
    FriendAdded,
    GpsUpdate,
    MessageSent,
    PhotoTaken,
    PlaceVisited,
    PreferenceStated,
    TripEnded,
    TripStarted,
)
from schemas.headers import (
    CE_ID,
    ERROR_MESSAGE,
    ERROR_OFFSET,
    ERROR_STAGE,
    LOW_PRIORITY,
    SCHEMA,
    TRACEPARENT,
    Headers,
    header_map,
    without_error_headers,
)
from schemas.reference import Place, Profile, WaitingEvent
from schemas.writes import Write, decode_write, store_of
from streams.agents.events import EventPass
from streams.runtime.publisher import Outgoing, PublishFailed, TryAgain

EXAMPLES = itertools.count()
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CAFE = Place(id="cafe", name="Cafe", kind="restaurant", city="Cambridge", lsn=1, lat=52.2, lon=0.12)


def stamp(number: int, user: str = "ann") -> dict[str, Any]:
    return {
        "event_id": f"{user}-{number}",
        "user_id": user,
        "occurred_at": NOON + timedelta(seconds=number),
        "version": 1_000 + number,
    }


def message(number: int, user: str = "ann") -> MessageSent:
    return MessageSent(**stamp(number, user), conversation_id="c", role="user", text=f"hello {number}")


def fix(number: int, user: str = "ann", lat: float = 40.7) -> GpsUpdate:
    return GpsUpdate(**stamp(number, user), lat=lat, lon=-74.0)


def well(_: Sequence[Outgoing]) -> None: ...


def is_changelog(records: Sequence[Outgoing]) -> bool:
    return any(record.topic.endswith("-log") for record in records)


async def test_outputs_are_acknowledged_before_the_state_goes_to_its_changelog_and_into_the_table(stage: Any) -> None:
    waits: list[bool] = []

    def look(_: Sequence[Outgoing]) -> None:
        waits.append(bool(stage.tables.seen.store.partition(0).staged))

    stage.kafka.fails = look
    await EventPass(stage.ingest(), "normal").process([stage.event(fix(1), 7)])
    outputs, changelog = stage.kafka.calls
    assert not is_changelog(outputs)
    assert {one.topic for one in changelog} == {"seen-log", "travellers-log"}
    assert {one.partition for one in changelog} == {0}
    assert waits == [True, True]
    assert not stage.tables.seen.store.partition(0).staged
    assert stage.state(stage.tables.seen) == {"ann-1": 1_777_636_801_000}
    assert stage.state(stage.tables.travellers)["ann"].gps.last.lat == 40.7


@pytest.mark.parametrize("lost", ["outputs", "changelog"])
async def test_a_publish_that_fails_leaves_no_state_and_the_batch_does_the_same_when_it_comes_again(
    stage: Any, lost: str
) -> None:
    events = EventPass(stage.ingest(), "normal")
    batch = [stage.event(one, offset) for offset, one in enumerate([fix(1), fix(60), message(3)])]
    stage.kafka.fails = killed_at(lost)
    with pytest.raises(TryAgain):
        await events.process(batch)
    assert not any(stage.all_state().values())
    first = stage.kafka.records
    stage.kafka.calls.clear()
    stage.kafka.fails = well
    await events.process(batch)
    assert first in ([], stage.kafka.calls[0])
    assert len(stage.state(stage.tables.seen)) == 3


async def test_a_replay_after_the_state_was_stored_changes_no_state_and_loses_no_output(stage: Any) -> None:
    events = EventPass(stage.ingest(), "normal")
    batch = [stage.event(one, offset) for offset, one in enumerate([fix(1), fix(60), message(3)])]
    await events.process(batch)
    state, written = stage.all_state(), named(stage.writes())
    stage.kafka.calls.clear()
    await events.process(batch)
    assert stage.all_state() == state
    again = named(stage.writes())
    assert dict(again) == dict(written)  # the newest of each entity
    assert set(again) <= set(written)


async def test_a_duplicate_gives_nothing(stage: Any) -> None:
    events = EventPass(stage.ingest(), "normal")
    await events.process([stage.event(message(1), 1)])
    stage.kafka.calls.clear()
    await events.process([stage.event(message(1), 2)])
    assert stage.kafka.records == []


async def test_a_bad_record_becomes_a_dead_letter_as_it_was_beside_the_outputs_of_the_others(stage: Any) -> None:
    headers = [("trace", b"\xff"), ("empty", None)]
    bad = stage.record(
        stage.catalogue.gps_events.name, 5, b"ann", b'{"type": "gps_update", "lat": 95}', headers=headers
    )
    await EventPass(stage.ingest(), "normal").process([stage.event(fix(1), 4), bad, stage.event(fix(2), 6)])
    (letter,) = stage.letters()
    assert letter in stage.kafka.calls[0]
    assert (letter.key, letter.value) == (bad.key, bad.value)
    assert without_error_headers(letter.headers) == tuple(headers)
    said = header_map(letter.headers)
    assert (said[ERROR_STAGE], said[SCHEMA], said[ERROR_OFFSET]) == ("decode", "Event", "5")
    assert "$.lat" in said[ERROR_MESSAGE]
    assert len(stage.writes("timeseries")) == 2


async def test_urgent_events_go_to_the_urgent_lane_of_every_store(stage: Any) -> None:
    await EventPass(stage.ingest(), "urgent").process([stage.event(message(1), 1), stage.event(fix(2), 2)])
    catalogue = stage.catalogue
    lanes = {topic.name: lane for topic, _, lane in catalogue.all_writes()}
    assert {lanes[one.topic] for one in stage.kafka.calls[0]} == {"urgent"}


async def test_the_writes_of_an_event_of_low_priority_say_so_and_those_of_others_do_not(stage: Any) -> None:
    low = msgspec.structs.replace(stage.event(message(1), 1), headers=(LOW_PRIORITY,))
    await EventPass(stage.ingest(), "normal").process([low, stage.event(message(2), 2)])
    written = {decode_write(one.value).event_id: one.headers for one in stage.kafka.calls[0] if "writes." in one.topic}
    assert {name: tuple(headers) for name, headers in written.items()} == {
        message(1).event_id: (LOW_PRIORITY,),
        message(2).event_id: (),
    }


async def test_the_writes_of_an_event_carry_its_trace_context_on_and_nothing_else_of_its_headers(stage: Any) -> None:
    trace = (TRACEPARENT, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    traced = msgspec.structs.replace(stage.event(message(1), 1), headers=((CE_ID, b"e1"), trace))
    await EventPass(stage.ingest(), "normal").process([traced, stage.event(message(2), 2)])
    written = {decode_write(one.value).event_id: one.headers for one in stage.kafka.calls[0] if "writes." in one.topic}
    assert {name: tuple(headers) for name, headers in written.items()} == {
        message(1).event_id: (trace,),
        message(2).event_id: (),
    }


async def test_a_write_is_keyed_so_that_its_entity_keeps_its_order(stage: Any) -> None:
    friends = FriendAdded(**stamp(1, "zoe"), friend_id="ann")
    await EventPass(stage.ingest(), "normal").process([stage.event(friends, 1)])
    keys = {one.topic: one.key for one in stage.kafka.calls[0]}
    assert keys[stage.catalogue.writes("graph").name] == b"User:ann"
    assert keys[stage.catalogue.writes("warehouse").name] == b"event:zoe-1"


async def test_an_event_about_an_unknown_place_waits_under_the_places_key_and_writes_nothing_yet(stage: Any) -> None:
    visit = PlaceVisited(**stamp(1), place_id="cafe")
    await EventPass(stage.ingest(), "urgent").process([stage.event(message(0), 1), stage.event(visit, 2)])
    (parked,) = stage.of(stage.catalogue.waiting_events.name)
    assert parked.key == b"cafe"
    assert msgspec.json.decode(parked.value, type=WaitingEvent) == WaitingEvent(
        place_id="cafe", event=visit, waiting_since_ms=1_777_636_801_000, urgent=True
    )
    assert stage.writes("graph") == []
    assert "ann-1" in stage.state(stage.tables.seen)


async def test_an_event_goes_out_with_what_is_known_of_its_place_and_its_traveller(stage: Any) -> None:
    stage.reference.places.upsert(CAFE)
    stage.reference.profiles["ann"] = Profile(id="ann", name="Ann", lsn=1, home_city="Boston")
    start, visit = TripStarted(**stamp(1), trip_id="t"), PlaceVisited(**stamp(2), place_id="cafe")
    await EventPass(stage.ingest(), "normal").process([stage.event(start, 1), stage.event(visit, 2)])
    body = stage.writes("warehouse")[1].body
    assert (body["place_name"], body["home_city"], body["active_trip"]) == ("Cafe", "Boston", "t")


async def test_texts_and_pictures_of_a_batch_are_embedded_in_one_call_each(stage: Any) -> None:
    photo = PhotoTaken(**stamp(3), photo_id="p", content_type="image/png", data=b"png...")
    taste = PreferenceStated(**stamp(4), category="diet", value="vegan", strength=-0.5)
    batch = [stage.event(one, offset) for offset, one in enumerate([message(1), message(2), photo, taste, fix(5)])]
    await EventPass(stage.ingest(), "normal").process(batch)
    assert stage.texts.batches == [["hello 1", "hello 2", "dislikes diet: vegan"]]
    vectors = {write.entity: (write.values, write.model) for write in stage.writes("vector")}
    assert vectors["message:ann-2"] == (struct.pack("<2f", 1, 0), "length")
    assert vectors["photo:p"] == (struct.pack("<2f", 0, 1), "looks")


async def test_a_picture_that_cannot_be_read_is_stored_without_its_looks(stage: Any) -> None:
    photo = PhotoTaken(**stamp(1), photo_id="p", content_type="image/png", data=b"broken")
    await EventPass(stage.ingest(), "normal").process([stage.event(photo, 1)])
    assert [write.data for write in stage.writes("objects")] == [b"broken"]
    assert stage.writes("vector") == []
    assert stage.letters() == []


async def test_a_registry_is_asked_outside_the_loop_and_while_it_is_away_the_batch_stays(stage: Any) -> None:
    threads: list[bool] = []

    def unframe(value: bytes, headers: Headers = ()) -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        raise RegistryUnavailable("it is restarting")

    events = EventPass(stage.ingest(unframe=unframe), "normal")
    framed = stage.record(stage.catalogue.gps_events.name, 1, b"ann", b"\x00\x00\x00\x00\x2a{}")
    with pytest.raises(TryAgain, match="restarting"):
        await events.process([framed])
    assert threads == [False]
    assert stage.kafka.records == []


async def test_runs_of_several_topics_that_share_a_partition_do_not_mix(stage: Any) -> None:
    events = EventPass(stage.ingest(), "normal")
    batches = [[stage.event(message(1), 1)], [stage.event(fix(2), 1)], [stage.event(message(3, "bob"), 2)]]
    await asyncio.gather(*(events.process(batch) for batch in batches))
    outputs, changelogs = (
        [call for call in stage.kafka.calls if is_changelog(call) is changelog] for changelog in (False, True)
    )
    assert [len({one.key for one in call if one.topic == "seen-log"}) for call in changelogs] == [1, 1, 1]
    assert [msgspec.msgpack.decode(call[0].value)[0] for call in changelogs] == [
        {batch[0].topic: batch[0].offset} for batch in batches
    ]
    assert len(outputs) == 3


async def test_a_late_fix_or_a_jump_does_not_move_the_live_position_not_even_when_it_is_replayed_or_repeated(
    stage: Any,
) -> None:
    events = EventPass(stage.ingest(), "normal")
    here, late, jump = fix(100), fix(50, lat=40.69), fix(110, lat=-33.9)
    again = msgspec.structs.replace(jump, event_id="sent again", version=2_000)
    batch = [stage.event(one, offset) for offset, one in enumerate([here, late, jump, again])]
    await events.process(batch)
    for replayed in range(4):
        await events.process(batch[replayed:])
    assert {write.value["lat"] for write in stage.writes("cache")} == {40.7}


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Draw what a traveller does, some of it late, some of it far away, some of it twice."""
    events: list[Event] = []
    for number in range(draw(st.integers(1, 12))):
        at: dict[str, Any] = {**stamp(number), "occurred_at": NOON + timedelta(minutes=draw(st.integers(0, 90)))}
        match draw(st.integers(0, 5)):
            case 0:
                events.append(TripStarted(**at, trip_id=draw(st.sampled_from("ab"))))
            case 1:
                events.append(TripEnded(**at, trip_id=draw(st.sampled_from("ab"))))
            case 2 if events:
                events.append(draw(st.sampled_from(events)))
            case _:
                events.append(GpsUpdate(**at, lat=draw(st.sampled_from([40.7, 40.7001, 40.72, -33.9])), lon=-74.0))
    return events


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.data())
async def test_however_often_and_wherever_it_crashes_the_stores_and_the_state_end_the_same(
    stage: Any, history: list[Event], data: st.DataObject
) -> None:
    events = EventPass(stage.ingest(), "normal")
    number = next(EXAMPLES)  # each has travellers of its own
    calm, unlucky = (
        [
            stage.record("user-and-gps", 1_000 * number + offset, user.encode(), encoded(one, user), timestamp=1)
            for offset, one in enumerate(history)
        ]
        for user in (f"calm-{number}", f"unlucky-{number}")
    )
    stage.kafka.calls.clear()
    await events.process(calm)
    expected = folded(stage.writes(), f"calm-{number}")

    stage.kafka.calls.clear()
    committed = 0
    while committed < len(unlucky):
        end = data.draw(st.integers(committed + 1, len(unlucky)))
        fate = data.draw(st.sampled_from(["well", "outputs", "changelog", "offsets"]))
        stage.kafka.fails = killed_at(fate)
        try:
            await events.process(unlucky[committed:end])
        except TryAgain:
            continue
        finally:
            stage.kafka.fails = well
        if fate == "well":
            committed = end
    assert folded(stage.writes(), f"unlucky-{number}") == expected
    travellers = stage.state(stage.tables.travellers)
    assert travellers.get(f"unlucky-{number}") == travellers.get(f"calm-{number}")


def killed_at(fate: str) -> Callable[[Sequence[Outgoing]], Exception | None]:
    def fails(records: Sequence[Outgoing]) -> Exception | None:
        dead = fate == "outputs" or (fate == "changelog" and is_changelog(records))
        return PublishFailed("killed") if dead else None

    return fails


def encoded(event: Event, user: str) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(event, user_id=user, event_id=f"{user}:{event.event_id}"))


def folded(writes: list[Write], user: str) -> dict[tuple[str, str], Any]:
    """Return what stores that compare versions end up with, whoever the traveller is."""
    newest: dict[tuple[str, str], Write] = {}
    for write in writes:
        key = (store_of(write), write.entity)
        if key not in newest or write.version > newest[key].version:
            newest[key] = write
    text = msgspec.json.encode([(key, newest[key]) for key in sorted(newest)]).decode()
    return msgspec.json.decode(text.replace(user, "somebody"))


def named(writes: list[Write]) -> list[tuple[tuple[str, str], int]]:
    return [((store_of(write), write.entity), write.version) for write in writes]
