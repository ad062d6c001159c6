"""What is kept of an entity that is settled, and what is told of its conflicts. Pure."""

from typing import Literal

from msgspec import Struct

from schemas.conflicts import ConflictEntry, EntityClaim, Side, Status, Verdict
from streams.conflicts.claims import Claim, Content
from streams.conflicts.settle import Entity
from streams.routing.changes import RowChange, agreed_change


class OpenConflict(Struct, frozen=True):
    """A conflict that somebody has to decide: its id, and since when, in milliseconds since 1970."""

    id: str
    began_ms: int


class Known(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of an entity.

    Attributes:
        table: of its row.
        id: of its row.
        entity: what sources have said, and what is agreed.
        op: what the last agreement did to the row.
        conflict: the one that waits for a decision.
        told: what was told last of a conflict.
    """

    table: str
    id: str
    entity: Entity
    op: Literal["c", "u", "d"] = "c"
    conflict: OpenConflict | None = None
    told: ConflictEntry | None = None


class Tally(Struct, frozen=True):
    """How many entities of a type there are in a partition, and how many of them wait for a decision."""

    entities: int = 0
    undecided: int = 0


def claim_of(said: EntityClaim) -> Claim:
    """Return a claim as it is compared with others."""
    return Claim(
        source=said.source,
        version=said.version,
        at_ms=said.at_ms,
        content=said.content,
        confidence=said.confidence,
        region=said.region,
        base=said.base,
    )


def operation(before: Content | None, after: Content | None) -> Literal["c", "u", "d"]:
    """Return what makes one content of another."""
    if after is None:
        return "d"
    return "c" if before is None else "u"


def change_of(known: Known, before: Content | None = None) -> RowChange | None:
    """Return what is agreed as a change; None when nothing is.

    Args:
        known: the entity.
        before: what was agreed before; None where that may not have gone out.

    Raises:
        InvalidChange: what is agreed is no row of the table.
    """
    agreed = known.entity.agreed
    if agreed is None:
        return None
    return agreed_change(known.table, known.id, known.op, agreed.content, agreed.version, before)


def entry_of(
    subject: str,
    known: Known,
    conflict: OpenConflict,
    sides: tuple[Claim, ...],
    status: Status,
    *,
    strategy: str,
    now_ms: int,
    verdict: Verdict | None = None,
) -> ConflictEntry:
    """Return what is told of a conflict.

    Args:
        subject: the entity.
        known: what is known of it, after the conflict; something is agreed.
        conflict: its id, and since when it is.
        sides: the claims that contradict each other.
        status: what came of it.
        strategy: of the type.
        now_ms: milliseconds since 1970.
        verdict: what an operator said.
    """
    agreed = known.entity.agreed
    assert agreed is not None
    return ConflictEntry(
        id=conflict.id,
        entity=subject,
        table=known.table,
        strategy=strategy,
        status=status,
        sides=[
            Side(
                source=one.source,
                version=one.version,
                at_ms=one.at_ms,
                content=one.content,
                confidence=one.confidence,
                region=one.region,
            )
            for one in sides
        ],
        agreed=agreed.content,
        agreed_version=agreed.version,
        began_ms=conflict.began_ms,
        at_ms=now_ms,
        verdict=verdict,
    )
