import contextlib
import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.producers.records import EventRecords
from schemas.clock import HybridClock
from schemas.events import (
    EVENT_TYPES,
    BookingCancelled,
    BookingMade,
    DetailsGiven,
    ErasureRequested,
    Event,
    FriendAdded,
    FriendRemoved,
    GpsUpdate,
    InvalidEvent,
    MessageSent,
    PhotoTaken,
    PlaceReviewed,
    PlaceVisited,
    PreferenceStated,
    SearchPerformed,
    TripEnded,
    TripPlanned,
    TripStarted,
    UrgentRequest,
    decode_event,
    event_name,
)
from schemas.headers import cloudevents_headers, header_map
from schemas.topics import Catalogue

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = "/apps/test"
NAMES_A_FIELD = re.compile(r"\$\.\w+|`\w+`")
BASE: dict[str, Any] = {"event_id": "e1", "user_id": "u1", "occurred_at": NOON}
MESSAGE = MessageSent(**BASE, conversation_id="c1", role="user", text="hello")
HELP = UrgentRequest(**BASE, category="lost", text="help")
EVENTS: list[Event] = [
    MESSAGE,
    HELP,
    PreferenceStated(**BASE, category="cuisine", value="thai", strength=0.5),
    PlaceVisited(**BASE, place_id="p1", rating=4, would_return=True, minutes=30),
    PlaceReviewed(**BASE, place_id="p1", rating=4, text="good"),
    TripPlanned(
        **BASE,
        trip_id="t1",
        title="Boston",
        destinations=["Boston"],
        starts_on=date(2026, 5, 1),
        ends_on=date(2026, 5, 4),
        place_ids=["p1"],
    ),
    TripStarted(**BASE, trip_id="t1"),
    TripEnded(**BASE, trip_id="t1"),
    BookingMade(**BASE, booking_id="b1", place_id="p1", starts_at=NOON, guests=2, amount=20.0, currency="EUR"),
    BookingCancelled(**BASE, booking_id="b1", reason="rain"),
    PhotoTaken(**BASE, photo_id="f1", content_type="image/png", data=b"\x89PNG", lat=1.0, lon=2.0),
    FriendAdded(**BASE, friend_id="u2"),
    FriendRemoved(**BASE, friend_id="u2"),
    SearchPerformed(**BASE, query="ramen", results=3),
    GpsUpdate(**BASE, lat=1.0, lon=2.0, accuracy=5.0, speed=1.0, heading=90.0, altitude=12.5),
    DetailsGiven(**BASE, email="ann@example.org", phone="+44 1223 1234", passport="AB1234567", home="geo:1.5,2"),
    ErasureRequested(**BASE),
]

# What code may put into a field, whatever its type says.
ANYTHING = st.one_of(
    st.text(max_size=5),
    st.text("\x00\x1f\x7f\n\xa0\u200b\ud800é", max_size=3),
    st.binary(max_size=5),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.just(NOON),
    st.just(NOON.replace(tzinfo=None)),
    st.just(date(2026, 3, 1)),
    st.just("a" * 200),
    st.sampled_from(["user", "cuisine", "medical", "image/png", "s3://bucket/key", "EUR", "2026-03-01"]),
    st.lists(st.text(max_size=3) | st.integers(), max_size=2),
    st.tuples(st.text(max_size=3)),
    st.just({"a": 1}),
    st.builds(object),
)


def records(clock: HybridClock | None = None) -> EventRecords:
    return EventRecords(Catalogue(prefix="blue."), SOURCE, clock or HybridClock(lambda: 1_000))


@pytest.mark.parametrize(
    ("event", "topic"),
    [
        (GpsUpdate(**BASE, lat=1, lon=2), "blue.gps-events"),
        (HELP, "blue.urgent-events"),
        (MESSAGE, "blue.user-events"),
        (ErasureRequested(**BASE), "blue.user-events"),
    ],
)
def test_the_type_of_an_event_chooses_its_topic_and_the_traveller_is_its_key(event: Event, topic: str) -> None:
    record = records().record(event)
    assert record[:2] == (topic, "u1")


def test_an_event_of_low_priority_goes_where_it_always_goes_and_says_so() -> None:
    topic, _, _, headers = records().record(MESSAGE, "low")
    assert topic == "blue.user-events"
    assert dict(headers)["priority"] == b"low"


def test_an_urgent_event_goes_to_the_urgent_lane_whatever_its_type_and_says_so() -> None:
    topic, _, _, headers = records().record(MESSAGE, "urgent")
    assert topic == "blue.urgent-events"
    assert dict(headers)["priority"] == b"urgent"


