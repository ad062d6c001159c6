"""Where to start: with a snapshot, or where the last offset says. A pure decision."""

from typing import Literal

from msgspec import Struct

from connectors.cdc.config import CdcConfig
from connectors.cdc.errors import (
    OtherServer,
    PositionLost,
    PublicationMissing,
    SlotAhead,
    SlotLost,
    SlotMissing,
    SlotUnknown,
)
from connectors.cdc.lsn import format_lsn
from connectors.cdc.offsets import CdcOffset
from connectors.cdc.preflight import Found


class TakeSnapshot(Struct, frozen=True):
    """Read the tables first; `reason` is for the log.

    The slot is created, or replaced when it is of no more use. After an interrupted snapshot it is kept: rows that were
    read then and have been deleted since would stay for ever if their deletes were not streamed.
    """

    slot: Literal["create", "replace", "keep"]
    reason: str


class Resume(Struct, frozen=True):
    """Stream what ends after `lsn`. `last_commit` is the end of the last transaction before, None when none was."""

    lsn: int
    last_commit: int | None


def decide(config: CdcConfig, found: Found, offset: CdcOffset | None) -> TakeSnapshot | Resume:
    """Return where to start.

    Raises:
        PositionLost: only a new snapshot can help, and `config.snapshot` does not allow one.
    """
    unfinished = offset is not None and not offset.snapshot_completed
    if found.slot is None and (offset is None or unfinished):
        return TakeSnapshot("create", "first start" if offset is None else "the last snapshot was interrupted")
    problem = _lost(config, found, offset)
    if unfinished and not isinstance(problem, OtherServer):
        return TakeSnapshot("replace" if problem else "keep", "the last snapshot was interrupted")
    if problem is None:
        assert offset is not None
        return Resume(offset.lsn, offset.commit_lsn)
    if config.snapshot == "when_needed":
        return TakeSnapshot("create" if found.slot is None else "replace", str(problem))
    way_out = 'to read the tables again set source.snapshot = "when_needed"'
    raise type(problem)(f"{problem}; {way_out} (rows deleted meanwhile leave no event)")


def _lost(config: CdcConfig, found: Found, offset: CdcOffset | None) -> PositionLost | None:  # noqa: PLR0911 - a list
    slot, server = found.slot, found.server
    if offset is None:
        return SlotUnknown(
            f"source.slot {config.slot} exists, but {config.offsets.name} has no offset for it: another program's "
            f"slot, or a lost topic; choose another source.slot, or SELECT pg_drop_replication_slot('{config.slot}')"
        )
    if offset.system_id != server.system_id:
        return OtherServer(
            f"source.dsn names server {server.system_id}, the offset of source.slot {config.slot} is of server "
            f"{offset.system_id}"
        )
    if offset.lsn > server.current_lsn:
        return OtherServer(
            f"source.dsn: the server's WAL ends at {format_lsn(server.current_lsn)}, before our offset "
            f"{format_lsn(offset.lsn)}: it was set back to an older state"
        )
    if slot is None:
        return SlotMissing(
            f"source.slot {config.slot} is gone, and with it the changes since {format_lsn(offset.lsn)}: somebody "
            "dropped it, or the server failed over to one without it"
        )
    if slot.lost:
        return SlotLost(
            f"source.slot {config.slot} is lost: the server has removed WAL after {format_lsn(offset.lsn)} that we had "
            "not read; raise max_slot_wal_keep_size"
        )
    if found.publication is None:
        return PublicationMissing(
            f"source.publication {config.publication} is gone, and with it the changes since somebody dropped it"
        )
    if offset.snapshot_completed and slot.confirmed_lsn is not None and slot.confirmed_lsn > offset.lsn:
        return SlotAhead(
            f"source.slot {config.slot} is at {format_lsn(slot.confirmed_lsn)}, ahead of our offset "
            f"{format_lsn(offset.lsn)}: somebody else has read from it, or the offset is an old one"
        )
    return None
