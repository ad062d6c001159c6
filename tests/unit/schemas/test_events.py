import contextlib
import json
import math
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    EVENT_NAMES,
    EVENT_TYPES,
    BaseEvent,
    BookingMade,
    Event,
    FriendAdded,
    GpsUpdate,
    InvalidEvent,
    MessageSent,
    PhotoTaken,
    TripPlanned,
    decode_event,
    encode_event,
    event_name,
)

EVENTS = st.one_of([st.from_type(cast(type[Event], kind)) for kind in EVENT_TYPES])
NOON = "2026-03-01T12:00:00Z"
GPS: dict[str, Any] = {
    "type": "gps_update",
    "event_id": "e1",
    "user_id": "u1",
    "occurred_at": NOON,
    "lat": 42.37,
    "lon": -71.11,
}
TRIP: dict[str, Any] = {
    "type": "trip_planned",
    "event_id": "e1",
    "user_id": "u1",
    "occurred_at": NOON,
    "trip_id": "t1",
    "title": "Boston",
    "destinations": ["Boston"],
    "starts_on": "2026-05-01",
    "ends_on": "2026-05-04",
}
BOOKING: dict[str, Any] = {
    "type": "booking_made",
    "event_id": "e1",
    "user_id": "u1",
    "occurred_at": NOON,
    "booking_id": "b1",
    "place_id": "p1",
    "starts_at": NOON,
    "guests": 2,
}
PHOTO: dict[str, Any] = {
    "type": "photo_taken",
    "event_id": "e1",
    "user_id": "u1",
    "occurred_at": NOON,
    "photo_id": "f1",
    "content_type": "image/png",
    "object_uri": "s3://photos/f1.png",
}


def as_json(fields: dict[str, Any], **changed: Any) -> bytes:
    return json.dumps({**fields, **changed}).encode()


def reason(data: bytes) -> str:
    with pytest.raises(InvalidEvent) as caught:
        decode_event(data)
    return str(caught.value)


def gps(**changed: Any) -> GpsUpdate:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    fields: dict[str, Any] = {"event_id": "e", "user_id": "u", "occurred_at": moment, "lat": 1.0, "lon": 2.0, **changed}
    return GpsUpdate(**fields)


