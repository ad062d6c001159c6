"""Events about a place that nobody knows yet: they wait under the place's key, and go back when it arrives.

The topics of waiting events and of places are both keyed by the place, so one worker reads both, and its tables settle
which came first. The index of places that enrichment uses cannot: every worker reads it at its own pace.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec
import structlog

from schemas.events import Event
from schemas.reference import Place, ResumedEvent, WaitingEvent
from schemas.writes import Priority
from streams.agents.embed import embed
from streams.agents.erasures import Arrived, begin_erasures, kept, sieve_of
from streams.agents.ingest import COMPONENT, UNREADABLE, Ingest
from streams.agents.opening import opened
from streams.agents.travellers import TravellerStates
from streams.deadletters import dead_letter
from streams.enrichment.joins import Accepted, enrich
from streams.routing.table import route
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record

log = structlog.get_logger(__name__)

_waiting = msgspec.json.Decoder(WaitingEvent)
_resumed = msgspec.json.Decoder(ResumedEvent)
_place = msgspec.json.Decoder(Place)


class WaitingRoom:
    """Keeps events until their place arrives, or until they have waited long enough."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def wait(self, records: Sequence[Record]) -> None:
        """Take in waiting events; those whose place has arrived meanwhile go back at once."""
        ingest = self._ingest
        partition = records[0].partition
        async with ingest.transactions.turn(partition) as transaction:
            waiting, arrived = transaction.view(ingest.tables.waiting), transaction.view(ingest.tables.arrived)
            outputs: list[Outgoing] = []
            for record in records:
                try:
                    one = _waiting.decode(record.value or b"")
                except UNREADABLE as error:
                    outputs.append(self._letter(record, error, "WaitingEvent"))
                    continue
                place = arrived.get(one.place_id)
                if place is None:
                    waiting.update(_key(one), record, lambda _, one=one: one)
                else:
                    outputs.append(self._back(one, place))
            transaction.commit_after(lambda: ingest.publish(outputs))

    async def arrive(self, records: Sequence[Record]) -> None:
        """Take in places; events that waited for them go back."""
        ingest = self._ingest
        partition = records[0].partition
        async with ingest.transactions.turn(partition) as transaction:
            waiting, arrived = transaction.view(ingest.tables.waiting), transaction.view(ingest.tables.arrived)
            outputs: list[Outgoing] = []
            for record in records:
                place_id = (record.key or b"").decode("utf-8", "replace")
                if record.value is None:
                    arrived.update(place_id, record, lambda _: None)
                    continue
                try:
                    place = _place.decode(record.value)
                except UNREADABLE as error:
                    outputs.append(self._letter(record, error, "Place"))
                    continue
                arrived.update(place_id, record, lambda _, place=place: place)
                for key, one in list(waiting.starting_with(f"{place_id}\0")):
                    outputs.append(self._back(one, place))
                    waiting.delete(key, record)
            transaction.commit_after(lambda: ingest.publish(outputs))

    async def give_up(self, partitions: Iterable[int], now_ms: int) -> None:
        """Send back, without a place, what has waited for longer than `enrich.place_wait_seconds`."""
        ingest = self._ingest
        for partition in partitions:
            async with ingest.transactions.turn(partition) as transaction:
                waiting = transaction.view(ingest.tables.waiting)
                late = [
                    (key, one)
                    for key, one in waiting.starting_with("")
                    if one.waiting_since_ms + ingest.place_wait_ms <= now_ms
                ]
                for key, one in late:
                    log.warning("place_never_came", place_id=one.place_id, event_id=one.event.event_id)
                    waiting.delete(key)
                outputs = [self._back(one, None) for _, one in late]
                transaction.commit_after(partial(ingest.publish, outputs))

    def _back(self, one: WaitingEvent, place: Place | None) -> Outgoing:
        value = msgspec.json.encode(ResumedEvent(event=one.event, place=place, urgent=one.urgent))
        return Outgoing(self._ingest.catalogue.resumed_events.name, one.event.user_id.encode(), value)

    def _letter(self, record: Record, error: Exception, schema: str) -> Outgoing:
        return dead_letter(
            self._ingest.catalogue, record, component=COMPONENT, stage="decode", error=error, schema=schema
        )


class ResumedPass:
    """Processes events that come back from waiting: enrich, embed, route. Intake has seen them already."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through."""
        ingest = self._ingest
        partition = records[0].partition
        async with ingest.transactions.turn(partition) as transaction:
            states = TravellerStates(transaction.view(ingest.tables.travellers))
            sieve = sieve_of(ingest, transaction, states)
            passing: list[tuple[Event, ResumedEvent, bool]] = []
            outputs: list[Outgoing] = []
            read: list[tuple[ResumedEvent, Record]] = []
            for record in records:
                try:
                    read.append((_resumed.decode(record.value or b""), record))
                except UNREADABLE as error:
                    outputs.append(
                        dead_letter(
                            ingest.catalogue,
                            record,
                            component=COMPONENT,
                            stage="decode",
                            error=error,
                            schema="ResumedEvent",
                        )
                    )
            found = await opened(ingest, [one.event for one, _ in read])
            outputs += [
                dead_letter(ingest.catalogue, read[place][1], component=COMPONENT, stage="open", error=error)
                for place, error in found.refused.items()
            ]
            for place, event in found.events.items():
                one, record = read[place]
                replayed = states.reached(event.user_id, record)
                if sieve is None or sieve.passes(Arrived(event, record, one.urgent)):
                    passing.append((event, one, replayed))
            sealed = await ingest.sealed([event for event, _, _ in passing])
            accepted = [
                Accepted(event, replayed=replayed, resumed=True, place=one.place)
                for event, (_, one, replayed) in zip(sealed, passing, strict=True)
            ]
            lanes: list[Priority] = ["urgent" if one.urgent else "normal" for _, one, _ in passing]
            joined = enrich(
                accepted,
                places=ingest.reference.places,
                profiles=ingest.reference.profiles.get,
                travellers=states,
                rules=ingest.gps,
            )
            outputs.extend(kept(ingest, sieve))
            seal = await ingest.write_seal(one.event.user_id for one in joined.enriched)
            for one in embed(joined.enriched, ingest.embedders):
                event = one.enriched.event
                outputs.extend(ingest.of_event(event, seal(event.user_id, route(one)), lanes[one.enriched.index]))
            transaction.commit_after(lambda: ingest.publish(outputs))
        await begin_erasures(ingest, sieve)


def _key(one: WaitingEvent) -> str:
    return f"{one.place_id}\0{one.event.event_id}"
