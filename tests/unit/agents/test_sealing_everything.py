"""With `keys.seals = "everything"` nothing that leaves ingest about a person can be read without their key."""

from collections.abc import Generator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.keys import MasterKeys, SQLiteKeyStore, UserKeys
from connectors.keys.contents import opened_write
from connectors.keys.master import KEY_BYTES
from schemas.events import Event, MessageSent, PreferenceStated, SearchPerformed, TripPlanned, UrgentRequest
from schemas.persons import persons_of
from schemas.sagas import SagaStart, decode_saga_record
from schemas.writes import BaseWrite, encode_write
from streams.agents.changes import ChangePass
from streams.agents.events import EventPass
from streams.agents.sealing import Sealing
from streams.routing.sensitive import SensitiveColumns
from streams.sagas.declared import DECLARED
from streams.sagas.kinds import Kinds

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORDS = "see you at the pier"


@pytest.fixture
def keys(tmp_path: Path) -> Generator[UserKeys]:
    store = SQLiteKeyStore(tmp_path / "user-keys.db")
    keys = UserKeys(store, lambda _: MasterKeys({"m1": b"m" * KEY_BYTES}, "keys.master_file"))
    yield keys
    keys.close()


def sealing(keys: UserKeys, *, everything: bool = True) -> Sealing:
    return Sealing(keys, SensitiveColumns(()), everything=everything)


def events(user: str = "ann") -> list[Event]:
    def common(number: int) -> dict[str, Any]:
        return {"event_id": f"{user}-{number}", "user_id": user, "occurred_at": NOON}

    days: dict[str, Any] = {"starts_on": date(2026, 1, 1), "ends_on": date(2026, 1, 2)}
    return [
        MessageSent(**common(1), conversation_id="c", role="user", text=WORDS),
        PreferenceStated(**common(2), category="cuisine", value="thai", strength=1, text=WORDS),
        TripPlanned(**common(3), trip_id="t", title=WORDS, destinations=["Rome"], **days),
        SearchPerformed(**common(4), query=WORDS, results=1),
        UrgentRequest(**common(5), category="lost", text=WORDS),
    ]


async def sent(stage: Any, **parts: Any) -> bytes:
    records = [stage.event(event, number) for number, event in enumerate(events())]
    await EventPass(stage.ingest(**parts), "normal").process(records)
    return b"".join(record.value or b"" for record in stage.kafka.records)


async def test_no_text_of_a_person_leaves_ingest_readable(stage: Any, keys: UserKeys) -> None:
    assert WORDS.encode() not in await sent(stage, sealing=sealing(keys))
    writes: list[BaseWrite] = stage.writes()
    assert writes
    assert all(one.sealed is not None and persons_of(one) == {"ann"} for one in writes)
    opened = b"".join(encode_write(one) for write in writes if (one := opened_write(write, keys.get(["ann"]))))
    assert opened.count(WORDS.encode()) >= 5


async def test_where_only_fields_are_sealed_writes_stay_as_they_are(stage: Any, keys: UserKeys) -> None:
    assert WORDS.encode() in await sent(stage, sealing=sealing(keys, everything=False))
    assert all(one.sealed is None for one in stage.writes())


async def test_a_replay_sends_the_same_sealed_bytes(stage: Any, keys: UserKeys) -> None:
    ingest = stage.ingest(sealing=sealing(keys))
    record = stage.event(events()[0], 1)
    await EventPass(ingest, "normal").process([record])
    first = [one for one in stage.kafka.records if one.topic in stage.catalogue.write_topics().values()]
    stage.kafka.calls.clear()
    await EventPass(ingest, "normal").process([record])
    again = [one for one in stage.kafka.records if one.topic in stage.catalogue.write_topics().values()]
    assert first
    assert again == first


async def test_a_saga_is_given_sealed_writes(stage: Any, keys: UserKeys) -> None:
    assert WORDS.encode() not in await sent(stage, sealing=sealing(keys), kinds=Kinds(DECLARED))
    (start,) = [decode_saga_record(one.value, SagaStart) for one in stage.of(stage.catalogue.saga_starts.name)]
    assert {name: write.sealed is not None for name, write in start.writes.items()} == {"plan": True, "itinerary": True}


async def test_what_follows_from_the_row_of_a_traveller_is_sealed_and_from_others_is_not(
    stage: Any, keys: UserKeys
) -> None:
    def change(table: str, **row: Any) -> bytes:
        source = {"version": "3.4", "connector": "postgresql", "name": "cdc.travel", "ts_ms": 1_777_636_800_000}
        place = {"db": "d", "schema": "public", "table": table, "lsn": 100}
        return msgspec.json.encode({"before": None, "after": row, "source": source | place, "op": "u"})

    passing = ChangePass(stage.ingest(sealing=sealing(keys)))
    for table, row in (("users", {"id": "ann", "name": "Ann Smith"}), ("notes", {"id": "n", "note": "nobody's"})):
        topic = stage.catalogue.changes_of(f"public.{table}").name
        await passing.process([stage.record(topic, 1, msgspec.json.encode({"id": row["id"]}), change(table, **row))])
    assert stage.letters() == []
    of_writes = {one.topic: one.value or b"" for one in stage.kafka.records if ".writes." in f".{one.topic}"}
    assert all(b"Ann Smith" not in value for value in of_writes.values())
    assert [one.sealed is not None for one in stage.writes("warehouse")] == [True, False]
