"""The pass over a batch of travellers' events: intake, enrich, embed, route, then out, then the state."""

from collections.abc import Sequence

import msgspec
import structlog

from connectors.keys.contents import WriteSeal
from schemas.headers import carried_on
from schemas.reference import WaitingEvent
from schemas.writes import Priority
from streams.agents.embed import embed
from streams.agents.erasures import Arrived, begin_erasures, kept, sieve_of
from streams.agents.ingest import COMPONENT, Ingest
from streams.agents.intake import Refused, intake
from streams.agents.large_values import Part
from streams.agents.opening import opened
from streams.agents.travellers import TravellerStates
from streams.deadletters import dead_letter
from streams.enrichment.joins import Accepted, Joined, enrich
from streams.routing.table import route
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record

log = structlog.get_logger(__name__)


class EventPass:
    """Processes the runs of one lane of event topics."""

    def __init__(self, ingest: Ingest, lane: Priority) -> None:
        self._ingest = ingest
        self._lane: Priority = lane

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through: when this returns, its outputs are in Kafka and its state in the changelog."""
        await self._ingest.in_parts(records, self._process)

    async def _process(self, part: Part) -> None:
        ingest, records = self._ingest, part.records
        partition = records[0].partition
        async with ingest.transactions.turn(partition) as transaction:
            seen = transaction.view(ingest.tables.seen)
            checked = await ingest.unframing(
                part, lambda unframe: intake(records, seen=seen, rules=ingest.intake, unframe=unframe)
            )
            states = TravellerStates(transaction.view(ingest.tables.travellers))
            found = await opened(ingest, [one.event for one in checked.admitted])
            came = [
                Arrived(event, checked.admitted[place].record, self._lane == "urgent")
                for place, event in found.events.items()
            ]
            replayed = [states.reached(one.event.user_id, one.record) for one in came]
            sieve = sieve_of(ingest, transaction, states)
            passing = [
                (one, seen_before)
                for one, seen_before in zip(came, replayed, strict=True)
                if sieve is None or sieve.passes(one)
            ]
            origins = [one.record for one, _ in passing]
            sealed = await ingest.sealed([one.event for one, _ in passing])
            refused = [Refused(checked.admitted[place].record, "open", error) for place, error in found.refused.items()]
            accepted = [
                Accepted(event, replayed=seen_before) for event, (_, seen_before) in zip(sealed, passing, strict=True)
            ]
            joined = enrich(
                accepted,
                places=ingest.reference.places,
                profiles=ingest.reference.profiles.get,
                travellers=states,
                rules=ingest.gps,
            )
            seal = await ingest.write_seal(one.event.user_id for one in (*joined.enriched, *joined.waiting))
            outputs = [
                *kept(ingest, sieve),
                *self._writes(joined, origins, seal),
                *self._waiting(joined, origins, seal),
                *self._letters([*checked.refused, *refused]),
            ]
            transaction.commit_after(lambda: ingest.publish(outputs))
        await begin_erasures(ingest, sieve)
        if checked.duplicates:
            log.debug("duplicates_dropped", topic=records[0].topic, count=checked.duplicates)

    def _writes(self, joined: Joined, origins: Sequence[Record], seal: WriteSeal) -> list[Outgoing]:
        embedded = embed(joined.enriched, self._ingest.embedders)
        carried = {index: found for index, one in enumerate(origins) if (found := carried_on(one.headers))}
        if not carried and self._ingest.kinds is None:
            writes = (write for one in embedded for write in seal(one.enriched.event.user_id, route(one)))
            return self._ingest.outgoing(writes, self._lane)
        return [
            record
            for one in embedded
            for record in self._ingest.of_event(
                one.enriched.event,
                seal(one.enriched.event.user_id, route(one)),
                self._lane,
                carried.get(one.enriched.index, ()),
            )
        ]

    def _waiting(self, joined: Joined, origins: Sequence[Record], seal: WriteSeal) -> list[Outgoing]:
        topic = self._ingest.catalogue.waiting_events.name
        return [
            Outgoing(
                topic,
                one.place_id.encode(),
                msgspec.json.encode(
                    WaitingEvent(
                        place_id=one.place_id,
                        event=seal.event(one.event),
                        waiting_since_ms=origins[one.index].timestamp,
                        urgent=self._lane == "urgent",
                    )
                ),
            )
            for one in joined.waiting
        ]

    def _letters(self, refused: Sequence[Refused]) -> list[Outgoing]:
        return [
            dead_letter(
                self._ingest.catalogue,
                one.record,
                component=COMPONENT,
                stage=one.stage,
                error=one.error,
                schema="Event",
            )
            for one in refused
        ]
