"""Sealed events on their way through ingest: opened in memory, and nowhere else."""

from collections.abc import Sequence

import structlog
from msgspec import Struct

from connectors.keys import NotSealedHere
from schemas.events import AnyEvent, Event, SealedEvent
from streams.agents.ingest import Ingest

log = structlog.get_logger(__name__)


class NoKeys(ValueError):  # noqa: N818 - says what is missing
    """An event is sealed and there are no keys."""

    def __init__(self) -> None:
        super().__init__("the event is sealed and `keys.store` is off: name the store of keys that its producer has")


class Openings(Struct, frozen=True):
    """What came of a batch, by the place of each event in it; of those in neither nobody can read anything any more."""

    events: dict[int, Event]
    refused: dict[int, ValueError]


async def opened(ingest: Ingest, events: Sequence[AnyEvent]) -> Openings:
    """Open the sealed events of a batch; others come back as they are.

    Raises:
        TryAgain: the keys cannot be had; the batch has to be tried again.
    """
    if ingest.sealing is None:
        plain = {place: event for place, event in enumerate(events) if not isinstance(event, SealedEvent)}
        return Openings(plain, {place: NoKeys() for place in range(len(events)) if place not in plain})
    found = Openings({}, {})
    for place, one in enumerate(await ingest.sealing.opened(events)):
        if isinstance(one, NotSealedHere):
            found.refused[place] = one
        elif one is not None:
            found.events[place] = one
    gone = len(events) - len(found.events) - len(found.refused)
    if gone:
        log.info("events_unreadable", count=gone, why="the keys of their persons were destroyed")
    return found