def test_a_trace_context_is_carried_along_only_when_given() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert dict(records().record(MESSAGE, traceparent=parent)[3])["traceparent"] == parent.encode()
    assert "traceparent" not in dict(records().record(MESSAGE)[3])


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 30)),  # noqa: DTZ001 - the zone is drawn beside it
    st.integers(-14 * 60, 14 * 60),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20),
)
def test_headers_are_those_of_schemas_headers(moment: datetime, minutes: int, event_id: str) -> None:
    zone = UTC if minutes == 0 else timezone(timedelta(minutes=minutes))
    occurred_at = (moment + timedelta(days=1)).replace(tzinfo=zone)
    event = PlaceVisited(event_id=event_id, user_id="u1", occurred_at=occurred_at, place_id="p1")
    given_out = [
        (name, value.encode() if isinstance(value, str) else value) for name, value in records().record(event)[3]
    ]
    expected = cloudevents_headers(
        event_id=event_id, event_type="place_visited", source=SOURCE, occurred_at=occurred_at
    )
    assert header_map(given_out) == header_map(expected)


def test_an_event_without_a_version_gets_the_clocks_next_one_and_is_otherwise_unchanged() -> None:
    maker = records()
    first, second = (decode_event(maker.record(MESSAGE)[2] or b"") for _ in range(2))
    assert (first.version, second.version) == (1_000 << 16, (1_000 << 16) + 1)
    assert MESSAGE.version == 0
    assert (first.event_id, first.user_id, first.occurred_at) == ("e1", "u1", NOON)


def test_a_version_that_is_given_is_kept_and_later_events_sort_after_it() -> None:
    maker = records()
    ahead = 1_005 << 16
    given_one = MessageSent(**BASE, version=ahead, conversation_id="c1", role="user", text="hello")
    assert decode_event(maker.record(given_one)[2] or b"") == given_one
    assert decode_event(maker.record(MESSAGE)[2] or b"").version > ahead


def test_an_invalid_event_leaves_the_clock_alone() -> None:
    clock = HybridClock(lambda: 1_000)
    with pytest.raises(InvalidEvent):
        records(clock).record(GpsUpdate(**BASE, lat=95, lon=0, version=1_005 << 16))
    assert clock.tick() == 1_000 << 16


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lat": 95.0}, "lat"),
        ({"lat": float("nan")}, "lat"),
        ({"lat": "42"}, "lat"),
        ({"accuracy": float("nan")}, "accuracy"),
        ({"speed": float("inf")}, "speed"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": b"u1"}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"event_id": "x" * 129}, "event_id"),
        ({"event_id": None}, "event_id"),
        ({"version": -1}, "version"),
        ({"version": 2**63}, "version"),
    ],
)
def test_an_invalid_field_is_named(changes: dict[str, Any], field: str) -> None:
    values: dict[str, Any] = {**BASE, "lat": 1.0, "lon": 2.0, **changes}
    with pytest.raises(InvalidEvent, match=rf"\$\.{field}"):
        records().record(GpsUpdate(**values))


@pytest.mark.parametrize("event", [{"type": "gps_update"}, None, "gps_update", b"{}"])
def test_something_that_is_no_event_is_refused(event: Any) -> None:
    with pytest.raises(InvalidEvent, match="Expected an event"):
        records().record(event)


def test_identifiers_of_all_languages_are_allowed() -> None:
    for user in ("渡辺", "Zoë", "a\u00a0b", "family \U0001f469\u200d\U0001f467"):  # the last two are not "printable"
        values: dict[str, Any] = {**BASE, "user_id": user}
        event = GpsUpdate(**values, lat=1, lon=2)
        assert decode_event(records().record(event)[2] or b"").user_id == user


@pytest.mark.parametrize("event", EVENTS, ids=event_name)
def test_every_valid_event_reaches_its_reader_unchanged(event: Event) -> None:
    read = decode_event(records().record(event)[2] or b"")
    assert msgspec.structs.replace(read, version=0) == event


def test_the_examples_cover_every_type() -> None:
    assert {type(event) for event in EVENTS} == set(EVENT_TYPES)


@given(st.data(), st.sampled_from(EVENTS))
def test_whatever_code_puts_into_an_event_it_is_refused_or_its_reader_gets_it(
    data: st.DataObject, event: Event
) -> None:
    fields = st.sampled_from(event.__struct_fields__)
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    values.update(data.draw(st.dictionaries(fields, ANYTHING, min_size=1, max_size=2)))
    changed: Any = None
    with contextlib.suppress(ValueError, TypeError):  # the event's own checks, which are tested with it
        changed = type(event)(**values)
    if changed is None:
        return
    try:
        _, key, value, _ = records().record(changed)
    except InvalidEvent as error:
        assert NAMES_A_FIELD.search(str(error))  # noqa: PT017 - refused is as good as accepted, if it says why
    else:
        read = decode_event(value or b"")
        assert (read.user_id, read.event_id) == (key, changed.event_id)
        assert changed.version in (0, read.version)
