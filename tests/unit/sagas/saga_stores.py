"""A store of one entity, as sagas see it, for the models of sagas."""

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from schemas.receipts import Receipt, Result
from schemas.writes import CacheWrite, Write, store_of

AT = datetime(2026, 11, 21, tzinfo=UTC)

# Where a deliverer may be killed: what it had told stays told, and the write comes again to another one.
KilledAfter = Literal["captured", "written"]


class Held(NamedTuple):
    """What a store holds."""

    version: int = 0
    value: Any = None


def receipt_of(
    write: Write, result: Result = "applied", undo: Write | None = None, reason: str | None = None
) -> Receipt:
    return Receipt(
        store=store_of(write),
        entity=write.entity,
        version=write.version,
        source=write.source,
        event_id=write.event_id,
        result=result,
        at=AT,
        undo=undo,
        reason=reason,
    )


class Store:
    """Takes what is newer than what it holds, and tells what that was before it takes a write that asks.

    Args:
        held: at first.
        recognises: whether it knows a write that it took when that comes again (decision 27).
    """

    def __init__(self, held: Held, *, recognises: bool) -> None:
        self.held = held
        self.recognises = recognises

    def take(
        self, write: CacheWrite, *, refused: bool, killed: KilledAfter | None = None
    ) -> tuple[list[Receipt], bool]:
        """Return what is told of a write, and whether that is all: else whoever delivered it was killed."""
        held, told = self.held, list[Receipt]()
        is_newer = write.version > held.version
        undo = None  # that is told with the end, which may be lost: nothing was held
        nothing = replace(write, value=None, op="delete", version=0, undo=False)
        if write.undo and is_newer and (held.value is not None or not self.recognises):
            content = replace(write, value=held.value, version=held.version, undo=False)
            told.append(receipt_of(write, "captured", nothing if held.value is None else content))
        elif write.undo and self.recognises and (is_newer or held.version == write.version):
            undo = nothing
        if killed == "captured":
            return told, False
        result: Result = "superseded"
        if is_newer and refused:
            result = "rejected"
        elif is_newer:
            self.held = Held(write.version, write.value if write.op == "upsert" else None)
            result = "applied"
        if killed == "written":
            return told, False
        return [*told, receipt_of(write, result, undo)], True