@given(EVENTS)
def test_an_event_survives_encoding_and_decoding(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(EVENTS)
def test_an_encoded_event_names_its_type(event: Event) -> None:
    assert json.loads(encode_event(event))["type"] == event_name(event)


def test_the_names_are_those_of_the_issue() -> None:
    assert set(EVENT_NAMES) == {
        "message_sent", "preference_stated", "place_visited", "place_reviewed", "trip_planned", "trip_started",
        "trip_ended", "booking_made", "booking_cancelled", "photo_taken", "friend_added", "friend_removed",
        "search_performed", "gps_update", "urgent_request", "details_given", "erasure_requested",
    }  # fmt: skip


def test_fields_of_a_newer_producer_are_ignored() -> None:
    assert decode_event(as_json(GPS, satellites=7, fix={"kind": "3d"})) == decode_event(as_json(GPS))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_invalid(data: bytes) -> None:
    with pytest.raises(InvalidEvent):
        decode_event(data)


@given(st.data(), EVENTS)
def test_damaged_events_are_events_or_invalid(data: st.DataObject, event: Event) -> None:
    whole = encode_event(event)
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(start + 8, len(whole))))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    with contextlib.suppress(InvalidEvent):  # anything else is an error of the test
        decode_event(damaged)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not json", id="text"),
        pytest.param(b"\xff\xfe{}", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + as_json(GPS), id="byte order mark"),
        pytest.param(as_json(GPS)[:-1], id="truncated"),
        pytest.param(as_json(GPS) + b"x", id="something after it"),
        pytest.param(as_json(GPS, user_id="\ud800"), id="half a surrogate pair"),
        pytest.param(b"[" * 200_000, id="nested too deeply"),
        pytest.param(b'{"type":"gps_update","x":' + b"[" * 200_000, id="nested too deeply in an ignored field"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"\x00\x00\x00\x00\x2a" + as_json(GPS), id="framed"),
    ],
)
def test_bytes_that_are_no_json_object_are_invalid(data: bytes) -> None:
    assert reason(data)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (as_json(GPS, lat=95), "$.lat"),
        (as_json(GPS, lat=-90.001), "$.lat"),
        (as_json(GPS, lon=180.5), "$.lon"),
        (as_json(GPS, lat="42"), "$.lat"),
        (as_json(GPS, lat=None), "$.lat"),
        (as_json(GPS, lat=True), "$.lat"),
        (as_json(GPS).replace(b"42.37", b"1e999"), "$.lat"),
        (as_json(GPS).replace(b"42.37", b"9" * 5_000), "$.lat"),
        (as_json(GPS, version=-1), "$.version"),
        (as_json(GPS, version=2**63), "$.version"),
        (as_json(GPS).replace(b'"e1"', b'"e1", "version": ' + b"9" * 5_000), "$.version"),
        (as_json(GPS, speed=-0.1), "$.speed"),
        (as_json(GPS, heading=361), "$.heading"),
        (as_json(GPS, event_id=""), "$.event_id"),
        (as_json(GPS, user_id="u" * 129), "$.user_id"),
        (as_json(GPS, user_id="u1\n"), "$.user_id"),
        (as_json(GPS, user_id="u\x00"), "$.user_id"),
        (as_json(GPS, occurred_at="0001-01-01T00:00:00Z"), "`occurred_at`"),
        (as_json(GPS, occurred_at="0001-01-01T00:00:00+23:59"), "`occurred_at`"),
        (as_json(GPS, occurred_at="9999-12-31T23:59:59Z"), "`occurred_at`"),
        (as_json(GPS, occurred_at="9999-12-31T23:59:59-23:59"), "`occurred_at`"),
        (as_json(GPS, occurred_at="1970-01-01T00:00:00Z"), "`occurred_at`"),
        (as_json(GPS, occurred_at="2100-01-01T00:00:00Z"), "`occurred_at`"),
        (as_json(GPS, occurred_at="2026-03-01T12:00:00"), "$.occurred_at"),
        (as_json(GPS, occurred_at="yesterday"), "$.occurred_at"),
        (as_json(GPS, occurred_at=1_700_000_000), "$.occurred_at"),
        (as_json(GPS, type="gps"), "$.type"),
        (as_json(GPS, type=7), "type"),
        (as_json({name: value for name, value in GPS.items() if name != "type"}), "`type`"),
        (as_json(TRIP, starts_on="0001-01-01"), "`starts_on`"),
        (as_json(TRIP, ends_on="9999-12-31"), "`ends_on`"),
        (as_json(TRIP, ends_on="2026-04-30"), "`ends_on`"),
        (as_json(TRIP, destinations=["x"] * 101), "$.destinations"),
        (as_json(TRIP, destinations=["Boston", ""]), "$.destinations[1]"),
        (as_json(TRIP, title="a" * 5_000_000), "$.title"),
        (as_json(BOOKING, ends_at="2026-03-01T11:59:59Z"), "`ends_at`"),
        (as_json(BOOKING, starts_at="0001-01-01T00:00:00Z"), "`starts_at`"),
        (as_json(BOOKING, amount=10), "`currency`"),
        (as_json(BOOKING, currency="USD"), "`amount`"),
        (as_json(BOOKING, amount=10, currency="USD\n"), "$.currency"),
        (as_json(BOOKING, guests=1.5), "$.guests"),
        (as_json(PHOTO, data="aGVsbG8="), "`object_uri`"),
        (as_json(PHOTO, object_uri=None), "`data`"),
        (as_json(PHOTO, object_uri=None, data="not base64!"), "$.data"),
        (as_json(PHOTO, object_uri="file"), "$.object_uri"),
        (as_json(PHOTO, object_uri="s3://a/b\n"), "$.object_uri"),
        (as_json(PHOTO, lat=1), "`lon`"),
        (as_json(GPS, type="friend_added", friend_id="u1"), "`friend_id`"),
        (as_json(GPS, type="message_sent", conversation_id="c", role="user", text="a\x00b"), "$.text"),
        (as_json(GPS, type="message_sent", conversation_id="c", role="root", text="a"), "$.role"),
    ],
)
def test_a_bad_field_is_named(data: bytes, field: str) -> None:
    assert field in reason(data)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_json_does_not_have_are_invalid(number: bytes) -> None:
    assert "malformed" in reason(as_json(GPS).replace(b"42.37", number))


