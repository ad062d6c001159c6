from datetime import UTC, datetime

import pytest

from connectors.cdc.catalog import ServerInfo
from connectors.cdc.config import CdcConfig, SnapshotMode
from connectors.cdc.errors import (
    OtherServer,
    PositionLost,
    PublicationMissing,
    SlotAhead,
    SlotLost,
    SlotMissing,
    SlotUnknown,
)
from connectors.cdc.offsets import CdcOffset
from connectors.cdc.preflight import Found
from connectors.cdc.publication import Publication
from connectors.cdc.slot import SlotState
from connectors.cdc.start import Resume, TakeSnapshot, decide
from schemas.topics import Catalogue

CATALOGUE = Catalogue()
SERVER = ServerInfo(
    version=180_000,
    system_id="1",
    database="travel",
    role="cdc",
    wal_level="logical",
    in_recovery=False,
    may_replicate=True,
    may_create=True,
    encoding="UTF8",
    slots_used=1,
    slots_allowed=10,
    sender_timeout_ms=60_000,
    current_lsn=1_000,
)
PUBLICATION = Publication()
SLOT = SlotState(restart_lsn=50, confirmed_lsn=90, wal_status="reserved")
DONE = CdcOffset(lsn=100, snapshot_completed=True, at=datetime(2026, 1, 1, tzinfo=UTC), commit_lsn=95, system_id="1")
BEGUN = CdcOffset(lsn=0, snapshot_completed=False, at=datetime(2026, 1, 1, tzinfo=UTC), system_id="1")


def config(snapshot: SnapshotMode = "initial") -> CdcConfig:
    return CdcConfig(
        dsn="", topics=CATALOGUE.changes, offsets=CATALOGUE.cdc_offsets, name="cdc.travel", snapshot=snapshot
    )


def found(
    slot: SlotState | None = SLOT, *, publication: Publication | None = PUBLICATION, server: ServerInfo = SERVER
) -> Found:
    return Found(server, [], publication, slot)


def test_the_first_start_takes_a_snapshot() -> None:
    assert decide(config(), found(None, publication=None), None) == TakeSnapshot("create", "first start")


def test_an_offset_within_the_slot_is_gone_on_from() -> None:
    assert decide(config(), found(), DONE) == Resume(100, 95)


@pytest.mark.parametrize(
    ("there", "slot"),
    [
        (found(None), "create"),
        (found(), "keep"),
        (found(SlotState(restart_lsn=1, confirmed_lsn=None, wal_status="reserved")), "keep"),
        (found(SlotState(wal_status="lost")), "replace"),
        (found(publication=None), "replace"),
    ],
)
def test_an_interrupted_snapshot_is_taken_again_with_its_slot_where_that_still_works(there: Found, slot: str) -> None:
    start = decide(config(), there, BEGUN)
    assert isinstance(start, TakeSnapshot)
    assert (start.slot, start.reason) == (slot, "the last snapshot was interrupted")


def test_an_interrupted_snapshot_of_another_server_says_nothing_about_a_slot_here() -> None:
    elsewhere = found(server=SERVER._replace(system_id="2"))
    with pytest.raises(OtherServer):
        decide(config(), elsewhere, BEGUN)
    assert isinstance(decide(config(), elsewhere._replace(slot=None), BEGUN), TakeSnapshot)


LOST: list[tuple[Found, CdcOffset | None, type[PositionLost], str]] = [
    (found(), None, SlotUnknown, r"source\.slot travelos exists.*cdc\.offsets has no offset.*pg_drop_replication_slot"),
    (found(None), DONE, SlotMissing, r"source\.slot travelos is gone.*since 0/64"),
    (found(SlotState(wal_status="lost")), DONE, SlotLost, r"is lost.*max_slot_wal_keep_size"),
    (found(SlotState(restart_lsn=1, confirmed_lsn=101)), DONE, SlotAhead, r"is at 0/65, ahead of our offset 0/64"),
    (found(publication=None), DONE, PublicationMissing, r"source\.publication travelos is gone"),
    (found(server=SERVER._replace(system_id="2")), DONE, OtherServer, r"source\.dsn names server 2.*of server 1"),
    (found(server=SERVER._replace(current_lsn=99)), DONE, OtherServer, r"WAL ends at 0/63, before our offset 0/64"),
]


@pytest.mark.parametrize(("there", "offset", "error", "reason"), LOST)
def test_a_lost_position_is_refused_with_its_reason_and_the_way_out(
    there: Found, offset: CdcOffset | None, error: type[PositionLost], reason: str
) -> None:
    with pytest.raises(error, match=reason + r'.*source\.snapshot = "when_needed"'):
        decide(config(), there, offset)


@pytest.mark.parametrize(("there", "offset", "error", "reason"), LOST)
def test_when_needed_a_lost_position_leads_to_a_snapshot(
    there: Found, offset: CdcOffset | None, error: type[PositionLost], reason: str
) -> None:
    start = decide(config("when_needed"), there, offset)
    assert isinstance(start, TakeSnapshot)
    assert start.slot == ("create" if there.slot is None else "replace")
    assert start.reason


def test_when_needed_takes_no_snapshot_that_is_not_needed() -> None:
    assert decide(config("when_needed"), found(), DONE) == Resume(100, 95)


def test_a_slot_that_is_behind_or_at_our_offset_is_fine() -> None:
    for confirmed in (None, 1, 100):
        slot = SlotState(restart_lsn=1, confirmed_lsn=confirmed, wal_status="extended")
        assert decide(config(), found(slot), DONE) == Resume(100, 95)
