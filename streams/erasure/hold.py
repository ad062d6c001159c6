"""What becomes of an event, or of a row, of a person who is being erased, or was. Pure."""

from typing import Literal

from msgspec import Struct

from schemas.clock import unpack
from schemas.events import BaseEvent, ErasureRequested

Policy = Literal["refuse", "afresh"]
Fate = Literal["pass", "begin", "again", "hold", "refuse"]
RowFate = Literal["pass", "hold", "refuse"]


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


def fate_of_row(committed_ms: int, erased: Erased | None, policy: Policy) -> RowFate:
    """Return what becomes of a change of a person's row; see `fate`.

    Versions of rows and of events do not compare, so a row is newer than the request by the time of its commit.

    Args:
        committed_ms: when the change was committed, in ms since 1970.
        erased: what is remembered of the person.
        policy: for what is newer than the request.
    """
    if erased is None:
        return "pass"
    asked_ms, _ = unpack(erased.version)
    if policy == "refuse" or committed_ms <= asked_ms:
        return "refuse"
    return "pass" if erased.over else "hold"
