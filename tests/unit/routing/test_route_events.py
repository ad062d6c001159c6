"""The table of rules for events: what goes where, and what holds of every write whatever the event."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    EVENT_TYPES,
    BaseEvent,
    BookingMade,
    Event,
    FriendAdded,
    FriendRemoved,
    GpsUpdate,
    MessageSent,
    PhotoTaken,
    PreferenceStated,
    TripEnded,
    TripStarted,
    event_name,
)
from schemas.reference import Place, Profile
from schemas.writes import (
    CacheWrite,
    GraphWrite,
    NodeRef,
    ObjectWrite,
    RelationalWrite,
    TimeSeriesWrite,
    VectorWrite,
    WarehouseWrite,
    Write,
    decode_write,
    encode_write,
    key_of,
    store_of,
)
from streams.enrichment.joins import Ends, Enriched
from streams.enrichment.places import Nearest
from streams.enrichment.track import GpsFacts, Segment, Stay
from streams.routing import table as rules
from streams.routing.document import writes_of
from streams.routing.entities import EVENTS, entity, escaped
from streams.routing.examples import FACTS, NOON, events
from streams.routing.meaning import Embedded, Vector, image_of, text_of
from streams.routing.table import TABLE, Rule, route

AWKWARD = st.text("aA:%3/", min_size=1, max_size=4)  # everything that escaping is about
MOMENTS = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - see `timezones`
PLACES = st.from_type(Place)
METRES = st.floats(0, 1e7)
ANY_EVENT = st.one_of([st.from_type(cast(type[Event], kind)) for kind in EVENT_TYPES])


@st.composite
def gps_facts(draw: st.DrawFn) -> GpsFacts:
    began, ended = sorted((draw(MOMENTS), draw(MOMENTS)))
    where = (draw(st.floats(-90, 90)), draw(st.floats(-180, 180)))
    stay = Stay(f"ann:{draw(st.integers(0, 9))}", "ann", began, ended, *where, fixes=3)
    way = Segment(f"ann:{draw(st.integers(0, 9))}", "ann", began, ended, *where, *where, draw(METRES), 1.0, 2.0, 5)
    return GpsFacts(
        "892a1072893ffff",
        heading=draw(st.none() | st.floats(0, 359)),
        distance_m=draw(st.none() | METRES),
        speed_mps=draw(st.none() | METRES),
        jump=draw(st.booleans()),
        late=draw(st.booleans()),
        stay=draw(st.none() | st.just(stay)),
        segment=draw(st.none() | st.just(way)),
    )


@st.composite
def embedded(draw: st.DrawFn) -> Embedded:
    """Draw an event with all that may be known about it."""
    event = draw(ANY_EVENT)
    event = msgspec.structs.replace(event, version=event.version >> 1)  # intake refuses larger ones
    enriched = Enriched(
        0,
        event,
        place=draw(st.none() | PLACES),
        profile=draw(st.none() | st.from_type(Profile)),
        active_trip=draw(st.none() | AWKWARD),
        gps=draw(gps_facts()) if isinstance(event, GpsUpdate) else None,
        nearest=draw(st.none() | st.builds(Nearest, PLACES, METRES)),
        ends=draw(st.none() | st.builds(Ends, PLACES, PLACES)),
    )
    has_meaning = text_of(event) is not None or image_of(event) is not None
    return Embedded(enriched, draw(st.none() | st.just(Vector(b"\x00\x00\x80?", "m"))) if has_meaning else None)


def simply(event: Event, **known: Any) -> Embedded:
    facts: dict[str, Any] = {"place": None, "profile": None, "active_trip": None, "gps": None, "nearest": None}
    has_meaning = text_of(event) is not None or image_of(event) is not None
    return Embedded(Enriched(0, event, **(facts | known)), Vector(b"\x00\x00\x80?", "m") if has_meaning else None)


def stamp(user: str = "ann", event_id: str = "e", version: int = 9) -> dict[str, Any]:
    return {"event_id": event_id, "user_id": user, "occurred_at": NOON, "version": version}


def test_every_type_of_event_has_rules_and_an_example() -> None:
    assert set(TABLE) == set(EVENT_TYPES)
    assert list(events()) == [event_name(cast(BaseEvent, kind)) for kind in EVENT_TYPES]
    assert all(rules.history in of_type for of_type in TABLE.values())


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_rule_writes_something_for_the_example_of_its_event_and_says_what(kind: type[BaseEvent]) -> None:
    example = events()[str(kind.__struct_config__.tag)]
    for rule in TABLE[kind]:
        assert writes_of(rule, example), rule
        assert len({store_of(write) for write in writes_of(rule, example)}) == 1, "a rule is about one store"
        assert rule.__doc__


# "route: ..." of the issue that built this, word for word.
@pytest.mark.parametrize(
    ("what", "stores"),
    [
        ("message_sent", {"vector", "relational"}),
        ("preference_stated", {"vector", "graph"}),
        ("trip_planned", {"relational", "vector"}),
        ("gps_update", {"timeseries", "cache", "graph"}),
        ("photo_taken", {"objects", "vector", "graph"}),
        ("friend_added", {"graph"}),
        ("friend_removed", {"graph"}),
        ("place_visited", {"graph"}),
        ("place_reviewed", {"vector", "graph"}),
        ("trip_started", {"cache", "relational"}),
        ("trip_ended", {"cache", "relational"}),
        ("booking_made", {"relational", "graph"}),
        ("booking_cancelled", {"relational", "graph"}),
        ("search_performed", set[str]()),
        ("urgent_request", {"relational", "cache"}),
        ("details_given", {"relational"}),
        ("erasure_requested", {"relational"}),
    ],
)
def test_each_fact_goes_to_the_stores_where_it_belongs_and_to_the_warehouse(what: str, stores: set[str]) -> None:
    assert {store_of(write) for write in route(events()[what])} == stores | {"warehouse"}


@given(embedded())
def test_the_same_event_always_gives_the_same_writes(one: Embedded) -> None:
    assert [encode_write(write) for write in route(one)] == [encode_write(write) for write in route(one)]


@given(embedded())
def test_every_write_carries_the_version_the_id_the_time_and_the_source_of_its_event(one: Embedded) -> None:
    """Twice the version: what takes a write back has the odd one after it, which no other event has."""
    event = one.enriched.event
    for write in route(one):
        assert (write.event_id, write.occurred_at) == (event.event_id, event.occurred_at)
        assert write.version == 2 * event.version
        assert write.source == EVENTS == "events"


@given(embedded())
def test_a_write_survives_its_way_through_kafka(one: Embedded) -> None:
    for write in route(one):
        assert decode_write(encode_write(write)) == write


@given(embedded())
def test_an_event_writes_each_entity_of_a_store_at_most_once(one: Embedded) -> None:
    named = [(store_of(write), write.entity) for write in route(one)]
    assert len(set(named)) == len(named)


@given(embedded())
def test_a_relation_is_keyed_as_the_node_it_begins_at(one: Embedded) -> None:
    for write in route(one):
        if isinstance(write, GraphWrite) and write.start is not None:
            node = GraphWrite(entity="any", version=1, source="s", event_id="e", occurred_at=NOON, node=write.start)
            assert key_of(write) == key_of(node)
        else:
            assert key_of(write) == write.entity


@given(st.lists(AWKWARD, min_size=1, max_size=3), st.lists(AWKWARD, min_size=1, max_size=3))
def test_different_parts_never_give_one_name(first: list[str], second: list[str]) -> None:
    assert (entity("k", *first) == entity("k", *second)) == (first == second)


@given(AWKWARD, AWKWARD, st.sampled_from(":/"))
def test_an_escaped_part_has_no_separator_and_says_what_it_was(first: str, second: str, separator: str) -> None:
    assert separator not in escaped(first, separator)
    assert (escaped(first, separator) == escaped(second, separator)) == (first == second)


# What an entity is, for each rule of the table: two events are about one entity when these are equal.
IDENTITY: dict[Rule, Callable[[Any], tuple[Any, ...]]] = {
    rules.conversation: lambda event: (event.event_id,),
    rules.message_row: lambda event: (event.event_id,),
    rules.taste: lambda event: (event.user_id, event.category, meant(event)),
    rules.likes: lambda event: (event.user_id, event.category, meant(event)),
    rules.visited: lambda event: (event.event_id,),
    rules.opinion: lambda event: (event.user_id, event.place_id),
    rules.reviewed: lambda event: (event.user_id, event.place_id),
    rules.itinerary: lambda event: (event.trip_id,),
    rules.plan_row: lambda event: (event.trip_id,),
    rules.start_row: lambda event: (event.trip_id,),
    rules.end_row: lambda event: (event.trip_id,),
    rules.trip_begins: lambda event: (event.user_id,),
    rules.trip_is_over: lambda event: (event.user_id,),
    rules.booking_row: lambda event: (event.booking_id,),
    rules.cancellation_row: lambda event: (event.booking_id,),
    rules.booked: lambda event: (event.booking_id,),
    rules.no_longer_booked: lambda event: (event.booking_id,),
    rules.took: lambda event: (event.photo_id,),
    rules.photo_file: lambda event: (event.photo_id,),
    rules.picture: lambda event: (event.photo_id,),
    rules.friendship: lambda event: tuple(sorted((event.user_id, event.friend_id))),
    rules.last_position: lambda event: (event.user_id,),
    rules.alarm: lambda event: (event.user_id,),
    rules.urgent_row: lambda event: (event.event_id,),
    rules.details_row: lambda event: (event.user_id,),
    rules.erasure_row: lambda event: (event.event_id,),
    rules.history: lambda event: (event.event_id,),
}


def meant(event: PreferenceStated) -> str:
    return event.value if event.category == "place" else event.value.strip().casefold()


@given(st.data())
def test_two_writes_of_a_rule_are_about_one_entity_exactly_when_they_mean_the_same(data: st.DataObject) -> None:
    example = data.draw(st.sampled_from(list(events().values())))
    kind = type(example.enriched.event)
    ids = [name for name in kind.__struct_fields__ if name.endswith("_id") or name == "value"]

    def draw() -> Embedded:
        given_ids = {name: data.draw(AWKWARD) for name in ids}
        if given_ids.get("friend_id") == given_ids["user_id"]:
            given_ids["friend_id"] += "a"
        event: Event = msgspec.structs.replace(example.enriched.event, **given_ids)
        trip = None if kind is TripEnded else given_ids.get("trip_id")
        return Embedded(msgspec.structs.replace(example.enriched, event=event, active_trip=trip), example.vector)

    first, second = draw(), draw()
    for rule in TABLE[kind]:
        if rule in IDENTITY:
            (one,), (other,) = writes_of(rule, first), writes_of(rule, second)
            same = IDENTITY[rule](first.enriched.event) == IDENTITY[rule](second.enriched.event)
            assert (one.entity == other.entity) == same, rule


def test_the_rules_without_such_an_identity_are_those_of_tracks() -> None:
    others = {rule for of_type in TABLE.values() for rule in of_type} - IDENTITY.keys()
    assert others == {rules.track, rules.travelled, rules.activity}


@given(AWKWARD, AWKWARD, AWKWARD, AWKWARD)
def test_two_photos_never_share_a_key_of_the_object_store(user: str, photo: str, other_user: str, other: str) -> None:
    first, second = (
        PhotoTaken(**stamp(one), photo_id=name, content_type="image/png", object_uri="s3://b/k")
        for one, name in ((user, photo), (other_user, other))
    )
    assert (rules.photo_key(first) == rules.photo_key(second)) == ((user, photo) == (other_user, other))
    assert rules.photo_key(first).count("/") == 2


@given(st.lists(AWKWARD, min_size=2, max_size=2, unique=True))
def test_a_friendship_is_one_relation_whoever_says_it_and_whoever_ends_it(pair: list[str]) -> None:
    ann, bob = pair
    said: list[Event] = [
        FriendAdded(**stamp(ann), friend_id=bob),
        FriendAdded(**stamp(bob), friend_id=ann),
        FriendRemoved(**stamp(bob), friend_id=ann),
    ]
    added, again, removed = (graph(simply(event)) for event in said)
    assert (added.entity, added.start, added.end) == (again.entity, again.start, again.end)
    assert (removed.op, removed.entity, removed.start) == ("delete", added.entity, added.start)
    assert key_of(added) == key_of(again) == key_of(removed)
    assert removed.properties == {}


def test_one_cuisine_is_one_node_and_one_relation_however_it_is_spelled() -> None:
    first, second = (
        graph(simply(PreferenceStated(**stamp(), category="cuisine", value=value, strength=1.0)))
        for value in ("Italian", " italian")
    )
    assert first.end == second.end == NodeRef("Cuisine", "italian")
    assert first.entity == second.entity


def test_a_place_that_somebody_likes_is_the_node_of_that_place() -> None:
    liked = graph(simply(PreferenceStated(**stamp(), category="place", value="NYC-1", strength=1.0)))
    assert liked.end == NodeRef("Place", "NYC-1")


@pytest.mark.parametrize(("jump", "late"), [(True, False), (False, True), (True, True)])
def test_a_late_fix_or_a_jump_is_part_of_the_track_but_no_present_position(jump: bool, late: bool) -> None:
    fix = GpsUpdate(**stamp(), lat=1.0, lon=2.0)
    facts = GpsFacts("cell", jump=jump, late=late)
    found = route(simply(fix, gps=facts))
    assert [write for write in found if isinstance(write, CacheWrite)] == []
    (point,) = [write for write in found if isinstance(write, TimeSeriesWrite)]
    assert (point.fields["jump"], point.fields["late"]) == (jump, late)


def test_two_fixes_of_one_instant_in_two_positions_are_two_points_and_the_same_one_twice_is_one() -> None:
    def point(lat: float, event_id: str) -> TimeSeriesWrite:
        found = route(simply(GpsUpdate(**stamp(event_id=event_id), lat=lat, lon=2.0), gps=FACTS))
        (only,) = [write for write in found if isinstance(write, TimeSeriesWrite)]
        return only

    assert point(1.0, "a").time_ns // 1_000 == point(1.5, "b").time_ns // 1_000 == 1_777_636_800_000_000
    assert point(1.0, "a").entity != point(1.5, "b").entity
    assert point(1.0, "a").entity == point(1.0, "sent again").entity


def test_a_start_that_came_late_opens_no_trip_and_an_end_closes_none_while_another_one_is_active() -> None:
    start, end = TripStarted(**stamp(), trip_id="old"), TripEnded(**stamp(), trip_id="old")
    assert caches(simply(start, active_trip="new")) == []
    assert caches(simply(end, active_trip="new")) == []
    assert [write.op for write in caches(simply(start, active_trip="old"))] == ["upsert"]
    assert [write.op for write in caches(simply(end))] == ["delete"]


def test_an_event_without_a_vector_goes_everywhere_else() -> None:
    photo = PhotoTaken(**stamp(), photo_id="p", content_type="image/png", object_uri="s3://b/k")
    assert [type(write) for write in route(simply(photo))] == [ObjectWrite, GraphWrite, WarehouseWrite]


def test_the_bytes_of_a_photo_are_not_kept_in_the_warehouse() -> None:
    (history,) = [write for write in route(events()["photo_taken"]) if isinstance(write, WarehouseWrite)]
    assert "data" not in history.body


def test_the_warehouse_is_partitioned_by_the_day_in_utc() -> None:
    evening = datetime(2026, 5, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    message = MessageSent(
        event_id="e", user_id="u", occurred_at=evening, version=1, conversation_id="c", role="user", text="t"
    )
    (history,) = [write for write in route(simply(message)) if isinstance(write, WarehouseWrite)]
    assert history.day.isoformat() == "2026-05-02"


def test_what_is_known_of_the_place_and_the_trip_goes_along() -> None:
    place = Place(id="r", name="Roma", kind="restaurant", city="New York", lsn=1)
    booking = BookingMade(**stamp(), booking_id="b", place_id="r", starts_at=NOON, guests=2)
    (row,) = [
        write for write in route(simply(booking, place=place, active_trip="t")) if isinstance(write, RelationalWrite)
    ]
    assert (row.columns["place_name"], row.columns["trip_id"]) == ("Roma", "t")


def test_a_vector_says_whose_it_is_and_when() -> None:
    (found,) = [write for write in route(events()["message_sent"]) if isinstance(write, VectorWrite)]
    assert found.metadata["user_id"] == "ann"
    assert found.metadata["at"] == "2026-05-01T12:00:00Z"


def graph(one: Embedded) -> GraphWrite:
    (found,) = [write for write in route(one) if isinstance(write, GraphWrite)]
    return found


def caches(one: Embedded) -> list[Write]:
    return [write for write in route(one) if isinstance(write, CacheWrite)]
