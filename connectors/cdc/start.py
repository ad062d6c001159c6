"""Where to start: with a snapshot, or where the last offset says. A pure decision."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from connectors.cdc.config import CdcConfig
from connectors.cdc.errors import (
    Misconfigured,
    OtherServer,
    PositionLost,
    PublicationMissing,
    SlotAhead,
    SlotLost,
    SlotMissing,
    SlotUnknown,
)
from connectors.cdc.found import Found
from connectors.cdc.lsn import format_lsn
from connectors.cdc.offsets import CdcOffset
from connectors.cdc.snapshot_state import SnapshotState


class TakeSnapshot(Struct, frozen=True):
    """Create the slot, or replace one that is of no more use, and read the tables as they are at that moment.

    `reason` is for the log. `state` is what is to be read: nothing with `source.snapshot = "no_data"`.
    """

    slot: Literal["create", "replace"]
    reason: str
    state: SnapshotState


class ReadOnly(Struct, frozen=True):
    """Read the tables, without a slot, and end. `state` is what is left to be read."""

    state: SnapshotState


class Resume(Struct, frozen=True):
    """Stream what ends after `lsn`. `last_commit` is the end of the last transaction before, None when none was.

    `state` is what is read meanwhile. The tables `new` were not captured before.
    """

    lsn: int
    last_commit: int | None
    state: SnapshotState = SnapshotState()
    new: tuple[str, ...] = ()


class Finished(Struct, frozen=True):
    """There is nothing left to do."""


def decide(
    config: CdcConfig, found: Found, offset: CdcOffset | None, *, first: bool = True
) -> TakeSnapshot | ReadOnly | Resume | Finished:
    """Return where to start.

    Args:
        config: of the source.
        found: what there is on the server.
        offset: the last one.
        first: whether it is the first attempt of this process, not another one after a lost connection.

    Raises:
        Misconfigured: it cannot be done on a standby.
        PositionLost: only a new snapshot can help, and `config.snapshot` does not allow one.
    """
    if config.snapshot == "initial_only":
        return _read_only(config, offset)
    everything = SnapshotState() if config.snapshot == "no_data" else _all_of(config)
    unfinished = offset is not None and not offset.snapshot_completed
    if found.slot is None and (offset is None or unfinished):
        return TakeSnapshot("create", "the last snapshot was interrupted" if unfinished else "first start", everything)
    if offset is None and config.snapshot == "no_data" and found.slot is not None and not found.slot.lost:
        return Resume(found.slot.confirmed_lsn or 0, None)  # whoever made the slot has read the tables
    problem = _lost(config, found, offset)
    # An interrupted snapshot goes on beside the stream, for which the source writes to the WAL.
    anew = unfinished and found.server.in_recovery and config.snapshot != "no_data"
    if problem is None and offset is not None and not anew:
        return _resume(config, found, offset, first=first)
    if problem is None or (unfinished and not isinstance(problem, OtherServer)):
        return TakeSnapshot("replace", "the last snapshot was interrupted", everything)
    if config.snapshot == "when_needed":
        return TakeSnapshot("create" if found.slot is None else "replace", str(problem), everything)
    way_out = 'to read the tables again set source.snapshot = "when_needed"'
    raise type(problem)(f"{problem}; {way_out} (rows deleted meanwhile leave no event)")


def _resume(config: CdcConfig, found: Found, offset: CdcOffset, *, first: bool) -> Resume:
    """Go on from an offset; what is still to be read, and tables that are new, are read meanwhile."""
    captured = list(config.topics)
    before = offset.tables or _published(found, captured)
    new = tuple(table for table in captured if table not in before)
    if new and found.server.in_recovery and config.snapshot != "no_data":
        raise Misconfigured(
            f"source.tables: {', '.join(new)} was not captured before, and this server is a standby, where tables "
            "cannot be read beside the stream; name the primary in source.dsn, or choose another source.slot, which "
            "reads all tables again"
        )
    # Until a slot has confirmed anything it stands where its snapshot was taken.
    slot_lsn = found.slot.confirmed_lsn if found.slot is not None else None
    resume = Resume(offset.lsn or slot_lsn or 0, offset.commit_lsn, new=new)
    if config.snapshot == "no_data":
        return resume
    if config.snapshot == "always" and first:
        return structs.replace(resume, state=_all_of(config, initial=not offset.snapshot_completed))
    state = offset.snapshot
    if state is None:
        state = SnapshotState() if offset.snapshot_completed else _all_of(config)
    return structs.replace(resume, state=state.only(captured))


def _read_only(config: CdcConfig, offset: CdcOffset | None) -> ReadOnly | Finished:
    if offset is not None and offset.snapshot_completed:
        return Finished()
    left = offset.snapshot if offset is not None else None
    return ReadOnly(_all_of(config) if left is None else left.only(list(config.topics)))


def _all_of(config: CdcConfig, *, initial: bool = True) -> SnapshotState:
    return SnapshotState(initial=initial).with_tables(list(config.topics))


def _published(found: Found, captured: Sequence[str]) -> Sequence[str]:
    """Return which tables an offset of an older version stands for: those that the publication had."""
    if found.publication is None:
        return captured
    return [f"{schema}.{name}" for schema, name in found.publication.tables]


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
            f"source.slot {config.slot} is lost, and with it the changes since {format_lsn(offset.lsn)}: "
            f"{slot.lost_because}"
        )
    if found.publication is None:
        return PublicationMissing(
            f"source.publication {config.publication} is gone, and with it the changes since somebody dropped it"
        )
    if offset.lsn and slot.confirmed_lsn is not None and slot.confirmed_lsn > offset.lsn:
        return SlotAhead(
            f"source.slot {config.slot} is at {format_lsn(slot.confirmed_lsn)}, ahead of our offset "
            f"{format_lsn(offset.lsn)}: somebody else has read from it, or the offset is an old one"
        )
    return None
