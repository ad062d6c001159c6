"""Intake as a pure stage. The table of seen ids is a dict here; with the real one: test_event_pass.py."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.reading import StoredRecord
from connectors.registry import RegistryUnavailable
from schemas.clock import derived_version, milliseconds
from schemas.events import EVENT_TYPES, Event, GpsUpdate, encode_event
from schemas.headers import Headers
from schemas.wire import VALUE_SCHEMA_ID, UnknownSchema, read_frame, unframe_without_registry
from streams.agents.intake import Intake, IntakeRules, Refused, intake
from streams.runtime.records import Record

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW_MS = milliseconds(NOW)
RULES = IntakeRules()
HOUR_MS = 3_600_000
EVENTS = st.one_of([st.from_type(cast(type[Event], kind)) for kind in EVENT_TYPES])
TIMESTAMPS = st.integers(-(2**63), 2**63 - 1)
HEADERS = st.lists(st.tuples(st.text(max_size=5) | st.just(VALUE_SCHEMA_ID), st.none() | st.binary(max_size=20)))


class Seen:
    """What a `TableView[int]` does, in memory."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[int, dict[str, int]]] = {}

    def get(self, key: str, /) -> int | None:
        found = self.first.get(key)
        return None if found is None else found[0]

    def position(self, key: str, topic: str, /) -> int:
        return self.first[key][1].get(topic, -1) if key in self.first else -1

    def put(self, key: str, value: int, record: Record, /) -> None:
        positions = self.first[key][1] if key in self.first else {}
        self.first[key] = (value, {**positions, record.topic: max(record.offset, positions.get(record.topic, -1))})


def fix(number: int = 1, **changed: Any) -> dict[str, Any]:
    event = {
        "type": "gps_update",
        "event_id": f"fix-{number}",
        "user_id": "u1",
        "occurred_at": NOW.isoformat(),
        "lat": 40.7,
        "lon": -74.0,
    }
    return {name: value for name, value in (event | changed).items() if value is not ...}


def encoded(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def record(
    value: bytes | None,
    offset: int = 0,
    *,
    key: bytes | None = b"u1",
    topic: str = "gps",
    timestamp: int = NOW_MS,
    headers: Headers = (),
) -> StoredRecord:
    return StoredRecord(
        topic=topic, partition=0, offset=offset, timestamp=timestamp, key=key, value=value, headers=headers
    )


def run(
    records: Sequence[Record],
    seen: Seen | None = None,
    rules: IntakeRules = RULES,
    unframe: Callable[[bytes, Headers], bytes] = unframe_without_registry,
) -> Intake:
    return intake(records, seen=seen or Seen(), rules=rules, unframe=unframe)


def refused(one: Record, rules: IntakeRules = RULES) -> Refused:
    """Return why a record is refused, and check that the records around it are admitted."""
    before, after = record(encoded(fix(98)), 1), record(encoded(fix(99)), 3)
    found = run([before, one, after], rules=rules)
    assert [admitted.event.event_id for admitted in found.admitted] == ["fix-98", "fix-99"]
    assert found.duplicates == 0
    (refusal,) = found.refused
    assert refusal.record is one
    return refusal


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"lat=40.7;lon=-74", "JSON is malformed", id="no JSON"),
        pytest.param(b'{"type": "gps_upd', "truncated", id="cut off"),
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(None, "the value is missing", id="no value"),
        pytest.param(b"[1, 2, 3]", "Expected `object`, got `array`", id="a list"),
        pytest.param(b'{"hello": "world"}', "`type`", id="another shape"),
        pytest.param(encoded(fix(type="teleported")), "$.type", id="an unknown type"),
        pytest.param(encoded(fix(lat="north")), "$.lat", id="another type of value"),
        pytest.param(encoded(fix(lon=...)), "`lon`", id="a field is missing"),
        pytest.param(encoded(fix(lat=float("nan"))), "JSON is malformed", id="NaN"),
        pytest.param(encoded(fix(lat=95.0)), "$.lat", id="latitude of 95"),
        pytest.param(encoded(fix(lon=-181)), "$.lon", id="longitude of -181"),
        pytest.param(encoded(fix(occurred_at="0001-01-01T00:00:00Z")), "`occurred_at`", id="year 1"),
        pytest.param(encoded(fix(occurred_at="9999-12-31T23:59:59Z")), "`occurred_at`", id="year 9999"),
        pytest.param(encoded(fix(occurred_at="2026-05-01T12:00:00")), "$.occurred_at", id="no time zone"),
        pytest.param(b'{"type": "\xff\xfe"}', "utf-8", id="no UTF-8"),
        pytest.param(b'{"a":' * 100_000, "nested", id="nested too deeply"),
    ],
)
def test_a_value_that_is_no_event_is_refused_with_its_field(value: bytes | None, reason: str) -> None:
    refusal = refused(record(value, 2))
    assert refusal.stage == "decode"
    assert reason in str(refusal.error)


