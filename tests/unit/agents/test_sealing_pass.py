"""Sensitive fields in the pass over a batch of events: sealed before anything leaves; without keys it waits."""

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.keys import MasterKeys, SQLiteKeyStore, StoredKey, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.sinks.errors import Unavailable
from schemas.events import DetailsGiven, MessageSent
from schemas.sensitive import ERASED, read_sealed, sealed_text
from schemas.writes import RelationalWrite
from streams.agents.events import EventPass
from streams.runtime.publisher import TryAgain

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
EMAIL, PASSPORT = "ann@example.org", "AB1234567"


def details(number: int = 1, user: str = "ann") -> DetailsGiven:
    return DetailsGiven(event_id=f"{user}-{number}", user_id=user, occurred_at=NOON, email=EMAIL, passport=PASSPORT)


def message(number: int = 9) -> MessageSent:
    return MessageSent(
        event_id=f"m-{number}", user_id="bob", occurred_at=NOON, conversation_id="c", role="user", text="hello"
    )


class Store(SQLiteKeyStore):
    away = False
    asked = 0

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        self.asked += 1
        if self.away:
            raise Unavailable("the keys are away")
        return super().get(user_ids)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "user-keys.db")


@pytest.fixture
def keys(store: Store) -> Generator[UserKeys]:
    keys = UserKeys(store, lambda _: MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_file"))
    yield keys
    keys.close()


def row(stage: Any) -> dict[str, Any]:
    (write,) = stage.writes("relational")
    assert isinstance(write, RelationalWrite)
    return write.columns


async def test_nothing_that_leaves_the_pass_has_a_sensitive_value(stage: Any, keys: UserKeys) -> None:
    await EventPass(stage.ingest(keys=keys), "normal").process([stage.event(details(), 1)])
    sent = b"".join(record.value or b"" for record in stage.kafka.records)
    assert b"sealed:1:" in sent
    assert EMAIL.encode() not in sent
    assert PASSPORT.encode() not in sent
    columns, key = row(stage), keys.get(["ann"])["ann"]
    assert key is not None
    sealed = read_sealed(columns["email"])
    assert sealed is not None
    assert key.unseal("email", sealed) == EMAIL
    assert columns["email_index"] == keys.masters.index("email", EMAIL)


async def test_a_replay_after_a_crash_sends_the_same_bytes(stage: Any, keys: UserKeys) -> None:
    ingest = stage.ingest(keys=keys)
    for _ in range(2):
        await EventPass(ingest, "normal").process([stage.event(details(), 1)])
    first, second = (one.value for one in stage.kafka.records if b"traveller_details" in (one.value or b""))
    assert first == second


async def test_while_keys_cannot_be_had_the_batch_is_tried_again_and_nothing_is_sent(
    stage: Any, store: Store, keys: UserKeys
) -> None:
    store.away = True
    events = EventPass(stage.ingest(keys=keys), "normal")
    with pytest.raises(TryAgain, match="away"):
        await events.process([stage.event(details(), 1)])
    assert stage.kafka.records == []
    store.away = False
    await events.process([stage.event(details(), 1)])
    assert row(stage)["email"].startswith("sealed:1:")


async def test_events_without_sensitive_fields_ask_for_no_keys(stage: Any, store: Store, keys: UserKeys) -> None:
    store.away = True
    await EventPass(stage.ingest(keys=keys), "normal").process([stage.event(message(), 1)])
    assert len(stage.writes("relational")) == 1
    assert store.asked == 0


async def test_events_of_users_whose_keys_are_remembered_ask_the_store_once(
    stage: Any, store: Store, keys: UserKeys
) -> None:
    ingest = stage.ingest(keys=keys)
    for number in range(5):
        await EventPass(ingest, "normal").process([stage.event(details(number), number)])
    assert store.asked == 2  # once to look, and once for what was added


async def test_of_a_user_whose_key_is_destroyed_nothing_readable_goes_on(stage: Any, keys: UserKeys) -> None:
    keys.destroy(["ann"])
    await EventPass(stage.ingest(keys=keys), "normal").process([stage.event(details(), 1)])
    assert (row(stage)["email"], row(stage)["email_index"]) == (sealed_text(ERASED), None)


async def test_without_keys_fields_stay_as_they_come(stage: Any) -> None:
    await EventPass(stage.ingest(), "normal").process([stage.event(details(), 1)])
    assert row(stage)["email"] == EMAIL
