"""Sealed writes are opened just before their store takes them; what nobody can read never gets there."""

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from connectors.keys import MasterKeys, SQLiteKeyStore, StoredKey, UserKeys
from connectors.keys.contents import opened_write, sealed_write
from connectors.keys.master import KEY_BYTES
from connectors.sinks.contract import APPLIED, Outcome
from connectors.sinks.errors import Unavailable
from schemas.headers import header_map
from schemas.writes import BaseWrite, CacheWrite, decode_write, encode_write
from streams.delivery.opening import Opening
from tests.unit.delivery.stand_ins import (
    StandInPublisher,
    StandInRecord,
    StandInRun,
    StandInSink,
    accept,
    delivering,
    finished,
    until,
)

NOON = datetime(2026, 1, 1, tzinfo=UTC)


class Keeps(StandInSink):
    """Remembers what it was given, and tells what would undo the next write."""

    def __init__(self) -> None:
        super().__init__(lambda batch: [APPLIED] * len(batch))
        self.given: list[CacheWrite] = []

    def write(self, batch: Sequence[Any]) -> list[Outcome]:
        self.given += batch
        return super().write(batch)

    def before(self, writes: Sequence[CacheWrite]) -> list[CacheWrite | None]:
        return [structs.replace(one, version=0, undo=False, value="said before") for one in writes]


class Store(SQLiteKeyStore):
    away = False

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
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


def plain(user: str, **more: Any) -> CacheWrite:
    name = f"position:{user}"
    fields: dict[str, Any] = {"version": 1, "source": "s", "event_id": "e", "occurred_at": NOON, "value": "at the pier"}
    return CacheWrite(entity=name, key=name, **(fields | more))


def sealed(keys: UserKeys, user: str, **more: Any) -> CacheWrite:
    return sealed_write(plain(user, **more), user, keys.get_or_create([user]))


def run_of(*writes: BaseWrite) -> StandInRun:
    return StandInRun([StandInRecord(encode_write(one), number) for number, one in enumerate(writes)])


async def delivered(opening: Opening, sink: Keeps, publisher: StandInPublisher, *writes: BaseWrite) -> None:
    async with delivering(sink, publisher, opening=opening) as delivery:
        run = run_of(*writes)
        accept(delivery, run)
        await finished(run)


async def test_a_store_is_given_what_was_sealed_beside_what_was_not(keys: UserKeys) -> None:
    sink, publisher = Keeps(), StandInPublisher()
    await delivered(Opening(keys), sink, publisher, sealed(keys, "ann"), plain("bob"))
    assert sink.given == [plain("ann"), plain("bob")]
    assert [one.result for one in publisher.receipts()] == ["applied"] * 2


async def test_what_nobody_can_read_any_more_is_superseded_and_never_reaches_the_store(keys: UserKeys) -> None:
    sink, publisher, gone = Keeps(), StandInPublisher(), sealed(keys, "ann", undo=True)
    keys.destroy(["ann"])
    await delivered(Opening(keys), sink, publisher, gone, plain("bob"))
    assert sink.given == [plain("bob")]
    assert [(one.entity, one.result) for one in publisher.receipts()] == [
        ("position:ann", "superseded"),
        ("position:bob", "applied"),
    ]
    assert publisher.letters() == []


async def test_a_content_that_was_altered_becomes_a_dead_letter_as_it_came(keys: UserKeys) -> None:
    sink, publisher, moved = Keeps(), StandInPublisher(), structs.replace(sealed(keys, "ann"), source="other")
    await delivered(Opening(keys), sink, publisher, moved, plain("bob"))
    (letter,) = publisher.letters()
    assert decode_write(letter.value or b"") == moved
    assert "ContentAltered" in str(header_map(letter.headers))
    assert sink.given == [plain("bob")]


@pytest.mark.parametrize("why", ["away", "off"])
async def test_while_keys_cannot_be_had_sealed_writes_wait(store: Store, keys: UserKeys, why: str) -> None:
    sink, publisher, write = Keeps(), StandInPublisher(), sealed(keys, "ann")
    keys.close()  # and nothing is remembered
    store.away = why == "away"
    async with delivering(sink, publisher, opening=Opening(None if why == "off" else keys)) as delivery:
        run = run_of(write)
        accept(delivery, run)
        await until(lambda: len(run.held_up) > 1)
        assert ("keys.store" if why == "off" else "the keys are away") in run.held_up[0]
        assert sink.given == []
        if why == "away":
            store.away = False
            await finished(run)
            assert sink.given == [plain("ann")]


@pytest.mark.parametrize("came", ["sealed", "plain"])
async def test_what_undoes_a_write_about_a_person_is_told_sealed(keys: UserKeys, came: str) -> None:
    sink, publisher = Keeps(), StandInPublisher()
    write = sealed(keys, "ann", undo=True) if came == "sealed" else plain("ann", undo=True)
    await delivered(Opening(keys, everything=True), sink, publisher, write)
    assert b"said before" not in b"".join(one.value or b"" for one in publisher.published)
    (undo,) = [one.undo for one in publisher.receipts() if one.undo is not None]
    opened = opened_write(undo, keys.get(["ann"]))
    assert isinstance(opened, CacheWrite)
    assert opened.value == "said before"


async def test_what_undoes_a_plain_write_is_told_as_it_is_where_only_fields_are_sealed(keys: UserKeys) -> None:
    publisher = StandInPublisher()
    await delivered(Opening(keys), Keeps(), publisher, plain("ann", undo=True))
    assert b"said before" in b"".join(one.value or b"" for one in publisher.published)
