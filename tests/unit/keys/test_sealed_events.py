"""Which fields of events are sealed, with what, and what stands beside them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from connectors.keys import DataKey, MasterKeys, SQLiteKeyStore, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.keys.sealing import EventSealing, sealed_event, to_seal
from schemas.events import (
    EVENT_TYPES,
    DetailsGiven,
    Event,
    InvalidEvent,
    MessageSent,
    SealedEvent,
    decode_event,
    encode_event,
)
from schemas.generate import json_schema
from schemas.sensitive import ERASED, Sealed, normalised, read_sealed, sealed_text, sensitive_fields

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MASTERS = MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_file")
ANN = DataKey("ann", "a1", b"a" * KEY_BYTES)
EVENTS = st.one_of([st.from_type(cast(type[Event], kind)) for kind in EVENT_TYPES])


def details(event_id: str = "e1", **fields: Any) -> DetailsGiven:
    return DetailsGiven(event_id=event_id, user_id="ann", occurred_at=NOON, version=7, **fields)


PLAIN = {
    "email": "Ann@Example.org",
    "phone": "+44 1223 123-456",
    "passport": "AB1234567",
    "card": "4111 1111 1111 1111",
    "home": "geo:52.2053,0.1218",
}


def unsealed(event: DetailsGiven, field: str) -> str:
    sealed = read_sealed(getattr(event, field))
    assert sealed is not None
    return ANN.unseal(field, sealed)


def test_every_sensitive_field_is_sealed_and_opens_again() -> None:
    sealed = sealed_event(details(**PLAIN), {"ann": ANN}, MASTERS)
    assert isinstance(sealed, DetailsGiven)
    assert {name: unsealed(sealed, name) for name in PLAIN} == PLAIN
    assert [value for value in PLAIN.values() if value in encode_event(sealed).decode()] == []
    assert (sealed.event_id, sealed.user_id, sealed.occurred_at, sealed.version) == ("e1", "ann", NOON, 7)


def test_a_blind_index_is_the_same_for_every_spelling_and_event() -> None:
    first = sealed_event(details(email="Ann@Example.org", phone="+44 1223 123-456"), {"ann": ANN}, MASTERS)
    second = sealed_event(details("e2", email="ann@example.org", phone="+441223123456"), {"ann": ANN}, MASTERS)
    assert isinstance(first, DetailsGiven)
    assert isinstance(second, DetailsGiven)
    assert (first.email_index, first.phone_index) == (second.email_index, second.phone_index)
    assert first.email_index == MASTERS.index("email", "ann@example.org")
    assert first.email != second.email


def test_a_blind_index_that_a_producer_gives_beside_a_plain_value_is_not_taken() -> None:
    forged = MASTERS.index("email", "bob@example.org")
    sealed = sealed_event(details(email="ann@example.org", email_index=forged), {"ann": ANN}, MASTERS)
    assert isinstance(sealed, DetailsGiven)
    assert sealed.email_index == MASTERS.index("email", "ann@example.org")


def test_of_a_user_whose_key_is_destroyed_nothing_is_kept() -> None:
    sealed = sealed_event(details(**PLAIN), {"ann": None}, MASTERS)
    assert sealed == details(**dict.fromkeys(PLAIN, sealed_text(ERASED)))


def test_what_a_producer_has_sealed_stays_as_it_is_and_needs_a_key_for_its_indexes_only() -> None:
    once = sealed_event(details(**PLAIN), {"ann": ANN}, MASTERS)
    assert to_seal([once]) == ["ann"]
    assert sealed_event(once, {"ann": ANN}, MASTERS) is once
    passport = sealed_event(details(passport="AB1234567"), {"ann": ANN}, MASTERS)
    assert to_seal([passport]) == []
    assert sealed_event(passport, {}, MASTERS) is passport


@pytest.mark.parametrize("key", [None, DataKey("ann", "a2", b"b" * KEY_BYTES)], ids=["destroyed", "afresh"])
def test_beside_what_nobody_can_read_any_more_no_blind_index_goes_on(key: DataKey | None) -> None:
    once = sealed_event(details(**PLAIN), {"ann": ANN}, MASTERS)
    assert isinstance(once, DetailsGiven)
    assert once.email_index is not None
    assert sealed_event(once, {"ann": key}, MASTERS) == structs.replace(once, email_index=None, phone_index=None)


def test_a_blind_index_without_its_value_is_not_taken() -> None:
    alone = details(email_index=MASTERS.index("email", "bob@example.org"))
    assert sealed_event(alone, dict.fromkeys(to_seal([alone]), ANN), MASTERS) == details()


def test_only_events_with_something_to_seal_need_keys() -> None:
    message = MessageSent(
        event_id="e2", user_id="bob", occurred_at=NOON, conversation_id="c", role="user", text="my card is 4111"
    )
    assert to_seal([message, details(), details(email="ann@example.org"), details("e3", card="41111111")]) == ["ann"]
    assert sealed_event(message, {}, MASTERS) is message


def test_a_producer_that_seals_leaves_nothing_for_intake_and_refuses_what_breaks_its_schema(tmp_path: Path) -> None:
    keys = UserKeys(SQLiteKeyStore(tmp_path / "user-keys.db"), lambda _: MASTERS)
    sealing = EventSealing(keys)
    sealed = sealing(details(**PLAIN))
    assert not isinstance(sealed, SealedEvent)
    assert sealed_event(sealed, keys.get(["ann"]), MASTERS) is sealed
    assert sealed == sealed_event(details(**PLAIN), keys.get(["ann"]), MASTERS)
    with pytest.raises(InvalidEvent, match=r"\$\.email"):
        sealing(details(email="no address"))
    assert sealing(details()) == details()
    keys.close()


@given(EVENTS)
def test_a_sealed_event_is_still_an_event_and_none_of_its_fields_is_plain(event: Event) -> None:
    key = DataKey(event.user_id, "k1", b"k" * KEY_BYTES)
    sealed = sealed_event(event, {event.user_id: key}, MASTERS)
    assert decode_event(encode_event(sealed)) == sealed
    values = [getattr(sealed, field.name) for field in sensitive_fields(type(sealed))]
    assert [value for value in values if value is not None and read_sealed(value) is None] == []
    assert sealed_event(sealed, {event.user_id: key}, MASTERS) == sealed
    assert sealed_event(event, {event.user_id: key}, MASTERS) == sealed


@given(st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32), st.binary(max_size=100))
def test_a_sealed_value_reads_back_from_its_text(key_id: str, data: bytes) -> None:
    assert read_sealed(sealed_text(Sealed(key_id, data))) == Sealed(key_id, data)


@pytest.mark.parametrize(
    "text", ["", "sealed", "sealed:2:a:AAAA", "sealed:1:a:A", "sealed:1::AAAA", "sealed:1:a:AAAA\n"]
)
def test_anything_else_is_not_taken_for_sealed(text: str) -> None:
    assert read_sealed(text) is None


def test_the_longest_values_fit_once_they_are_sealed() -> None:
    longest = {"email": f"{'é' * 64}@{'é' * 190}", "phone": "+1" + "2" * 31, "passport": "A" * 32}
    decode_event(encode_event(sealed_event(details(**longest), {"ann": ANN}, MASTERS)))


def test_the_schema_says_which_fields_are_sensitive() -> None:
    properties = json_schema("event")["$defs"]["DetailsGiven"]["properties"]
    marked = {name: field["anyOf"][0] for name, field in properties.items() if "x-sensitive" in str(field)}
    assert marked.keys() == set(PLAIN)
    assert {name: field["x-blind-index"] for name, field in marked.items() if "x-blind-index" in field} == {
        "email": "email_index",
        "phone": "phone_index",
    }
    assert [field.name for field in sensitive_fields(DetailsGiven)] == list(PLAIN)


def test_spellings_of_one_address_or_number_are_one() -> None:
    assert normalised("email", " Ann@Example.ORG ") == "ann@example.org"
    assert normalised("public.users.phone", "+44 (1223) 12-34") == "+4412231234"
    assert normalised("passport", "ab12 ") == "ab12"
