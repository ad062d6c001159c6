import json

import pytest

from schemas.events import InvalidEvent, decode_event, encode_event
from schemas.headers import header_map
from schemas.wire import InvalidFrame, unframe_without_registry
from streams.demo.faults import DUPLICATES, FAULT_HEADER, FAULTS, Fault
from streams.demo.world import World

# What intake refuses before or besides reading the event.
NOT_BY_DECODING = {"value over 1 MiB", "unknown schema id", "no key"}
NAMES = [
    "broken JSON",
    "no JSON",
    "JSON of another shape",
    "unknown type",
    "latitude of 95",
    "NaN",
    "year 1",
    "year 9999",
    "number as text",
    "rating of 11",
    "missing field",
    "invalid UTF-8",
    "empty value",
    "urgent without text",
    *sorted(NOT_BY_DECODING),
]


def named(world: World, name: str) -> Fault:
    (fault,) = [fault for fault in world.faults if fault.name == name]
    return fault


def test_every_kind_of_fault_occurs(world: World) -> None:
    names = [fault.name for fault in world.faults]
    assert sorted(names) == sorted([*NAMES, *["duplicate"] * DUPLICATES, "late event"])
    assert len(names) == FAULTS


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_BY_DECODING])
def test_a_bad_value_is_refused_for_the_reason_given(world: World, name: str) -> None:
    fault = named(world, name)
    assert fault.fate == "dead_letter"
    assert fault.reason
    with pytest.raises(InvalidEvent) as refused:
        decode_event(fault.value)
    assert fault.reason in str(refused.value)


@pytest.mark.parametrize("name", ["value over 1 MiB", "no key"])
def test_a_value_that_only_intake_refuses_is_a_valid_event(world: World, name: str) -> None:
    fault = named(world, name)
    assert decode_event(fault.value).event_id == fault.event_id


def test_the_large_value_is_over_a_mebibyte_and_the_keyless_one_has_no_key(world: World) -> None:
    assert len(named(world, "value over 1 MiB").value) > 1_048_576
    assert named(world, "no key").key is None
    assert all(fault.key for fault in world.faults if fault.name != "no key")


def test_the_framed_value_names_a_schema_that_nobody_knows(world: World) -> None:
    fault = named(world, "unknown schema id")
    with pytest.raises(InvalidFrame) as refused:
        unframe_without_registry(fault.value)
    assert fault.reason in str(refused.value)


def test_a_duplicate_is_an_event_of_the_world_sent_again_later(world: World) -> None:
    position = {event.event_id: number for number, event in enumerate(world.events)}
    duplicates = [fault for fault in world.faults if fault.fate == "duplicate"]
    for fault in duplicates:
        number = position[fault.event_id or ""]
        assert fault.value == encode_event(world.events[number])
        assert number < fault.after <= len(world.events)
    assert len({fault.event_id for fault in duplicates}) == DUPLICATES


def test_the_late_event_is_valid_new_and_older_than_everything_else(world: World) -> None:
    fault = named(world, "late event")
    event = decode_event(fault.value)
    assert fault.fate == "arrives"
    assert event.event_id == fault.event_id
    assert event.event_id not in {other.event_id for other in world.events}
    assert event.occurred_at < min(other.occurred_at for other in world.events)


def test_faults_are_told_apart_by_a_header_and_sent_among_the_events(world: World) -> None:
    for fault in world.faults:
        assert header_map(fault.headers)[FAULT_HEADER] == fault.name
        assert 0 < fault.after <= len(world.events)
    assert [fault.after for fault in world.faults] == sorted(fault.after for fault in world.faults)


def test_unframed_values_do_not_look_framed(world: World) -> None:
    for fault in world.faults:
        if fault.name != "unknown schema id":
            assert unframe_without_registry(fault.value) == fault.value
    assert json.loads(named(world, "latitude of 95").value)["lat"] == 95.0