def test_a_value_of_5_mb_is_refused_by_its_size_and_not_decoded() -> None:
    refusal = refused(record(b"\x00" * 5_000_000, 2))
    assert str(refusal.error).startswith("the value has 5,000,000 bytes, more than the 1,048,576")
    assert "intake.max_value_bytes" in str(refusal.error)


def test_a_value_of_just_the_size_that_is_allowed_is_read() -> None:
    value = encoded(fix())
    assert len(run([record(value)], rules=IntakeRules(max_value_bytes=len(value))).admitted) == 1
    assert len(run([record(value)], rules=IntakeRules(max_value_bytes=len(value) - 1)).refused) == 1


@pytest.mark.parametrize("key", [None, b"", b"u2", b"u1 ", b"\xff\xff", pytest.param(b"x" * 10_000, id="long")])
def test_a_key_that_is_not_the_traveller_is_refused_because_the_key_decides_on_the_partition(key: bytes | None) -> None:
    refusal = refused(record(encoded(fix()), 2, key=key))
    assert "key" in str(refusal.error)
    assert "`user_id`" in str(refusal.error)
    assert len(str(refusal.error)) < 1_000


def test_a_key_is_compared_as_utf_8() -> None:
    value = encoded(fix(user_id="Zoë"))
    assert len(run([record(value, key="Zoë".encode())]).admitted) == 1


def test_a_time_too_far_ahead_of_its_record_is_refused_with_the_option() -> None:
    rules = IntakeRules(max_future=timedelta(hours=1))
    just = record(encoded(fix(occurred_at=(NOW + timedelta(hours=1)).isoformat())), 2)
    assert len(run([just], rules=rules).admitted) == 1
    beyond = record(encoded(fix(occurred_at=(NOW + timedelta(hours=1, milliseconds=1)).isoformat())), 2)
    reason = str(refused(beyond, rules).error)
    assert "`occurred_at`" in reason
    assert "intake.max_future_hours" in reason


@pytest.mark.parametrize("timestamp", [0, -1])
def test_a_record_without_a_time_says_nothing_about_the_future(timestamp: int) -> None:
    value = encoded(fix(occurred_at="2099-01-01T00:00:00Z"))
    assert len(run([record(value, timestamp=timestamp)]).admitted) == 1


def test_an_event_of_long_ago_is_an_event() -> None:
    assert len(run([record(encoded(fix(occurred_at="1990-01-01T00:00:00Z")))]).admitted) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\x00\x00\x00\x00\x2a" + encoded(fix()), "schema id 42"),
        (b"\x01" + UUID(int=7).bytes + encoded(fix()), "schema GUID"),
        (b"\x00\x01", "incomplete frame"),
    ],
)
def test_a_framed_value_without_a_registry_is_refused_with_the_option_or_the_fault(value: bytes, reason: str) -> None:
    refusal = refused(record(value, 2))
    assert refusal.stage == "unframe"
    assert reason in str(refusal.error)


def unframe_with_registry(value: bytes, headers: Headers = ()) -> bytes:
    """Stand for a registry that knows the schema 42."""
    frame = read_frame(value, headers)
    if frame is None:
        return value
    if frame.schema_id == 43:
        raise RegistryUnavailable("it is restarting")
    if frame.schema_id != 42:
        raise UnknownSchema(frame.schema_id)
    return frame.payload


def test_framed_values_are_read_with_a_registry_beside_values_without_a_frame() -> None:
    framed, plain, unknown = (prefix + encoded(fix(number)) for number, prefix in enumerate(
        (b"\x00\x00\x00\x00\x2a", b"", b"\x00\x00\x00\x00\x07")
    ))  # fmt: skip
    in_header = record(encoded(fix(9)), 3, headers=[(VALUE_SCHEMA_ID, b"\x00\x00\x00\x00\x2a")])
    found = run([record(framed), record(plain, 1), record(unknown, 2), in_header], unframe=unframe_with_registry)
    assert [one.event.event_id for one in found.admitted] == ["fix-0", "fix-1", "fix-9"]
    assert [str(one.error) for one in found.refused] == ["schema id 7 is not in the registry"]


def test_a_registry_that_is_away_is_no_fault_of_the_record() -> None:
    with pytest.raises(RegistryUnavailable):
        run([record(b"\x00\x00\x00\x00\x2b" + encoded(fix()))], unframe=unframe_with_registry)


def test_an_event_without_a_version_gets_one_that_follows_from_its_time_and_id() -> None:
    first, again = (run([record(encoded(fix()), offset)]).admitted[0].event for offset in (3, 70_000))
    assert first.version == again.version == derived_version(NOW, "fix-1")
    later = run([record(encoded(fix(occurred_at=(NOW + timedelta(milliseconds=1)).isoformat())))]).admitted[0]
    assert later.event.version > first.version


