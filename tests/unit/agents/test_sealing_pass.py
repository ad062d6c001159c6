"""Sensitive fields in the pass over a batch of events: sealed before anything leaves; without keys it waits."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.keys import MasterKeys, SQLiteKeyStore, StoredKey, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.sinks.errors import Unavailable
from schemas.conflicts import EntityClaim, decode_conflict_record
from schemas.events import DetailsGiven, MessageSent
from schemas.reference import Profile
from schemas.sensitive import ERASED, read_sealed, sealed_text
from schemas.writes import RelationalWrite, WarehouseWrite
from streams.agents.changes import ChangePass
from streams.agents.events import EventPass
from streams.agents.sealing import Sealing
from streams.conflicts.rules import Rule, Rules
from streams.conflicts.strategies import manual
from streams.routing.sensitive import SensitiveColumns
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

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_asked, self.answers = threading.Event(), threading.Event()
        self.answers.set()

    def get(self, user_ids: Sequence[str]) -> dict[str, StoredKey]:
        self.asked += 1
        self.is_asked.set()
        self.answers.wait()
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


def ingest_of(stage: Any, keys: UserKeys, *columns: str) -> Any:
    return stage.ingest(sealing=Sealing(keys, SensitiveColumns(columns)))


def row(stage: Any) -> dict[str, Any]:
    (write,) = stage.writes("relational")
    assert isinstance(write, RelationalWrite)
    return write.columns


async def test_nothing_that_leaves_the_pass_has_a_sensitive_value(stage: Any, keys: UserKeys) -> None:
    await EventPass(ingest_of(stage, keys), "normal").process([stage.event(details(), 1)])
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
    ingest = ingest_of(stage, keys)
    for _ in range(2):
        await EventPass(ingest, "normal").process([stage.event(details(), 1)])
    first, second = (one.value for one in stage.kafka.records if b"traveller_details" in (one.value or b""))
    assert first == second


async def test_while_keys_cannot_be_had_the_batch_is_tried_again_and_nothing_is_sent(
    stage: Any, store: Store, keys: UserKeys
) -> None:
    store.away = True
    events = EventPass(ingest_of(stage, keys), "normal")
    with pytest.raises(TryAgain, match="away"):
        await events.process([stage.event(details(), 1)])
    assert stage.kafka.records == []
    store.away = False
    await events.process([stage.event(details(), 1)])
    assert row(stage)["email"].startswith("sealed:1:")


async def test_while_the_store_of_keys_does_not_answer_others_have_their_threads(
    stage: Any, store: Store, keys: UserKeys
) -> None:
    with ThreadPoolExecutor(1) as only:
        asyncio.get_running_loop().set_default_executor(only)
        answers = store.answers = threading.Event()
        waiting = asyncio.create_task(EventPass(ingest_of(stage, keys), "normal").process([stage.event(details(), 1)]))
        try:
            await asyncio.wait_for(asyncio.to_thread(store.is_asked.wait), 10)
        finally:
            answers.set()
        await waiting
    assert row(stage)["email"].startswith("sealed:1:")


async def test_events_without_sensitive_fields_ask_for_no_keys(stage: Any, store: Store, keys: UserKeys) -> None:
    store.away = True
    await EventPass(ingest_of(stage, keys), "normal").process([stage.event(message(), 1)])
    assert len(stage.writes("relational")) == 1
    assert store.asked == 0


async def test_events_of_users_whose_keys_are_remembered_ask_the_store_once(
    stage: Any, store: Store, keys: UserKeys
) -> None:
    ingest = ingest_of(stage, keys)
    for number in range(5):
        await EventPass(ingest, "normal").process([stage.event(details(number), number)])
    assert store.asked == 2  # once to look, and once for what was added


async def test_of_a_user_whose_key_is_destroyed_nothing_readable_goes_on(stage: Any, keys: UserKeys) -> None:
    keys.destroy(["ann"])
    await EventPass(ingest_of(stage, keys), "normal").process([stage.event(details(), 1)])
    assert (row(stage)["email"], row(stage)["email_index"]) == (sealed_text(ERASED), None)


async def test_without_keys_fields_stay_as_they_come(stage: Any) -> None:
    await EventPass(stage.ingest(), "normal").process([stage.event(details(), 1)])
    assert row(stage)["email"] == EMAIL


def change(table: str, op: str = "u", **columns: Any) -> dict[str, Any]:
    source = {"version": "3.4", "connector": "postgresql", "name": "cdc.travel", "ts_ms": 1_777_636_800_000, "db": "d"}
    before, after = (columns, None) if op == "d" else ({**columns, "email": "old@example.org"}, columns)
    place = {"schema": "public", "table": table, "lsn": 100}
    return {"before": before, "after": after, "source": source | place, "op": op}


async def changed(stage: Any, ingest: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Send a change through and return the row that the warehouse gets."""
    topic = stage.catalogue.changes["public.users"].name
    row = value["after"] or value["before"]
    encoded = stage.record(topic, 1, msgspec.json.encode({"id": row["id"]}), msgspec.json.encode(value))
    await ChangePass(ingest).process([encoded])
    assert stage.letters() == []
    write = stage.writes("warehouse")[-1]
    assert isinstance(write, WarehouseWrite)
    return write.body["row"]


