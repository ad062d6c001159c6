"""What becomes of an event of a person who is being erased, or was. Pure."""

from typing import Literal

from msgspec import Struct

from schemas.events import BaseEvent, ErasureRequested

Policy = Literal["refuse", "afresh"]
Fate = Literal["pass", "begin", "again", "hold", "refuse"]


class Erased(Struct, frozen=True, array_like=True, gc=False):
    """What is remembered of a person who is erased. A new field goes last and has a default.

    Attributes:
        id: of the event that asked for it.
        version: of that event. What is not newer comes too late, for ever.
        over: whether it is done.
        highest: the newest version that a delete had, once it is done.
        revived: whether the person has started afresh.
    """

    id: str
    version: int
    over: bool = False
    highest: int = 0
    revived: bool = False


def fate(event: BaseEvent, erased: Erased | None, policy: Policy) -> Fate:
    """Return what becomes of an event.

    pass: it goes its way. begin: it asks for an erasure, which begins with it. again: it is the one that began the
    erasure, told again. hold: it waits until the erasure is over. refuse: it goes no further, and nothing keeps it.
    """
    asks = isinstance(event, ErasureRequested)
    if erased is None:
        return "begin" if asks else "pass"
    if asks and event.event_id == erased.id:
        return "again"
    if event.version <= erased.version:
        return "refuse"
    if not asks and policy == "refuse":
        return "refuse"
    if not erased.over:
        return "hold"
    return "begin" if asks else "pass"
