"""How claims that contradict each other are settled.

A strategy looks at the claims as a set: neither the order in which they came nor a claim that came twice makes a
difference (it is commutative and idempotent). So all who have heard the same have settled on the same. Those that
choose one claim are associative, too: the winner among the winners of groups is the winner of all.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from msgspec import Struct

from streams.conflicts.canonical import canonical
from streams.conflicts.claims import Claim, Content

_ELEMENT = "element"
Stamp = tuple[int, str]  # when something was said, and by whom


class Settled(Struct, frozen=True):
    """The content on which all agree; None: the entity is not there."""

    content: Content | None


class Undecided(Struct, frozen=True):
    """Somebody has to decide; the last agreed content stands meanwhile."""


class TakenBack(Struct, frozen=True):
    """The last agreed content stands for good."""


Settlement = Settled | Undecided | TakenBack
Strategy = Callable[[Sequence[Claim]], Settlement]


def last_write_wins(claims: Sequence[Claim]) -> Settlement:
    """The latest one holds."""
    return Settled(max(claims, key=lambda claim: claim.moment).content)


def highest_confidence(claims: Sequence[Claim]) -> Settlement:
    """The surest one holds, of equally sure ones the latest."""
    return Settled(max(claims, key=lambda claim: (claim.confidence, *claim.moment)).content)


def regional_priority(regions: Sequence[str]) -> Strategy:
    """The one from the region that is named first holds, of one region the latest; other regions come last."""
    ranks = {region: len(regions) - place for place, region in enumerate(regions)}

    def settle(claims: Sequence[Claim]) -> Settlement:
        return Settled(max(claims, key=lambda claim: (ranks.get(claim.region, 0), *claim.moment)).content)

    return settle


def merge(sets: Iterable[str] = ()) -> Strategy:
    """Each member is as it was last changed; of members that are sets all elements hold.

    What a source only says again, because its claims are whole, is as old as its first saying so (`Claim.since`).

    A claim that the entity is gone takes away what was said before it, and nothing that was said later. A member that a
    claim does not name is left as others say it is; null is a value.

    It is not associative, as the strategies are that choose one claim: what two claims agree on says neither that a
    third was taken away between them, nor who of one millisecond said which member. So claims of the sources are merged
    and nothing else: what was agreed before is never merged with what comes (`streams.conflicts.settle.Agreed.claims`).
    Where nobody says that it is gone, and no two members changed in one millisecond, it is.

    Args:
        sets: names of members that are sets. Their elements come in canonical order; what is no list counts as one.
    """
    united = frozenset(sets)

    def settle(claims: Sequence[Claim]) -> Settlement:
        gone = max(((claim.at_ms, claim.source) for claim in claims if claim.content is None), default=(-1, ""))
        said: dict[str, tuple[tuple[int, str, bytes], Any]] = {}
        elements: dict[str, dict[bytes, Any]] = {}
        for claim in claims:
            stamp: Stamp = (claim.at_ms, claim.source)
            if claim.content is None or stamp <= gone:
                continue
            for name, value in claim.content.items():
                if name in united:
                    elements.setdefault(name, {}).update(_elements(value))
                    continue
                order = claim.since.get(name, claim.at_ms), claim.source, canonical({name: value})
                if name not in said or order > said[name][0]:
                    said[name] = order, value
        if all(claim.content is None or (claim.at_ms, claim.source) <= gone for claim in claims):
            return Settled(None)
        content = {name: value for name, (_, value) in said.items()}
        content |= {name: [found[form] for form in sorted(found)] for name, found in elements.items()}
        return Settled(dict(sorted(content.items())))

    return settle


def manual(claims: Sequence[Claim]) -> Settlement:  # noqa: ARG001 - as all strategies
    """Somebody decides."""
    return Undecided()


def rollback(claims: Sequence[Claim]) -> Settlement:  # noqa: ARG001 - as all strategies
    """Nobody's change holds."""
    return TakenBack()


def _elements(value: Any) -> dict[bytes, Any]:
    if value is None:
        return {}
    elements = cast("list[Any]", value) if isinstance(value, list) else [value]
    return {canonical({_ELEMENT: one}): one for one in elements}