def opened(keys: UserKeys, user: str, field: str, text: str) -> str:
    key, sealed = keys.get([user])[user], read_sealed(text)
    assert key is not None
    assert sealed is not None
    return key.unseal(field, sealed)


async def test_columns_that_are_declared_are_sealed_for_the_user_of_the_row(stage: Any, keys: UserKeys) -> None:
    ingest = ingest_of(stage, keys, r".*\.email", "public.orders.card=buyer", r"public\.orders\.total")
    users = await changed(stage, ingest, change("users", id="ann", name="Ann", email=EMAIL))
    assert opened(keys, "ann", "email", users["email"]) == EMAIL
    assert users["name"] == "Ann"
    orders = await changed(stage, ingest, change("orders", id="o1", buyer="bob", user_id="ann", card="4111", total=5))
    assert opened(keys, "bob", "card", orders["card"]) == "4111"
    assert opened(keys, "ann", "total", orders["total"]) == "5"
    gone = await changed(stage, ingest, change("users", "d", id="ann", email=EMAIL))
    assert opened(keys, "ann", "email", gone["email"]) == EMAIL
    nobodys = await changed(stage, ingest, change("notes", id="n1", email=EMAIL))
    assert opened(keys, "public.notes:n1", "email", nobodys["email"]) == EMAIL
    assert b"example.org" not in b"".join(record.value or b"" for record in stage.kafka.records)


async def test_what_enrichment_knows_of_a_traveller_is_sealed_as_well(stage: Any, keys: UserKeys) -> None:
    await changed(stage, ingest_of(stage, keys, "public.users.name"), change("users", id="ann", name="Ann Smith"))
    (known,) = stage.of(stage.catalogue.reference_users.name)
    assert opened(keys, "ann", "name", msgspec.json.decode(known.value, type=Profile).name) == "Ann Smith"
    assert b"Ann Smith" not in b"".join(record.value or b"" for record in stage.kafka.records)


@pytest.mark.parametrize(
    ("sealed", "ignored", "told"),
    [("email", (), False), ("email", ("email",), True), ("passport", (), True)],
    ids=["sealed", "sealed and ignored", "not sealed"],
)
async def test_what_a_claim_changed_is_not_told_where_a_column_of_it_is_sealed(
    stage: Any, keys: UserKeys, sealed: str, ignored: tuple[str, ...], told: bool
) -> None:
    """It is sealed anew for each change, so it would never be what another source has said."""
    rule = Rule(strategy="manual", settle=manual, ignored=frozenset(ignored))
    sealing = Sealing(keys, SensitiveColumns([f"public.users.{sealed}"]))
    ingest = stage.ingest(sealing=sealing, rules=Rules(types={"user": rule}))
    await changed(stage, ingest, change("users", id="ann", name="Ann", email=EMAIL))
    (sent,) = stage.of(stage.catalogue.claims.name)
    assert (decode_conflict_record(sent.value, EntityClaim).base is not None) is told


async def test_rows_without_sensitive_columns_ask_for_no_keys(stage: Any, store: Store, keys: UserKeys) -> None:
    store.away = True
    row = await changed(stage, ingest_of(stage, keys, "public.orders.card"), change("users", id="ann", name="Ann"))
    assert row["name"] == "Ann"
    places = ingest_of(stage, keys, ".*")
    at = {"id": "p1", "name": "Inn", "kind": "hotel", "phone": "01223"}
    assert (await changed(stage, places, change("places", **at)))["phone"] == "01223"
    assert store.asked == 0
