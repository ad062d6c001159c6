"""The decisions of an erasure: every step once at least and in order, whatever fails or comes twice."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs

from schemas.clock import milliseconds
from schemas.erasures import (
    Certificate,
    Erasure,
    ErasureStart,
    InvalidErasureRecord,
    Remains,
    StoreAnswer,
    decode_erasure_record,
    encode_erasure_record,
)
from schemas.events import BaseEvent, ErasureRequested, SearchPerformed
from streams.erasure.certificate import NotGenuine, certify, check, statement_of
from streams.erasure.deletes import deletes_of
from streams.erasure.hold import Erased, Policy, fate
from streams.erasure.machine import (
    ASKS,
    LONGEST_PAUSE_MS,
    STEPS,
    Answer,
    Answered,
    Came,
    Certified,
    Failed,
    Released,
    after,
    begin,
    is_due,
    turns,
)
from streams.persons.holdings import Holdings
from streams.routing.examples import events
from streams.routing.table import route
from tests.unit.erasure.going_well import NOTHING, WELL

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
START = ErasureStart(id="e-9", user_id="ann", version=100, requested_at=NOON)
GOOD = list(WELL.values())
BAD: list[Came] = [
    Failed("away"),
    Answered({**NOTHING.answers, "cache": Answer(asked=3, held=1)}),
    Answered({**NOTHING.answers, "graph": Answer(asked=3, held=0, searched=True, unknown=2)}),
]


def _through(inputs: list[Came], erasure: Erasure | None = None) -> Erasure:
    erasure = erasure or begin(START, NOON)
    for one in inputs:
        erasure = after(erasure, one, NOON)
    return erasure


def test_an_erasure_goes_through_every_step_in_order() -> None:
    erasure, seen = begin(START, NOON), ["delete"]
    for one in GOOD:
        erasure = after(erasure, one, NOON)
        seen.append(erasure.step)
    assert seen == list(STEPS)
    assert erasure.stores["graph"] == StoreAnswer(
        deleted=2, asked=3, found=0, asked_at=NOON, purged_at=NOON, forced="VACUUM", keeps="its log"
    )
    assert (erasure.stores["cache"].purged_at, erasure.stores["cache"].keeps) == (None, "its files")
    assert (erasure.key, erasure.large_values, erasure.highest, erasure.archived) == ("destroyed", 2, 120, 5)


@given(st.lists(st.sampled_from(GOOD + BAD), max_size=60))
def test_what_comes_twice_late_or_out_of_order_skips_nothing(inputs: list[Came]) -> None:
    erasure = begin(START, NOON)
    for one in inputs:
        before = erasure
        erasure = after(before, one, NOON)
        step, was = STEPS.index(erasure.step), STEPS.index(before.step)
        assert step <= was + 1
        if step == was + 1:
            assert GOOD.index(one) == was
        assert step >= was or (before.step, erasure.step) == ("ask", "delete")
    if erasure.step in STEPS[STEPS.index("forget") :]:
        assert {one.found for one in erasure.stores.values()} == {0}


@given(st.lists(st.sampled_from(GOOD + BAD), max_size=30))
def test_from_wherever_it_was_left_it_comes_to_its_end(inputs: list[Came]) -> None:
    erasure = _through(inputs)
    assert _through(GOOD + GOOD, decode_erasure_record(encode_erasure_record(erasure), Erasure)).step == "over"


@pytest.mark.parametrize("step", range(len(GOOD)))
def test_a_step_that_failed_is_tried_again_later_and_later_and_told_why(step: int) -> None:
    erasure = _through(GOOD[:step])
    pauses: list[int] = []
    for _ in range(12):
        erasure = after(erasure, Failed("the store is away"), NOON)
        pauses.append(erasure.due_ms - milliseconds(NOON))
    assert erasure.step == STEPS[step]
    assert erasure.reason == "the store is away"
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_MS
    assert not is_due(erasure, milliseconds(NOON))
    assert is_due(erasure, milliseconds(NOON + timedelta(minutes=1)))
    assert after(erasure, GOOD[step], NOON).reason == ""


def test_a_store_that_found_more_is_given_deletes_at_once() -> None:
    assert _through([GOOD[0], BAD[2]]).step == "delete"


def test_a_store_that_does_not_get_on_is_given_its_deletes_again_after_a_while() -> None:
    erasure = _through(GOOD[:1])
    for _ in range(ASKS - 1):
        erasure = after(erasure, BAD[1], NOON)
        assert erasure.step == "ask"
    assert after(erasure, BAD[1], NOON).step == "delete"


def test_what_is_held_back_is_released_when_nobody_uses_the_destroyed_key_any_more() -> None:
    erasure = _through(GOOD[:6])
    assert is_due(erasure, milliseconds(NOON))
    erasure = after(erasure, Certified(), NOON + timedelta(seconds=2), remembered_seconds=60)
    assert erasure.step == "release"
    assert not is_due(erasure, milliseconds(NOON + timedelta(seconds=59)))
    assert is_due(erasure, milliseconds(NOON + timedelta(seconds=60)))
    assert after(erasure, Released(), NOON + timedelta(seconds=60), remembered_seconds=60).step == "over"


def test_what_is_over_is_never_due() -> None:
    assert not is_due(_through(GOOD), 2**62)
    assert after(_through(GOOD), Failed("late"), NOON) == _through(GOOD)


# -- turns


def test_one_person_at_a_time_is_looked_for_and_asked_for_the_oldest_first() -> None:
    going = {
        user: begin(structs.replace(START, id=user, user_id=user), NOON + timedelta(seconds=after_noon))
        for after_noon, user in enumerate(("ann", "bob", "carl"))
    }
    asked: list[str] = []
    now = NOON
    while left := [one for one in going.values() if one.step != "over"]:
        now += timedelta(seconds=1)
        for one in turns(left, milliseconds(now)):
            if one.step == "ask":
                asked.append(one.id)
            # Of each person a store still holds something when it is asked for the first three times.
            waits = one.step == "ask" and asked.count(one.id) <= 3
            going[one.id] = after(one, BAD[1] if waits else GOOD[STEPS.index(one.step)], now)
    assert asked == ["ann"] * 4 + ["bob"] * 4 + ["carl"] * 4


def test_who_is_asked_for_in_vain_lets_the_next_go_first_and_what_is_past_the_asking_waits_for_nobody() -> None:
    now = milliseconds(NOON) + 3_600_000
    fresh = structs.replace(begin(START, NOON + timedelta(seconds=9)), id="fresh")
    sent_back = _through([GOOD[0], *[BAD[1]] * ASKS])
    assert [one.id for one in turns([sent_back, fresh], now)] == ["fresh"]
    assert [one.id for one in turns([sent_back], now)] == [sent_back.id]
    purging = structs.replace(_through(GOOD[:3]), id="purging")
    asking = structs.replace(_through(GOOD[:1]), id="asking", due_ms=now + 1)
    assert [one.id for one in turns([sent_back, fresh, asking, purging], now)] == ["purging"]


# -- deletes


def _ann() -> Holdings:
    holdings = Holdings("ann")
    holdings.take_all(write for embedded in events().values() for write in route(embedded))
    return holdings


def test_each_delete_is_newer_than_what_was_written_and_than_the_request() -> None:
    newest = max(one.write.version for one in _ann().all())
    for version in (1, 2**62):
        erasure = structs.replace(begin(START, NOON), version=version)
        for one in deletes_of(erasure, _ann().all()):
            assert (one.op, one.event_id) == ("delete", "e-9")
            assert one.version >= version
            assert one.version > newest or one.entity in {"user:ann", "photo:f-2"}


def test_deletes_that_are_made_again_have_the_versions_of_the_first_time() -> None:
    first = deletes_of(begin(START, NOON), _ann().all())
    again = Holdings("ann", own="e-9")
    again.take_all(write for embedded in events().values() for write in route(embedded))
    again.take_all(first)
    assert deletes_of(begin(START, NOON), again.all()) == first


# -- events during and after


def _event(version: int) -> SearchPerformed:
    return SearchPerformed(event_id="e-1", user_id="ann", occurred_at=NOON, version=version, query="pasta", results=1)


def _request(version: int, event_id: str = "e-1") -> ErasureRequested:
    return ErasureRequested(event_id=event_id, user_id="ann", occurred_at=NOON, version=version)


RUNNING, OVER = Erased("e-9", 100), Erased("e-9", 100, over=True)


@pytest.mark.parametrize(
    ("event", "erased", "refuse", "afresh"),
    [
        (_event(5), None, "pass", "pass"),
        (_request(5), None, "begin", "begin"),
        (_event(101), RUNNING, "refuse", "hold"),
        (_event(100), RUNNING, "refuse", "refuse"),
        (_request(100, "e-9"), RUNNING, "again", "again"),
        (_request(100, "e-9"), OVER, "again", "again"),
        (_request(300), RUNNING, "hold", "hold"),
        (_request(300), OVER, "begin", "begin"),
        (_event(99), OVER, "refuse", "refuse"),
        (_event(101), OVER, "refuse", "pass"),
    ],
)
def test_the_fate_of_an_event(event: BaseEvent, erased: Erased | None, refuse: str, afresh: str) -> None:
    assert (fate(event, erased, "refuse"), fate(event, erased, "afresh")) == (refuse, afresh)


@given(st.integers(0, 200), st.booleans(), st.sampled_from(["refuse", "afresh"]))
def test_nothing_that_is_as_old_as_the_request_ever_goes_through(version: int, over: bool, policy: Policy) -> None:
    outcome = fate(_event(version), Erased("e-9", 100, over=over), policy)
    assert (outcome == "refuse") or version > 100


# -- the certificate

KEY, OTHER = Ed25519PrivateKey.from_private_bytes(b"k" * 32), Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def _certificate(key: Ed25519PrivateKey = KEY) -> Certificate:
    remains = [Remains(where="the topic user-events", until=NOON)]
    return certify(statement_of(_through(GOOD[:6]), "refuse", remains), key)


def test_a_certificate_is_genuine_as_it_was_made_and_after_a_way_through_json() -> None:
    check(_certificate())
    check(decode_erasure_record(encode_erasure_record(_certificate()), Certificate), _certificate().public_key)


def test_of_the_same_erasure_there_is_one_certificate_however_often_it_is_made() -> None:
    assert encode_erasure_record(_certificate()) == encode_erasure_record(_certificate())


def test_a_certificate_says_nothing_of_fields_that_came_later_so_older_ones_stay_genuine() -> None:
    statement = structs.replace(
        _certificate().statement, archived=None, stores={"graph": StoreAnswer(deleted=2, found=0, purged_at=NOON)}
    )
    told = json.decode(encode_erasure_record(certify(statement, KEY)))["statement"]
    assert told["stores"] == {"graph": {"deleted": 2, "found": 0, "purged_at": "2026-05-01T12:00:00Z"}}
    first = {"id", "user_id", "requested_at", "began_at", "certified_at", "policy", "stores", "tombstones"}
    assert told.keys() == first | {"large_values", "key", "remains"}


def _altered() -> list[Certificate]:
    one = _certificate()
    return [
        structs.replace(one, statement=structs.replace(one.statement, user_id="bob")),
        structs.replace(one, statement=structs.replace(one.statement, large_values=9)),
        structs.replace(one, public_key=_certificate(OTHER).public_key),
        structs.replace(one, signature="AAAA"),
        structs.replace(one, signature="no base64"),
        structs.replace(one, algorithm="none"),
    ]


@pytest.mark.parametrize("altered", _altered())
def test_a_certificate_that_was_altered_is_not_genuine(altered: Certificate) -> None:
    with pytest.raises(NotGenuine):
        check(altered)


def test_a_certificate_of_another_installation_is_not_genuine_here() -> None:
    with pytest.raises(NotGenuine, match="public_key"):
        check(_certificate(OTHER), _certificate().public_key)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_record_of_an_erasure_say_so(data: bytes) -> None:
    with pytest.raises(InvalidErasureRecord):
        decode_erasure_record(data, Erasure)
