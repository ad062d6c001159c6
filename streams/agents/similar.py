"""Keeps the relations between similar places up to date, each worker those of the places that it owns."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import structlog

from schemas.clock import HybridClock, unpack
from schemas.headers import LOW_PRIORITY
from schemas.reference import PlaceVector
from schemas.writes import GraphWrite
from streams.agents.ingest import Ingest
from streams.enrichment.similar import Similar, SimilarPlaces
from streams.routing.entities import Cause
from streams.routing.similar import SIMILAR, similar
from streams.runtime.publisher import TryAgain

log = structlog.get_logger(__name__)

LONGEST_WAIT = 3  # looks for which changes may go on to come before they are taken in; a snapshot brings thousands


class SimilarityRoom:
    """Knows the vectors of all places, and which relations it has published of those that are its own.

    The vectors come by `apply`, from all partitions of their topic; who owns a place is who reads the partition of its
    id. So each relation is published by one worker, and by its next one again with a newer version. What is published
    follows from what all workers come to know, in whichever order they do.

    Args:
        ingest: how the writes leave.
        count: how many neighbours a place has; 0: none are looked for.
        partition_of: the partition of a place's key.
        clock: gives out the versions of the relations. The clocks of workers have to agree: what a new owner says is
            superseded for as long as its clock is behind that of the one before it.
    """

    def __init__(self, ingest: Ingest, count: int, partition_of: Callable[[bytes], int], clock: HybridClock) -> None:
        self._ingest = ingest
        self._count = count
        self._partition_of = partition_of
        self._clock = clock
        self._places = SimilarPlaces(count)
        self._arrived: dict[str, PlaceVector | None] = {}
        self._grew = False
        self._waited = 0
        self._found: dict[str, list[Similar]] = {}
        self._partitions: dict[str, int] = {}  # of all places
        self._owned: frozenset[int] = frozenset()
        self._published: dict[str, list[Similar]] = {}
        self._due: set[str] = set()

    def apply(self, changes: Mapping[str, PlaceVector | None]) -> None:
        """Take in vectors of places, None where one is gone; they count from one of the next calls of `publish`."""
        self._arrived.update(changes)
        self._grew = True

    async def publish(self, partitions: Iterable[int]) -> None:
        """Publish what changed in the relations of the places in some partitions; to be called again and again.

        While vectors arrive by the thousand they are waited for: most of what follows from the first would not hold.

        Args:
            partitions: those of the topic of places that this worker reads; none while they change hands.
        """
        owned = frozenset(partitions)
        if not owned or self._count == 0:
            return
        if owned != self._owned:
            self._take_over(owned)
        await self._take_in()
        if not self._due:
            return
        version = self._clock.tick()
        places = [name for name in self._due if self._partitions[name] in owned]
        writes = [write for name in places for write in self._writes(name, version)]
        try:
            await self._ingest.publish(self._ingest.outgoing(writes, headers=(LOW_PRIORITY,)))
        except TryAgain as error:
            log.warning("similar_places_retried", places=len(places), error=str(error))
            return
        self._published |= {name: self._found[name] for name in places if name in self._found}
        for name in self._due - self._found.keys():
            self._published.pop(name, None)
            del self._partitions[name]
        self._due.clear()

    def _take_over(self, owned: frozenset[int]) -> None:
        """Forget what was published of places that others own now, and publish all of those that are new here."""
        for name, partition in self._partitions.items():
            if partition not in owned:
                self._published.pop(name, None)
            elif partition not in self._owned:
                self._due.add(name)
        self._owned = owned

    async def _take_in(self) -> None:
        """Take in what has arrived, once nothing more does or it has been long enough."""
        if not self._arrived:
            return
        if self._grew and self._waited < LONGEST_WAIT:
            self._grew, self._waited = False, self._waited + 1
            return
        arrived, self._arrived, self._waited = self._arrived, {}, 0
        found = await asyncio.to_thread(self._places.settle, arrived)
        for name, vector in arrived.items():
            self._partitions.setdefault(name, self._partition_of(name.encode()))
            if vector is None and self._found.pop(name, None) is not None:
                self._due.add(name)
        self._found |= found
        self._due |= found.keys()

    def _writes(self, name: str, version: int) -> Iterable[GraphWrite]:
        moment = datetime.fromtimestamp(unpack(version)[0] / 1_000, UTC)
        cause = Cause(version=version, source=SIMILAR, event_id=f"{SIMILAR}-{version}", occurred_at=moment)
        found, before = self._found.get(name, []), self._published.get(name)
        if name not in self._found and before is None:
            return ()  # the place went, and its relations with it, before this worker knew of it
        return similar(cause, name, found, before, self._count)
