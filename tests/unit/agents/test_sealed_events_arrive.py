"""Events that their producer sealed as a whole: opened in memory, sealed again where they wait."""

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.keys import MasterKeys, SQLiteKeyStore, UserKeys
from connectors.keys.contents import opened_event
from connectors.keys.master import KEY_BYTES
from connectors.keys.sealing import EventSealing
from schemas.events import Event, MessageSent, PlaceReviewed, SealedEvent
from schemas.headers import header_map
from schemas.reference import ResumedEvent, WaitingEvent
from streams.agents.events import EventPass
from streams.agents.sealing import Sealing
from streams.agents.waiting import ResumedPass, WaitingRoom
from streams.routing.sensitive import SensitiveColumns

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORDS = "see you at the pier"


@pytest.fixture
def keys(tmp_path: Path) -> Generator[UserKeys]:
    store = SQLiteKeyStore(tmp_path / "user-keys.db")
    keys = UserKeys(store, lambda _: MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_file"))
    yield keys
    keys.close()


def ingest_of(stage: Any, keys: UserKeys) -> Any:
    return stage.ingest(sealing=Sealing(keys, SensitiveColumns(()), everything=True), place_wait_ms=0)


def message(number: int, user: str = "ann") -> Event:
    return MessageSent(
        event_id=f"{user}-{number}", user_id=user, occurred_at=NOON, conversation_id="c", role="user", text=WORDS
    )


def sealed_record(stage: Any, keys: UserKeys, event: Event, offset: int) -> Any:
    return stage.event(EventSealing(keys, everything=True)(event), offset)


def all_bytes(stage: Any) -> bytes:
    return b"".join(record.value or b"" for record in stage.kafka.records)


async def test_sealed_and_plain_events_of_a_batch_have_the_same_writes(stage: Any, keys: UserKeys) -> None:
    records = [sealed_record(stage, keys, message(1), 1), stage.event(message(2), 2)]
    assert WORDS.encode() not in records[0].value
    await EventPass(ingest_of(stage, keys), "normal").process(records)
    assert stage.letters() == []
    first, second = stage.writes("relational")
    assert (first.key, second.key) == ("ann-1", "ann-2")
    assert stage.texts.batches == [[WORDS, WORDS]]
    assert WORDS.encode() not in all_bytes(stage)


async def test_an_event_that_nobody_can_read_goes_no_further_and_holds_up_no_other(stage: Any, keys: UserKeys) -> None:
    gone = sealed_record(stage, keys, message(1), 1)
    keys.destroy(["ann"])
    await EventPass(ingest_of(stage, keys), "normal").process([gone, stage.event(message(2, "bob"), 2)])
    assert [one.key for one in stage.writes("relational")] == ["bob-2"]
    assert stage.letters() == []


@pytest.mark.parametrize("why", ["altered", "no keys"])
async def test_one_that_does_not_open_is_a_dead_letter_as_it_came(stage: Any, keys: UserKeys, why: str) -> None:
    record = sealed_record(stage, keys, message(1), 1)
    if why == "altered":
        moved = msgspec.json.decode(record.value) | {"event_id": "other"}
        record = stage.record(record.topic, 1, b"ann", msgspec.json.encode(moved))
    ingest = stage.ingest() if why == "no keys" else ingest_of(stage, keys)
    await EventPass(ingest, "normal").process([record, stage.event(message(2, "bob"), 2)])
    (letter,) = stage.letters()
    assert letter.value == record.value
    assert ("keys.store" if why == "no keys" else "altered") in str(header_map(letter.headers))
    assert [one.key for one in stage.writes("relational")] == ["bob-2"]


@pytest.mark.parametrize("came", ["sealed", "plain"])
async def test_an_event_waits_for_its_place_sealed_and_goes_on_afterwards(
    stage: Any, keys: UserKeys, came: str
) -> None:
    ingest = ingest_of(stage, keys)
    review = PlaceReviewed(event_id="r", user_id="ann", occurred_at=NOON, place_id="p", rating=5, text=WORDS)
    record = sealed_record(stage, keys, review, 1) if came == "sealed" else stage.event(review, 1)
    await EventPass(ingest, "normal").process([record])
    (waiting,) = stage.of(stage.catalogue.waiting_events.name)
    assert isinstance(msgspec.json.decode(waiting.value, type=WaitingEvent).event, SealedEvent)
    room = WaitingRoom(ingest)
    await room.wait([stage.record(waiting.topic, 1, waiting.key, waiting.value)])
    (kept,) = stage.state(stage.tables.waiting).values()
    assert isinstance(kept.event, SealedEvent)
    await room.give_up([0], 2**62)
    (resumed,) = stage.of(stage.catalogue.resumed_events.name)
    event = msgspec.json.decode(resumed.value, type=ResumedEvent).event
    opened = opened_event(event, keys.get(["ann"]))
    assert isinstance(opened, PlaceReviewed)
    assert opened.text == WORDS
    await ResumedPass(ingest).process([stage.record(resumed.topic, 1, resumed.key, resumed.value)])
    assert stage.writes("graph")
    assert WORDS.encode() not in all_bytes(stage)
    assert stage.letters() == []
