from datetime import UTC, datetime

import pytest
from msgspec import structs

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
from connectors.cdc.found import Found
from connectors.cdc.offsets import CdcOffset
from connectors.cdc.publication import Publication
from connectors.cdc.slot import SlotState
from connectors.cdc.snapshot_state import SnapshotState
from connectors.cdc.start import Finished, ReadOnly, Resume, TakeSnapshot, decide
from schemas.topics import Catalogue

CATALOGUE = Catalogue()
TABLES = tuple(CATALOGUE.changes)
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
ALL = SnapshotState(initial=True).with_tables(TABLES)
HALF = ALL.finished(1).progressed(2, (b"7",), 7)
DONE = CdcOffset(
    lsn=100,
    snapshot_completed=True,
    at=datetime(2026, 1, 1, tzinfo=UTC),
    commit_lsn=95,
    system_id="1",
    tables=TABLES,
)
BEGUN = structs.replace(DONE, lsn=0, snapshot_completed=False, commit_lsn=None, snapshot=ALL)
INTERRUPTED = structs.replace(BEGUN, lsn=90, snapshot=HALF)


def config(snapshot: SnapshotMode = "initial") -> CdcConfig:
    return CdcConfig(
        dsn="", topics=CATALOGUE.changes, offsets=CATALOGUE.cdc_offsets, name="cdc.travel", snapshot=snapshot
    )


def found(
    slot: SlotState | None = SLOT, *, publication: Publication | None = PUBLICATION, server: ServerInfo = SERVER
) -> Found:
    return Found(server, [], publication, slot)


@pytest.mark.parametrize("mode", ["initial", "always", "when_needed"])
def test_the_first_start_takes_a_snapshot(mode: SnapshotMode) -> None:
    assert decide(config(mode), found(None, publication=None), None) == TakeSnapshot("create", "first start", ALL)


def test_an_offset_within_the_slot_is_gone_on_from() -> None:
    assert decide(config(), found(), DONE) == Resume(100, 95)


@pytest.mark.parametrize(
    ("there", "slot"),
    [
        (found(None), "create"),
        (found(SlotState(wal_status="lost")), "replace"),
        (found(publication=None), "replace"),
    ],
)
def test_an_interrupted_snapshot_is_taken_again_where_its_slot_does_not_work(there: Found, slot: str) -> None:
    for offset in (BEGUN, INTERRUPTED):
        assert decide(config(), there, offset) == TakeSnapshot(
            "create" if slot == "create" else "replace", "the last snapshot was interrupted", ALL
        )


def test_an_interrupted_snapshot_goes_on_where_kafka_has_it_beside_the_stream() -> None:
    assert decide(config(), found(), INTERRUPTED) == Resume(90, None, HALF)


def test_a_snapshot_that_was_interrupted_before_it_was_noted_begins_where_its_slot_stands() -> None:
    assert decide(config(), found(), BEGUN) == Resume(90, None, ALL)
    assert decide(config(), found(), structs.replace(BEGUN, snapshot=None, tables=())) == Resume(
        90, None, ALL, new=TABLES
    )


def test_an_interrupted_snapshot_of_another_server_says_nothing_about_a_slot_here() -> None:
    elsewhere = found(server=SERVER._replace(system_id="2"))
    with pytest.raises(OtherServer):
        decide(config(), elsewhere, BEGUN)
    assert isinstance(decide(config(), elsewhere._replace(slot=None), BEGUN), TakeSnapshot)


def test_a_table_that_was_not_captured_before_is_new() -> None:
    offset = structs.replace(DONE, tables=TABLES[1:])
    assert decide(config(), found(), offset) == Resume(100, 95, new=TABLES[:1])


def test_an_offset_that_names_no_tables_stands_for_those_of_the_publication() -> None:
    published = frozenset({("public", "places"), ("public", "users")})
    there = found(publication=structs.replace(PUBLICATION, tables=published))
    assert decide(config(), there, structs.replace(DONE, tables=())) == Resume(100, 95, new=("public.restaurants",))