def test_a_version_that_is_given_stays() -> None:
    assert run([record(encoded(fix(version=7)))]).admitted[0].event.version == 7
    assert run([record(encoded(fix(version=2**62 - 1)))]).admitted[0].event.version == 2**62 - 1


def test_a_version_whose_writes_would_have_none_is_refused() -> None:
    """Writes have twice the version of their event, in 63 bits."""
    refusal = refused(record(encoded(fix(version=2**62))))
    assert "Expected `version` <= 4611686018427387903, got 4611686018427387904" in str(refusal.error)


def test_the_second_sighting_of_an_id_is_a_duplicate_in_one_batch_or_in_two() -> None:
    seen = Seen()
    value = encoded(fix())
    first = run([record(value, 1), record(value, 2)], seen)
    second = run([record(value, 3), record(value, 4, topic="urgent")], seen)
    assert (len(first.admitted), first.duplicates) == (1, 1)
    assert (len(second.admitted), second.duplicates) == (0, 2)


def test_the_same_record_again_is_a_replay_and_admitted_as_often_as_it_comes() -> None:
    seen = Seen()
    batch = [record(encoded(fix(1)), 1), record(encoded(fix(1)), 2), record(encoded(fix(2)), 3)]
    runs = [run(batch, seen) for _ in range(3)]
    assert all(one == runs[0] for one in runs)
    assert [one.record.offset for one in runs[0].admitted] == [1, 3]


def test_the_same_offset_of_another_topic_is_a_duplicate_and_no_replay() -> None:
    seen = Seen()
    run([record(encoded(fix()), 5, topic="gps")], seen)
    assert run([record(encoded(fix()), 5, topic="user")], seen).duplicates == 1


def test_an_id_that_comes_again_after_the_window_is_a_new_event() -> None:
    seen = Seen()
    window = IntakeRules(dedupe_window=timedelta(hours=1))
    value = encoded(fix())
    at = [NOW_MS, NOW_MS + HOUR_MS, NOW_MS + HOUR_MS + 1]
    found = [run([record(value, offset, timestamp=time)], seen, window) for offset, time in enumerate(at)]
    assert [len(one.admitted) for one in found] == [1, 0, 1]
    # From now on the window is counted from the second one.
    assert run([record(value, 3, timestamp=at[2] + HOUR_MS)], seen, window).duplicates == 1


def test_a_record_that_is_refused_leaves_its_id_unseen() -> None:
    seen = Seen()
    run([record(encoded(fix(lat=95)), 1), record(encoded(fix()), 2, key=b"u2")], seen)
    assert seen.first == {}
    assert len(run([record(encoded(fix()), 3)], seen).admitted) == 1


@given(
    st.lists(
        st.builds(
            StoredRecord,
            topic=st.sampled_from(["gps", "user"]),
            partition=st.just(0),
            offset=st.integers(0, 2**63 - 1),
            timestamp=TIMESTAMPS,
            key=st.none() | st.binary(max_size=10) | st.just(b"u1"),
            value=st.none() | st.binary(max_size=30) | st.builds(fix, st.integers(1, 3)).map(encoded),
            headers=HEADERS,
        ),
        max_size=8,
    )
)
def test_whatever_comes_every_record_ends_in_exactly_one_place(records: list[StoredRecord]) -> None:
    found = run(records)
    ended = [*(one.record for one in found.admitted), *(one.record for one in found.refused)]
    assert len(ended) + found.duplicates == len(records)
    assert all(any(one is record for record in records) for one in ended)
    assert all(0 < len(str(one.error)) <= 1_000 for one in found.refused)


SOUND = EVENTS.map(lambda event: msgspec.structs.replace(event, version=event.version >> 1))


@given(st.lists(SOUND, max_size=5, unique_by=lambda event: event.event_id))
def test_events_that_are_sound_are_admitted_in_their_order_as_they_were(events: list[Event]) -> None:
    found = run([
        record(encode_event(event), offset, key=event.user_id.encode(), timestamp=milliseconds(event.occurred_at))
        for offset, event in enumerate(events)
    ])  # fmt: skip
    assert found.refused == []
    assert [one.event for one in found.admitted if one.event.version] == [
        msgspec.structs.replace(event, version=event.version or derived_version(event.occurred_at, event.event_id))
        for event in events
    ]


@given(TIMESTAMPS, TIMESTAMPS)
def test_any_two_times_of_records_can_be_compared(first: int, second: int) -> None:
    seen = Seen()
    value = encode_event(GpsUpdate(event_id="e", user_id="u1", occurred_at=NOW, lat=0, lon=0))
    batch = [record(value, 1, timestamp=first), record(value, 2, timestamp=second)]
    found = run(batch, seen)
    assert len(found.admitted) + len(found.refused) + found.duplicates == 2