@given(st.data())
def test_a_missing_field_is_named(data: st.DataObject) -> None:
    fields = json.loads(encode_event(data.draw(EVENTS)))
    name = data.draw(st.sampled_from([name for name in fields if name in required(fields["type"])]))
    del fields[name]
    assert f"`{name}`" in reason(as_json(fields))


@given(st.data())
def test_a_field_of_another_type_is_named(data: st.DataObject) -> None:
    fields = json.loads(encode_event(data.draw(EVENTS)))
    name = data.draw(st.sampled_from([name for name in fields if name != "type"]))
    assert f"$.{name}" in reason(as_json(fields, **{name: {"of": "another type"}}))


def required(event: str) -> set[str]:
    [kind] = [kind for kind in EVENT_TYPES if kind.__struct_config__.tag == event]
    return {field.name for field in msgspec.structs.fields(kind) if field.required}


def test_a_reason_stays_short_whatever_the_input() -> None:
    text = reason(as_json(GPS, type="x" * 5_000_000))
    assert len(text) <= 1_000
    assert text.endswith("at `$.type`")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat", 95.0),
        ("lat", math.nan),
        ("speed", math.nan),
        ("altitude", math.inf),
        ("heading", -math.inf),
        ("user_id", ""),
        ("user_id", "\ud800"),
        ("user_id", object()),
        ("version", 2**70),
        ("lon", "2"),
    ],
)
def test_what_its_type_forbids_is_refused_before_it_is_sent(field: str, value: object) -> None:
    with pytest.raises(InvalidEvent, match=rf"\$\.{field}"):
        encode_event(gps(**{field: value}))


@pytest.mark.parametrize("value", [datetime(2026, 3, 1), "2026-03-01T12:00:00Z", None])  # noqa: DTZ001 - that is the point
def test_a_time_that_is_none_with_a_zone_is_refused_by_the_constructor_or_the_encoder(value: Any) -> None:
    with pytest.raises(ValueError, match="occurred_at"):
        encode_event(gps(occurred_at=value))


def test_a_rule_between_fields_is_checked_when_the_event_is_made() -> None:
    common: dict[str, Any] = {"event_id": "e", "user_id": "u", "occurred_at": datetime(2026, 3, 1, tzinfo=UTC)}
    with pytest.raises(ValueError, match="friend_id"):
        FriendAdded(**common, friend_id="u")
    with pytest.raises(ValueError, match="data"):
        PhotoTaken(**common, photo_id="p", content_type="image/png")
    with pytest.raises(ValueError, match="amount"):
        BookingMade(**common, booking_id="b", place_id="p", starts_at=common["occurred_at"], guests=1, amount=3.0)
    with pytest.raises(ValueError, match="starts_on"):
        TripPlanned(**common, trip_id="t", title="t", destinations=[], starts_on="soon", ends_on="later")  # pyright: ignore[reportArgumentType]


def test_defaults_are_not_written() -> None:
    message = MessageSent(
        event_id="e",
        user_id="u",
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
        conversation_id="c",
        role="user",
        text="t",
    )
    assert set(json.loads(encode_event(message))) == {
        "type", "event_id", "user_id", "occurred_at", "conversation_id", "role", "text",
    }  # fmt: skip


def test_every_event_can_be_told_apart_and_is_keyed_by_its_traveller() -> None:
    assert len(set(EVENT_NAMES)) == len(EVENT_TYPES)
    assert all(issubclass(kind, BaseEvent) for kind in EVENT_TYPES)
