"""Which records are suspected of killing the process, and what follows. Pure decisions; see docs/decisions/0009.

Each death of a worker blames what was in work at that moment. A range that was in work at two deaths is processed in
small groups, one at a time in the whole process, and a group at which it dies once more record by record. A record at
which the process then dies, time after time, is set aside. Whatever comes to its end is no longer suspected: random
kills never add up.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct, structs

from streams.runtime.records import Record

DEATHS_BEFORE_GROUPS = 2
DEATHS_BEFORE_ONE_BY_ONE = 3
DEATHS_ALONE = 3
# One by one at once, 800 healthy records of a worker that delivers to six stores took five minutes after its second
# kill: each waits until nothing else is in work.
GROUP_RECORDS = 32


class CrashedProcess(RuntimeError):  # noqa: N818 - says what happened
    """The process died while it worked on this record, again and again; the message names offset and number."""

    def __init__(self, record: Record, deaths: int) -> None:
        where = f"{record.topic}-{record.partition} offset {record.offset}"
        super().__init__(f"the process died {deaths} times in a row while it worked on {where}; it is not tried again")
        self.deaths = deaths


class Open(Struct, frozen=True):
    """Offsets of one partition that were in work when a worker died. `alone`: nothing else was."""

    first: int
    last: int
    alone: bool = False


class Suspect(Struct, frozen=True, array_like=True):
    """Offsets that have one history: the deaths they were in work at since they were last seen to come to an end."""

    first: int
    last: int
    deaths: int = 0  # together with other records, of its group at least
    deaths_alone: int = 0


class Part(NamedTuple):
    """Records of a run that are processed together; `crashes` is not 0 for one that is to be set aside unprocessed."""

    records: Sequence[Record]
    alone: bool = False
    crashes: int = 0


def after_death(suspects: Sequence[Suspect], at_work: Sequence[Open], *, allowed: int) -> list[Suspect]:
    """Return the suspects of a partition after a worker died with some of its offsets in work.

    What lies before the last of those and was not in work itself had come to its end.
    """
    highest = max((one.last for one in at_work), default=-1)
    known = _without(suspects, [Open(0, highest)])
    known += [one for one in suspects if one.last <= highest and _is_settled(one, allowed)]
    for one in at_work:
        inside = [piece for piece in _within(suspects, one) if not _is_settled(piece, allowed)]
        fresh = _without([Suspect(one.first, one.last)], _within(suspects, one))
        known += [_blamed(piece, one) for piece in (*inside, *fresh)]
    return sorted(known, key=_first)


def after_end(suspects: Sequence[Suspect], first: int, last: int, *, allowed: int) -> list[Suspect]:
    """Return the suspects of a partition after the records `first`..`last` came to their end.

    A record that was set aside stays known: until that is committed it may be delivered again.
    """
    settled = [one for one in suspects if _is_settled(one, allowed)]
    others = [one for one in suspects if not _is_settled(one, allowed)]
    return sorted((*settled, *_without(others, [Open(first, last)])), key=_first)


def plan(records: Sequence[Record], suspects: Sequence[Suspect], *, allowed: int) -> list[Part]:
    """Return in which parts the records of a run are processed, in order."""
    parts: list[Part] = []
    together: list[Record] = []
    grouped = False  # whether those are a group, which is alone in work
    for record in records:
        known = next((one for one in suspects if one.first <= record.offset <= one.last), None)
        by_itself = known is not None and (known.deaths >= DEATHS_BEFORE_ONE_BY_ONE or known.deaths_alone > 0)
        in_group = known is not None and known.deaths >= DEATHS_BEFORE_GROUPS
        if together and (by_itself or in_group != grouped or (grouped and len(together) == GROUP_RECORDS)):
            parts.append(Part(together, alone=grouped))
            together = []
        if known is not None and by_itself:
            settled = _is_settled(known, allowed)
            parts.append(Part([record], alone=True, crashes=known.deaths_alone if settled else 0))
        else:
            grouped = in_group
            together.append(record)
    if together:
        parts.append(Part(together, alone=grouped))
    return parts


def _is_settled(one: Suspect, allowed: int) -> bool:
    return one.deaths_alone >= allowed


def _blamed(one: Suspect, at_work: Open) -> Suspect:
    if at_work.alone and at_work.first == at_work.last:
        return structs.replace(one, deaths_alone=one.deaths_alone + 1)
    return structs.replace(one, deaths=one.deaths + 1)


def _within(suspects: Sequence[Suspect], bounds: Open) -> list[Suspect]:
    """Return the pieces of suspects that lie inside of bounds."""
    return [
        structs.replace(one, first=max(one.first, bounds.first), last=min(one.last, bounds.last))
        for one in suspects
        if one.first <= bounds.last and one.last >= bounds.first
    ]


def _without(suspects: Sequence[Suspect], taken: Sequence[Open | Suspect]) -> list[Suspect]:
    """Return the pieces of suspects that lie outside of all that is taken."""
    left = list(suspects)
    for hole in taken:
        pieces: list[Suspect] = []
        for one in left:
            before = structs.replace(one, last=min(one.last, hole.first - 1))
            after = structs.replace(one, first=max(one.first, hole.last + 1))
            pieces += [piece for piece in (before, after) if piece.first <= piece.last]
        left = pieces
    return left


def _first(one: Suspect) -> int:
    return one.first
