"""Events of persons who are being erased wait, and go on or not when it is over; others notice nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from connectors.keys import MasterKeys, SQLiteKeyStore, UserKeys
from connectors.keys.master import KEY_BYTES
from connectors.keys.reading import FieldValue, unseal
from schemas.changes import Change
from schemas.erasures import ErasureEnd, ErasureStart, decode_erasure_record, encode_erasure_record
from schemas.events import DetailsGiven, ErasureRequested, Event, GpsUpdate, SearchPerformed, TripStarted
from schemas.reference import ResumedEvent, WaitingEvent
from schemas.writes import GraphWrite, NodeRef, WarehouseWrite
from streams.agents.erasures import ErasureRoom
from streams.agents.events import EventPass
from streams.agents.ingest import Ingest
from streams.agents.sealing import Sealing
from streams.agents.waiting import ResumedPass
from streams.enrichment.travellers import TravellerState
from streams.erasure.hold import Erased, Policy
from streams.erasure.metrics import HoldMetrics
from streams.routing.sensitive import SensitiveColumns
from streams.runtime.publisher import Outgoing, TryAgain

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _common(event_id: str, minute: int, user: str) -> dict[str, Any]:
    at = NOON + timedelta(minutes=minute)
    return {"event_id": event_id, "user_id": user, "occurred_at": at, "version": 1_000 + minute}


def details(event_id: str, minute: int) -> Event:
    return DetailsGiven(**_common(event_id, minute, "ann"), email="ann@example.org")


def search(event_id: str, minute: int, user: str = "ann") -> Event:
    return SearchPerformed(**_common(event_id, minute, user), query="pasta", results=1)


def request(event_id: str = "forget", minute: int = 10) -> Event:
    return ErasureRequested(**_common(event_id, minute, "ann"))


class Room:
    """The ingest role with erasures."""

    def __init__(self, stage: Any, policy: Policy, sealing: Sealing | None = None) -> None:
        held = stage.app.state("held", WaitingEvent, changelog="held-log")
        tables = stage.tables
        self.stage = stage
        self.held = held
        self.held_rows = stage.app.state("held_rows", Change, changelog="held-rows-log")
        tables = structs.replace(tables, held=held, held_rows=self.held_rows)
        self.registry = CollectorRegistry()
        holds = HoldMetrics(self.registry)
        self.ingest: Ingest = stage.ingest(erasure=policy, tables=tables, sealing=sealing, holds=holds)
        self.room = ErasureRoom(self.ingest, policy)
        self.offset = 0

    async def take(self, *events: Event) -> None:
        self.offset += len(events)
        first = self.offset - len(events)
        records = [self.stage.event(event, first + number) for number, event in enumerate(events)]
        await EventPass(self.ingest, "normal").process(records)

    async def end(self, erasure: str = "forget", offset: int = 0) -> None:
        value = encode_erasure_record(ErasureEnd(id=erasure, user_id="ann", version=1_010, highest=5_000))
        topic = self.stage.catalogue.erasure_ends.name
        await self.room.end([self.stage.record(topic, offset, b"ann", value)])

    async def resume(self) -> None:
        back = self.stage.of(self.stage.catalogue.resumed_events.name)
        topic = self.stage.catalogue.resumed_events.name
        await ResumedPass(self.ingest).process(
            [self.stage.record(topic, number, one.key, one.value) for number, one in enumerate(back)]
        )

    def counted(self, outcome: str, what: str = "events") -> float:
        labels = {"what": what, "outcome": outcome}
        return self.registry.get_sample_value("stream_erasure_held_back_total", labels) or 0

    def shown(self) -> dict[str, float | None]:
        name = "stream_erasure_held"
        return {what: self.registry.get_sample_value(name, {"what": what}) for what in ("events", "rows")}

    @property
    def went_through(self) -> list[str]:
        return [write.event_id for write in self.stage.writes() if isinstance(write, WarehouseWrite)]

    @property
    def starts(self) -> list[ErasureStart]:
        found = self.stage.of(self.stage.catalogue.erasure_starts.name)
        return [decode_erasure_record(one.value, ErasureStart) for one in found]

    @property
    def waiting(self) -> list[str]:
        return [one.event.event_id for one in self.stage.state(self.held).values()]


@pytest.fixture
def refusing(stage: Any) -> Room:
    return Room(stage, "refuse")


@pytest.fixture
def afresh(stage: Any) -> Room:
    return Room(stage, "afresh")


async def test_from_the_request_on_events_of_that_person_wait_also_in_the_same_batch(afresh: Room) -> None:
    await afresh.take(search("a", 0), request(), search("b", 11), search("c", 12, "bob"))
    await afresh.take(search("d", 13), search("e", 14, "bob"))
    assert afresh.went_through == ["a", "forget", "c", "e"]
    assert afresh.waiting == ["b", "d"]


async def test_what_waits_and_what_became_of_it_is_in_the_metrics(afresh: Room) -> None:
    await afresh.take(request(), search("b", 11), search("c", 12), search("late", 1))
    await afresh.room.count([0])
    assert (afresh.counted("held"), afresh.counted("refused"), afresh.shown()) == (2, 1, {"events": 2, "rows": 0})
    await afresh.end()
    await afresh.room.count([0])
    assert (afresh.counted("released"), afresh.shown()) == (2, {"events": 0, "rows": 0})


async def test_the_erasure_begins_once_the_request_is_durable(refusing: Room) -> None:
    await refusing.take(request())
    calls = [{one.topic for one in call} for call in refusing.stage.kafka.calls]
    start = refusing.stage.catalogue.erasure_starts.name
    assert calls.index({start}) > next(n for n, call in enumerate(calls) if "travellers-log" in call)
    assert [(one.id, one.user_id, one.version) for one in refusing.starts] == [("forget", "ann", 1_010)]


async def test_a_request_whose_beginning_was_not_told_is_told_when_it_comes_again(refusing: Room) -> None:
    start = refusing.stage.catalogue.erasure_starts.name

    def away(records: Sequence[Outgoing]) -> Exception | None:
        return TryAgain("away") if start in {one.topic for one in records} else None

    def there(_: Sequence[Outgoing]) -> None:
        return None

    refusing.stage.kafka.fails = away
    with pytest.raises(TryAgain):
        await refusing.take(request())
    refusing.stage.kafka.fails = there
    refusing.offset = 0
    await refusing.take(request())
    assert [one.id for one in refusing.starts] == ["forget"]


async def test_what_is_known_of_a_person_is_forgotten_with_the_request(refusing: Room) -> None:
    await refusing.take(TripStarted(**_common("t", 0, "ann"), trip_id="t-1"))
    gps = GpsUpdate(**_common("g", 1, "ann"), lat=1.0, lon=1.0)
    await EventPass(refusing.ingest, "normal").process([refusing.stage.event(gps, 0)])
    await refusing.take(request())
    assert refusing.stage.state(refusing.stage.tables.travellers) == {
        "ann": TravellerState(erased=Erased("forget", 1_010))
    }


async def test_what_is_older_than_the_request_and_comes_late_goes_no_further(refusing: Room) -> None:
    await refusing.take(request(), search("late", 9))
    assert refusing.went_through == ["forget"]
    assert refusing.waiting == []


async def test_by_the_policy_refuse_only_another_request_waits_and_nothing_else_goes_further(refusing: Room) -> None:
    await refusing.take(request(), search("b", 11))
    assert refusing.waiting == []
    await refusing.take(request("again", 20))
    assert refusing.waiting == ["again"]
    await refusing.end()
    await refusing.resume()
    assert [one.id for one in refusing.starts] == ["forget", "again"]
    await refusing.end("again")
    await refusing.take(search("c", 22))
    back = refusing.stage.of(refusing.stage.catalogue.resumed_events.name)
    assert [msgspec.json.decode(one.value, type=ResumedEvent).event for one in back] == [request("again", 20)]
    assert refusing.went_through == ["forget", "again"]
    assert refusing.waiting == []


async def test_by_the_policy_afresh_what_waited_and_what_comes_goes_on_with_a_new_node(afresh: Room) -> None:
    await afresh.take(request(), search("b", 11))
    await afresh.end()
    await afresh.resume()
    await afresh.take(search("c", 12), search("late", 3))
    assert afresh.went_through == ["forget", "b", "c"]
    nodes = [write for write in afresh.stage.writes() if isinstance(write, GraphWrite)]
    assert [(one.entity, one.version, one.node) for one in nodes] == [("user:ann", 5_001, NodeRef("User", "ann"))]


async def test_details_that_waited_are_sealed_with_the_key_of_who_began_afresh(stage: Any, tmp_path: Path) -> None:
    keys = UserKeys(SQLiteKeyStore(tmp_path / "user-keys.db"), lambda _: MasterKeys({"m1": b"m" * KEY_BYTES}, "keys"))
    room = Room(stage, "afresh", Sealing(keys, SensitiveColumns(())))
    await room.take(details("a", 9), request(), details("b", 11))
    keys.destroy(["ann"])
    keys.start_afresh(["ann"])
    await room.end()
    await room.resume()
    written = [write for write in stage.writes("relational") if write.event_id == "b"]
    values = [FieldValue("ann", "email", write.columns["email"]) for write in written]
    assert unseal(keys, values) == ["ann@example.org"]
    assert values[0].text.startswith("sealed:1:")
    keys.close()


async def test_somebody_who_began_afresh_can_be_erased_once_more(afresh: Room) -> None:
    await afresh.take(request(), search("b", 11), request("again", 20))
    await afresh.end()
    await afresh.resume()
    await afresh.take(search("c", 30))
    assert [one.id for one in afresh.starts] == ["forget", "again"]
    assert afresh.waiting == ["c"]


async def test_the_end_of_another_erasure_ends_nothing(afresh: Room) -> None:
    await afresh.take(request(), search("b", 11))
    await afresh.end("another")
    assert afresh.waiting == ["b"]


async def test_an_end_that_comes_twice_lets_go_once(afresh: Room) -> None:
    await afresh.take(request(), search("b", 11))
    await afresh.end()
    await afresh.end(offset=1)
    back = afresh.stage.of(afresh.stage.catalogue.resumed_events.name)
    assert len(back) == 1
    assert msgspec.json.decode(back[0].value, type=ResumedEvent).event == search("b", 11)
