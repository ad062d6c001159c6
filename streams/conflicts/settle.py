"""What becomes of an entity when a source says something of it, as a pure function.

A claim is one of four things: older than what its source has said already; an echo, which says what is agreed; a later
change of what is agreed; or a change made beside somebody else's, which is a conflict and settled by the strategy.

Whether a source knew of the others' change when it made its own: it did when what it held before was what is agreed,
which its last claim tells, or `base` where the source has it. Where neither does, changes of two sources within a
window of time count as made beside each other.

Where members are settled one by one, a source's claims are compared with each other too: a member that it says again
is not what it changed. Then a claim contradicts what others changed however late it comes, and takes nothing back.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct, structs

from streams.conflicts.canonical import digest
from streams.conflicts.claims import Claim, Content
from streams.conflicts.strategies import Settled, Strategy, TakenBack, Undecided

WINDOW_MS = 5_000  # less than people need to look at one screen and type into another; more than clocks differ
_COUNTER_BITS = 16  # of a version, below milliseconds, as in a hybrid logical clock

Members = dict[str, tuple[int, bytes]]  # name -> milliseconds since 1970, fingerprint of the value
_FINGERPRINT_BYTES = 8
_json = msgspec.json.Encoder(order="deterministic")

Outcome = Literal["superseded", "echo", "applied", "settled", "taken back", "undecided"]


class NothingToDecide(LookupError):  # noqa: N818 - says what is wrong
    """No decision is waited for."""


class Agreed(Struct, frozen=True, kw_only=True):
    """What holds for everybody.

    Attributes:
        content: None: the entity is not there.
        version: of the line of agreed contents; the next one is larger.
        claims: those that made it, one of a source.
    """

    content: Content | None
    version: int
    claims: tuple[Claim, ...]

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the content."""
        return digest(self.content)


class Line(Struct, frozen=True):
    """The newest claim of a source.

    Attributes:
        version: of the claim.
        digest: of its content.
        members: of its content, where they are settled one by one: since when each is so, and its fingerprint.
    """

    version: int
    digest: bytes
    members: Members = {}


class Entity(Struct, frozen=True, kw_only=True):
    """What is known of an entity.

    Attributes:
        lines: of each source.
        agreed: None: nobody has said anything yet.
        undecided: claims that contradict each other, as long as somebody has to decide; one of a source.
    """

    lines: dict[str, Line] = {}
    agreed: Agreed | None = None
    undecided: tuple[Claim, ...] = ()


class Decision(Struct, frozen=True):
    """What an entity is from now on, and what a claim was.

    Attributes:
        entity: as it is now.
        outcome: of the claim.
        conflict: the claims that contradicted each other; empty when there was no conflict.
    """

    entity: Entity
    outcome: Outcome
    conflict: tuple[Claim, ...] = ()


def take(
    entity: Entity, claim: Claim, strategy: Strategy, window_ms: int = WINDOW_MS, *, by_member: bool = False
) -> Decision:
    """Take a claim.

    Guarantees: claims of one source count in the order of their versions, each once. First claims of several sources,
    all of them made within one window, settle on the same content by a strategy that settles, whichever comes first.
    Where they are further apart than that, the order in which they come decides what each is compared with; and
    `rollback` stays with what came first.

    Args:
        entity: as it was.
        claim: what a source says of it.
        strategy: settles a conflict.
        window_ms: within so many milliseconds changes of two sources that do not tell their base are made beside each
            other.
        by_member: whether the strategy settles members one by one, and has to know which of them a source changed.

    Raises:
        NotCanonical: the claim's content has no canonical form.
    """
    line = entity.lines.get(claim.source)
    if line is not None and claim.version <= line.version:
        return Decision(entity, "superseded")
    said = Line(claim.version, claim.digest)
    if by_member:
        said = structs.replace(said, members=_dated(claim, {} if line is None else line.members))
        since = {name: at_ms for name, (at_ms, _) in said.members.items() if at_ms != claim.at_ms}
        claim = structs.replace(claim, since=since) if since else claim
    lines = entity.lines | {claim.source: said}
    entity, agreed = structs.replace(entity, lines=lines), entity.agreed
    if entity.undecided:
        waiting = _with(entity.undecided, claim)
        if len({one.digest for one in waiting}) == 1:  # they have come to say the same
            settled = structs.replace(_agreeing(entity, claim.content, waiting), undecided=())
            return Decision(settled, "settled", waiting)
        return Decision(structs.replace(entity, undecided=waiting), "undecided", waiting)
    if agreed is None:
        return Decision(_agreeing(entity, claim.content, (claim,)), "applied")
    if claim.digest == agreed.digest:
        # It goes no further, but counts when somebody contradicts.
        echoed = structs.replace(agreed, claims=_with(agreed.claims, claim))
        return Decision(structs.replace(entity, agreed=echoed), "echo")
    return _differing(entity, agreed, claim, strategy, is_beside=_is_beside(claim, line, agreed, window_ms))


def decide(entity: Entity, content: Content | None) -> Entity:
    """Settle what waits for a decision.

    Args:
        entity: one with claims that contradict each other.
        content: what holds from now on.

    Raises:
        NothingToDecide: no decision is waited for.
    """
    if not entity.undecided:
        raise NothingToDecide("nobody contradicts what is agreed; perhaps somebody else has decided")
    return structs.replace(_agreeing(entity, content, entity.undecided), undecided=())


def _differing(entity: Entity, agreed: Agreed, claim: Claim, strategy: Strategy, *, is_beside: bool) -> Decision:
    if not is_beside:
        return Decision(_agreeing(entity, claim.content, (claim,)), "applied")
    claims = _with(agreed.claims, claim)
    match strategy(claims):
        case Settled(content=content):
            return Decision(_agreeing(entity, content, claims), "settled", claims)
        case TakenBack():
            return Decision(_agreeing(entity, agreed.content, agreed.claims), "taken back", claims)
        case Undecided():
            return Decision(structs.replace(entity, undecided=claims), "undecided", claims)


def _agreeing(entity: Entity, content: Content | None, claims: tuple[Claim, ...]) -> Entity:
    latest = max(claim.at_ms for claim in claims) << _COUNTER_BITS
    before = 0 if entity.agreed is None else entity.agreed.version
    # In twos: the number in between is of the write by which a saga takes one back.
    return structs.replace(entity, agreed=Agreed(content=content, version=max(before + 2 & ~1, latest), claims=claims))


def _is_beside(claim: Claim, line: Line | None, agreed: Agreed, window_ms: int) -> bool:
    """Whether a change was made without knowledge of what others had said."""
    others = [one.at_ms for one in agreed.claims if one.source != claim.source]
    if not others or (line is not None and line.digest == agreed.digest):
        return False  # the source held what is agreed, and changed that
    if claim.base is not None:
        return claim.base != agreed.digest
    if line is not None and line.members:
        return True  # what it changed itself is known, and what it only says again is not what it wants
    return claim.at_ms - max(others) < window_ms


def _dated(claim: Claim, before: Members) -> Members:
    """Return since when each member is as a claim says it: what its source has said before is as old as that."""
    found: Members = {}
    for name, value in (claim.content or {}).items():
        fingerprint = blake2b(_json.encode(value), digest_size=_FINGERPRINT_BYTES).digest()
        was = before.get(name)
        found[name] = was if was is not None and was[1] == fingerprint else (claim.at_ms, fingerprint)
    return found


def _with(claims: Sequence[Claim], claim: Claim) -> tuple[Claim, ...]:
    kept = [one for one in claims if one.source != claim.source]
    return tuple(sorted([*kept, claim], key=lambda one: one.source))
