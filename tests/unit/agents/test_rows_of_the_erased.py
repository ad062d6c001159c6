"""Changes of the rows of persons who are being erased wait, and go on or not when it is over; others notice nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.changes import Change
from schemas.clock import milliseconds, pack
from schemas.erasures import ErasureEnd, encode_erasure_record
from schemas.events import ErasureRequested
from schemas.reference import WaitingEvent
from schemas.writes import GraphWrite, WarehouseWrite
from streams.agents.changes import ChangePass
from streams.agents.erasures import ErasureRoom
from streams.agents.events import EventPass
from streams.agents.ingest import Ingest
from streams.agents.person_changes import PersonChangePass
from streams.erasure.hold import Erased, Policy, fate_of_row

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ASKED_MS = milliseconds(NOON)


class Room:
    """The ingest role with erasures, of which rows pass through both topics."""

    def __init__(self, stage: Any, policy: Policy) -> None:
        self.stage = stage
        self.held_rows = stage.app.state("held_rows", Change, changelog="held-rows-log")
        held = stage.app.state("held", WaitingEvent, changelog="held-log")
        tables = structs.replace(stage.tables, held=held, held_rows=self.held_rows)
        self.ingest: Ingest = stage.ingest(erasure=policy, tables=tables)
        self.rows = PersonChangePass(self.ingest, policy)
        self.room = ErasureRoom(self.ingest, policy)
        self.read = 0

    async def change(self, lsn: int, minute: int, *, user: str = "ann", table: str = "users", op: str = "u") -> None:
        row = {"id": user, "name": f"{user} {lsn}", "kind": "hotel"}
        value = {
            "before": row if op == "d" else None,
            "after": None if op == "d" else row,
            "op": op,
            "source": {
                "version": "3.4",
                "connector": "postgresql",
                "name": "cdc.travel",
                "ts_ms": milliseconds(NOON + timedelta(minutes=minute)),
                "db": "travel",
                "schema": "public",
                "table": table,
                "lsn": lsn,
            },
        }
        topic = self.stage.catalogue.changes[f"public.{table}"].name
        key, body = msgspec.json.encode({"id": user}), msgspec.json.encode(value)
        await ChangePass(self.ingest).process([self.stage.record(topic, lsn, key, body)])
        await self.go_on()

    async def go_on(self) -> None:
        """Have what was re-keyed, and not been read yet, processed."""
        topic = self.stage.catalogue.person_changes.name
        sent = self.stage.of(topic)
        first, self.read = self.read, len(sent)
        records = [self.stage.record(topic, first + n, one.key, one.value) for n, one in enumerate(sent[first:])]
        if records:
            await self.rows.process(records)

    async def ask(self) -> None:
        event = ErasureRequested(event_id="forget", user_id="ann", occurred_at=NOON, version=pack(ASKED_MS, 0))
        await EventPass(self.ingest, "normal").process([self.stage.event(event, 0)])

    async def end(self) -> None:
        end = ErasureEnd(id="forget", user_id="ann", version=pack(ASKED_MS, 0), highest=pack(ASKED_MS, 1))
        topic = self.stage.catalogue.erasure_ends.name
        await self.room.end([self.stage.record(topic, 0, b"ann", encode_erasure_record(end))])
        await self.go_on()

    @property
    def went_through(self) -> list[int]:
        """The versions that the store of history got, and with each the graph."""
        rows = [one for one in self.stage.writes() if isinstance(one, WarehouseWrite) and one.dataset == "changes"]
        nodes = {one.version for one in self.stage.writes() if isinstance(one, GraphWrite) and one.source != "events"}
        assert {one.version for one in rows} == nodes
        return [one.version for one in rows]

    @property
    def waiting(self) -> list[int | None]:
        return [one.source.lsn for one in self.stage.state(self.held_rows).values()]


@pytest.fixture
def refusing(stage: Any) -> Room:
    return Room(stage, "refuse")


@pytest.fixture
def afresh(stage: Any) -> Room:
    return Room(stage, "afresh")


async def test_a_row_of_somebody_who_is_erased_waits_until_it_is_over_and_then_goes_on(afresh: Room) -> None:
    await afresh.change(100, minute=-5)
    await afresh.ask()
    await afresh.change(200, minute=5)
    await afresh.change(300, minute=5, user="bob")
    assert (afresh.went_through, afresh.waiting) == ([100, 300], [200])
    await afresh.end()
    assert (afresh.went_through, afresh.waiting) == ([100, 300, 200], [])
    await afresh.change(400, minute=6, op="d")
    assert afresh.went_through == [100, 300, 200, 400]


async def test_a_row_from_before_the_request_that_is_read_after_it_goes_no_further(afresh: Room) -> None:
    await afresh.ask()
    await afresh.change(100, minute=-5)
    assert (afresh.went_through, afresh.waiting) == ([], [])
    await afresh.end()
    await afresh.change(101, minute=-4)
    assert afresh.went_through == []


async def test_by_the_policy_refuse_no_row_of_theirs_goes_on_and_nothing_keeps_it(refusing: Room) -> None:
    await refusing.ask()
    await refusing.change(200, minute=5)
    assert refusing.waiting == []
    await refusing.end()
    await refusing.change(300, minute=10)
    await refusing.change(400, minute=11, op="d")
    assert refusing.went_through == []
    assert refusing.stage.letters() == []


async def test_what_enrichment_knows_of_a_person_is_not_renewed_while_they_are_erased(refusing: Room) -> None:
    await refusing.change(100, minute=-5)
    await refusing.ask()
    await refusing.change(200, minute=5)
    known = refusing.stage.of(refusing.stage.catalogue.reference_users.name)
    assert [msgspec.json.decode(one.value)["lsn"] for one in known] == [100]


async def test_rows_of_other_tables_take_no_other_way(refusing: Room) -> None:
    await refusing.change(100, minute=0, user="p-1", table="places")
    assert refusing.stage.of(refusing.stage.catalogue.person_changes.name) == []
    assert refusing.went_through


async def test_what_is_no_change_is_a_dead_letter(refusing: Room) -> None:
    topic = refusing.stage.catalogue.person_changes.name
    await refusing.rows.process([refusing.stage.record(topic, 0, b"ann", b"{")])
    assert len(refusing.stage.letters()) == 1


@given(committed=st.integers(0, 2**41), asked=st.integers(0, 2**41), over=st.booleans())
def test_a_row_waits_only_while_its_person_is_erased_and_passes_only_when_it_is_newer(
    committed: int, asked: int, over: bool
) -> None:
    erased = Erased("forget", pack(asked, 3), over=over)
    assert fate_of_row(committed, None, "refuse") == "pass"
    assert fate_of_row(committed, erased, "refuse") == "refuse"
    newer = "pass" if over else "hold"
    assert fate_of_row(committed, erased, "afresh") == (newer if committed > asked else "refuse")
