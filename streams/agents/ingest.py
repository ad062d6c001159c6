"""What all agents of the ingest role work with, and how their outputs leave."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct, field, structs

from connectors.keys.contents import WriteSeal
from connectors.registry import RegistryError
from connectors.sinks.errors import SinkError
from schemas.changes import Change
from schemas.events import BaseEvent, Event
from schemas.headers import Headers
from schemas.reference import Place, PlaceVector, Profile, WaitingEvent
from schemas.sagas import encode_saga_record
from schemas.topics import Catalogue
from schemas.wire import Unframe
from schemas.writes import Priority, Write, encode_write, key_of, store_of
from streams.agents.embed import Embedders
from streams.agents.intake import IntakeRules, any_framed
from streams.agents.large_values import PART_BYTES, PARTS_AT_ONCE, Part, fetched_ahead, parts_of
from streams.agents.sealing import Sealing
from streams.conflicts.rules import Rules
from streams.deadletters import publish_with_letters
from streams.enrichment.places import PlaceIndex
from streams.enrichment.track import GpsRules
from streams.enrichment.travellers import TravellerState
from streams.erasure.hold import Policy
from streams.erasure.metrics import HoldMetrics
from streams.routing.changes import RowChange
from streams.runtime.publisher import Outgoing, Publisher, TryAgain
from streams.runtime.records import Record
from streams.runtime.tables import StateTable
from streams.runtime.transactions import Transactions
from streams.sagas.kinds import Kinds, Routed

log = structlog.get_logger(__name__)

T = TypeVar("T")

COMPONENT = "ingest"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what decoders raise, whatever the bytes are


class Tables(Struct, frozen=True):
    """The state of the ingest role; every table is partitioned by the key of the records that feed it."""

    seen: StateTable[int]  # event id -> time of its first record in ms
    travellers: StateTable[TravellerState]  # user id -> state
    waiting: StateTable[WaitingEvent]  # place id and event id -> the event
    arrived: StateTable[Place]  # place id -> the place, for the worker that keeps the events waiting for it
    held: StateTable[WaitingEvent] | None = None  # user id and event id -> an event that waits for an erasure's end
    held_rows: StateTable[Change] | None = None  # user id and event id -> a row that waits for it


class Reference(Struct):
    """What every worker knows of all places and travellers, kept up to date by the readers of the reference topics."""

    places: PlaceIndex
    profiles: dict[str, Profile]
    vectors: dict[str, PlaceVector] = field(default_factory=dict[str, PlaceVector])

    def apply_places(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Take in records of the topic of places."""
        for key, value in pairs:
            try:
                if value is None:
                    self.places.delete(key.decode())
                else:
                    self.places.upsert(msgspec.json.decode(value, type=Place))
            except UNREADABLE as error:
                log.warning("place_not_readable", key=key[:128], error=str(error))

    def apply_profiles(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Take in records of the topic of travellers."""
        for key, value in pairs:
            try:
                if value is None:
                    self.profiles.pop(key.decode(), None)
                else:
                    self.profiles[key.decode()] = msgspec.json.decode(value, type=Profile)
            except UNREADABLE as error:
                log.warning("profile_not_readable", key=key[:128], error=str(error))

    def apply_vectors(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> dict[str, PlaceVector | None]:
        """Take in records of the topic of places' vectors; returns the last of each place that could be read."""
        found: dict[str, PlaceVector | None] = {}
        for key, value in pairs:
            try:
                found[key.decode()] = None if value is None else _vector(value)
            except UNREADABLE as error:
                log.warning("place_vector_not_readable", key=key[:128], error=str(error))
        for name, vector in found.items():
            if vector is None:
                self.vectors.pop(name, None)
            else:
                self.vectors[name] = vector
        return found

    def holds(self, known: Place | Profile) -> bool:
        """Whether a place or a traveller is known like this, in whichever version."""
        held = self.places.get(known.id) if isinstance(known, Place) else self.profiles.get(known.id)
        return held is not None and structs.replace(held, lsn=known.lsn) == known

    def vector_of(self, place_id: str, text_hash: bytes, model: str) -> bytes | None:
        """Return the vector that a model gave a place's text, if the text was the same when it was embedded last."""
        known = self.vectors.get(place_id)
        return known.values if known is not None and (known.text_hash, known.model) == (text_hash, model) else None


class Ingest(Struct, frozen=True):
    """The parts that the agents of the ingest role share, and how their outputs leave."""

    catalogue: Catalogue
    publisher: Publisher
    transactions: Transactions
    tables: Tables
    reference: Reference
    embedders: Embedders
    unframe: Unframe
    intake: IntakeRules
    gps: GpsRules
    place_wait_ms: int
    large_parts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARTS_AT_ONCE))
    erasure: Policy | None = None  # for events of persons who were erased; None: nobody is
    holds: HoldMetrics | None = None  # counts what is held back; None: nobody counts
    kinds: Kinds | None = None  # of sagas; None: all writes go to their stores at once
    rules: Rules | None = None  # of types that are settled; None: what sources say holds as it comes
    sealing: Sealing | None = None  # of sensitive fields; None: they stay as they come

    async def in_parts(self, records: Sequence[Record], process: Callable[[Part], Awaitable[None]]) -> None:
        """Process a batch as one part, or as several when its claims are to more than should be in memory at a time."""
        if not any_framed(records):
            await process(Part(records, framed=False, claims=False))
            return
        for part in parts_of(records, PART_BYTES):
            async with self.large_parts if part.claims else nullcontext():
                await process(part)

    async def unframing(self, part: Part, stage: Callable[[Unframe], T]) -> T:
        """Return what a stage returns that is given what takes a part's values out of their frames.

        Raises:
            TryAgain: a Schema Registry is asked and does not say, or the object store that large values lie in; the
                batch has to be tried again.
        """

        def staged() -> T:
            with fetched_ahead(part, self.unframe) as unframe:
                return stage(unframe)

        try:
            # Asking the registry blocks; a batch without frames need not go to another thread for that.
            return await asyncio.to_thread(staged) if part.framed else stage(_as_it_is)
        except (RegistryError, SinkError) as error:
            raise TryAgain(str(error)) from error

    async def sealed(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return events with their sensitive fields sealed; to be given what goes on now, with the key of now.

        Raises:
            TryAgain: the keys cannot be had; the batch has to be tried again.
        """
        return events if self.sealing is None else await self.sealing.events(events)

    async def write_seal(self, users: Iterable[str]) -> WriteSeal:
        """Return what seals the contents of writes about some persons. Raises as `sealed`."""
        return WriteSeal(None) if self.sealing is None else await self.sealing.writes(users)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish outputs, dead letters among them."""
        await publish_with_letters(self.publisher, self.catalogue, records)

    def outgoing(self, writes: Iterable[Write], lane: Priority = "normal", headers: Headers = ()) -> list[Outgoing]:
        """Return writes as records of their stores' topics."""
        topics = self.catalogue.write_topics(lane)
        return [
            Outgoing(topics[store_of(write)], key_of(write).encode(), encode_write(write), headers) for write in writes
        ]

    def of_event(self, event: BaseEvent, writes: list[Write], lane: Priority, headers: Headers = ()) -> list[Outgoing]:
        """Return what goes out for an event: writes, and the saga that sees to some of them."""
        if self.kinds is None:
            return self.outgoing(writes, lane, headers)
        return self._routed(self.kinds.of_event(event, writes, urgent=lane == "urgent"), lane, headers)

    def of_change(self, change: RowChange, writes: list[Write]) -> list[Outgoing]:
        """Return what goes out for a change of a row."""
        if self.kinds is None:
            return self.outgoing(writes)
        return self._routed(self.kinds.of_change(change, writes), "normal")

    def _routed(self, routed: Routed, lane: Priority, headers: Headers = ()) -> list[Outgoing]:
        found, saga = self.outgoing(routed.at_once, lane, headers), routed.saga
        if saga is not None:
            topic = self.catalogue.saga_starts.name
            found.append(Outgoing(topic, saga.subject.encode(), encode_saga_record(saga)))
        return found


def _vector(value: bytes) -> PlaceVector:
    vector = msgspec.json.decode(value, type=PlaceVector)
    if not vector.values or len(vector.values) % 4:
        raise msgspec.ValidationError(f"{len(vector.values)} bytes of float32")
    return vector


def _as_it_is(value: bytes, headers: Headers = ()) -> bytes:  # noqa: ARG001 - a batch without frames has them too
    return value
