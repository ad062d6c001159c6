"""Which offsets the objects of a partition answer for: gaps and overlaps. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from connectors.archive.names import Name


class Span(NamedTuple):
    """Offsets, both included."""

    first: int
    last: int


class Coverage(NamedTuple):
    """What the names of one partition's objects say.

    Attributes:
        objects: how many there are.
        span: from the first to the last offset; None when there is no object.
        gaps: offsets between objects that none answers for.
        overlaps: offsets that several answer for.
    """

    objects: int
    span: Span | None
    gaps: tuple[Span, ...] = ()
    overlaps: tuple[Span, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every offset is answered for once."""
        return not self.gaps and not self.overlaps


def coverage(names: Sequence[Name]) -> Coverage:
    """Return what the objects of one partition answer for.

    Args:
        names: by their first offset, then their last.
    """
    if not names:
        return Coverage(0, None)
    gaps: list[Span] = []
    overlaps: list[Span] = []
    end = names[0].last
    for name in names[1:]:
        if name.first > end + 1:
            gaps.append(Span(end + 1, name.first - 1))
        elif name.first <= end:
            overlaps.append(Span(name.first, min(end, name.last)))
        end = max(end, name.last)
    return Coverage(len(names), Span(names[0].first, end), tuple(gaps), tuple(overlaps))
