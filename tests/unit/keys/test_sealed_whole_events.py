"""Events sealed as a whole: the same again for whoever has the key, and by what they all carry for everybody else."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from connectors.keys import DataKey, NotSealedHere
from connectors.keys.contents import opened_event, whole_event
from connectors.keys.master import KEY_BYTES
from connectors.producers.records import EventRecords
from schemas.clock import HybridClock
from schemas.events import (
    EVENT_TYPES,
    AnyEvent,
    ErasureRequested,
    GpsUpdate,
    MessageSent,
    SealedEvent,
    UrgentRequest,
    decode_any_event,
    encode_event,
)
from schemas.headers import CE_TYPE
from schemas.topics import Catalogue
from streams.persons.export import ERASED, opened_content_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
KEY = DataKey("ann", "k1", b"a" * KEY_BYTES)
KEYS = {"ann": KEY, "bob": DataKey("bob", "k1", b"b" * KEY_BYTES)}
WORDS = "see you at the pier"
COMMON: dict[str, Any] = {"event_id": "e1", "user_id": "ann", "occurred_at": NOON}
MESSAGE = MessageSent(**COMMON, conversation_id="c", role="user", text=WORDS)
EVENTS = st.one_of([st.from_type(kind) for kind in EVENT_TYPES if kind is not ErasureRequested])


def sealed(event: AnyEvent = MESSAGE) -> SealedEvent:
    found = whole_event(event, KEYS)
    assert isinstance(found, SealedEvent)
    return found


@given(EVENTS)
def test_every_event_is_the_same_again_after_its_way_through_a_topic(event: Any) -> None:
    keys = {event.user_id: KEY}
    received = decode_any_event(encode_event(whole_event(event, keys)))
    assert isinstance(received, SealedEvent)
    assert opened_event(received, keys) == event


def test_nothing_but_what_every_event_carries_is_readable() -> None:
    assert WORDS.encode() not in encode_event(sealed())
    assert (sealed().event_id, sealed().user_id, sealed().occurred_at) == ("e1", "ann", NOON)


def test_a_version_that_it_got_after_it_was_sealed_counts() -> None:
    assert opened_event(structs.replace(sealed(), version=17), KEYS) == structs.replace(MESSAGE, version=17)


@pytest.mark.parametrize("change", [{"event_id": "e2"}, {"user_id": "bob"}, {"data": b"x" * 40}])
def test_one_that_was_altered_or_moved_is_not_opened(change: dict[str, Any]) -> None:
    with pytest.raises(NotSealedHere):
        opened_event(structs.replace(sealed(), **change), KEYS)


@pytest.mark.parametrize("keys", [{"ann": None}, {}, {"ann": DataKey("ann", "k9", b"n" * KEY_BYTES)}])
def test_an_event_whose_key_is_gone_is_read_by_nobody(keys: Any) -> None:
    assert opened_event(sealed(), keys) is None


def test_of_somebody_whose_key_is_destroyed_no_event_is_kept() -> None:
    assert whole_event(MESSAGE, {"ann": None}) == structs.replace(sealed(), key_id="erased", data=b"")


def test_that_somebody_asks_to_be_erased_is_understood_without_a_key() -> None:
    asks = ErasureRequested(**COMMON)
    assert whole_event(asks, {}) == asks


@pytest.mark.parametrize(
    ("event", "topic"),
    [
        (MESSAGE, "user-events"),
        (GpsUpdate(**COMMON, lat=1, lon=2), "gps-events"),
        (UrgentRequest(**COMMON, category="lost", text=WORDS), "urgent-events"),
    ],
)
def test_a_sealed_event_goes_where_its_type_goes_and_gets_a_version(event: Any, topic: str) -> None:
    records = EventRecords(Catalogue(), "/tests", HybridClock())
    name, key, value, headers = records.record(sealed(event))
    assert (name, key) == (topic, "ann")
    assert dict(headers)[CE_TYPE] == event.__struct_config__.tag.encode()
    received = decode_any_event(value or b"")
    assert received.version > 0
    assert opened_event(received, KEYS) == structs.replace(event, version=received.version)


def test_an_export_tells_what_was_sealed_and_that_it_is_erased_afterwards() -> None:
    content = msgspec.json.decode(encode_event(sealed()))
    assert opened_content_of(content, KEYS)["text"] == WORDS
    assert opened_content_of(content, {"ann": None})["data"] == ERASED
    assert opened_content_of({"type": "other"}, KEYS) == {"type": "other"}