def test_what_is_not_captured_any_more_is_not_read() -> None:
    offset = structs.replace(INTERRUPTED, snapshot=HALF.with_tables(["public.gone"]))
    start = decide(config(), found(), offset)
    assert isinstance(start, Resume)
    assert [entry.table for entry in start.state.tables] == list(TABLES[1:])


def test_always_reads_all_tables_at_each_start_and_not_at_each_connection() -> None:
    start = decide(config("always"), found(), DONE)
    assert start == Resume(100, 95, structs.replace(ALL, initial=False))
    assert decide(config("always"), found(), DONE, first=False) == Resume(100, 95)


def test_without_data_the_slot_is_created_and_nothing_is_read() -> None:
    assert decide(config("no_data"), found(None), None) == TakeSnapshot("create", "first start", SnapshotState())
    assert decide(config("no_data"), found(), INTERRUPTED) == Resume(90, None)


def test_without_data_a_slot_that_somebody_made_is_streamed_from_where_it_stands() -> None:
    assert decide(config("no_data"), found(), None) == Resume(90, None)


def test_a_snapshot_only_needs_no_slot_goes_on_and_ends() -> None:
    assert decide(config("initial_only"), found(None), None) == ReadOnly(ALL)
    assert decide(config("initial_only"), found(None), INTERRUPTED) == ReadOnly(HALF)
    assert decide(config("initial_only"), found(None), DONE) == Finished()


LOST: list[tuple[Found, CdcOffset | None, type[PositionLost], str]] = [
    (found(), None, SlotUnknown, r"source\.slot travelos exists.*cdc\.offsets has no offset.*pg_drop_replication_slot"),
    (found(None), DONE, SlotMissing, r"source\.slot travelos is gone.*since 0/64"),
    (found(SlotState(wal_status="lost")), DONE, SlotLost, r"is lost.*max_slot_wal_keep_size"),
    (found(SlotState(restart_lsn=1, confirmed_lsn=101)), DONE, SlotAhead, r"is at 0/65, ahead of our offset 0/64"),
    (found(publication=None), DONE, PublicationMissing, r"source\.publication travelos is gone"),
    (found(server=SERVER._replace(system_id="2")), DONE, OtherServer, r"source\.dsn names server 2.*of server 1"),
    (found(server=SERVER._replace(current_lsn=99)), DONE, OtherServer, r"WAL ends at 0/63, before our offset 0/64"),
]


@pytest.mark.parametrize(
    ("mode", "there", "offset", "error", "reason"),
    # Without data a slot without an offset is none of ours that was lost, but one that somebody made for us.
    [(mode, *lost) for mode in ("initial", "always", "no_data") for lost in LOST if lost[1] or mode != "no_data"],
)
def test_a_lost_position_is_refused_with_its_reason_and_the_way_out(
    mode: SnapshotMode, there: Found, offset: CdcOffset | None, error: type[PositionLost], reason: str
) -> None:
    with pytest.raises(error, match=reason + r'.*source\.snapshot = "when_needed"'):
        decide(config(mode), there, offset)


@pytest.mark.parametrize(("there", "offset", "error", "reason"), LOST)
def test_when_needed_a_lost_position_leads_to_a_snapshot(
    there: Found, offset: CdcOffset | None, error: type[PositionLost], reason: str
) -> None:
    start = decide(config("when_needed"), there, offset)
    assert isinstance(start, TakeSnapshot)
    assert (start.slot, start.state) == ("create" if there.slot is None else "replace", ALL)
    assert start.reason


def test_when_needed_takes_no_snapshot_that_is_not_needed() -> None:
    assert decide(config("when_needed"), found(), DONE) == Resume(100, 95)


def test_a_slot_that_is_behind_or_at_our_offset_is_fine() -> None:
    for confirmed in (None, 1, 100):
        slot = SlotState(restart_lsn=1, confirmed_lsn=confirmed, wal_status="extended")
        assert decide(config(), found(slot), DONE) == Resume(100, 95)
