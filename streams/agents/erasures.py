"""Holds back the events of persons who are being erased, and lets them go, or not, when it is over.

A traveller's events of all topics go through one partition, and so does the request: from the moment that it is in the
state of that partition nothing newer goes through. Only then is the role erasure told to begin; so all that went
through before lies in Kafka by then, and is found.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import structlog
from msgspec import json, structs

from schemas.erasures import (
    ErasureEnd,
    ErasureStart,
    InvalidErasureRecord,
    decode_erasure_record,
    encode_erasure_record,
)
from schemas.events import Event
from schemas.persons import USER_LABEL
from schemas.reference import ResumedEvent, WaitingEvent
from schemas.writes import GraphWrite, NodeRef, Write
from streams.agents.ingest import COMPONENT, Ingest
from streams.agents.person_changes import held_key, released
from streams.agents.travellers import TravellerStates
from streams.deadletters import dead_letter
from streams.enrichment.travellers import NEW, TravellerState
from streams.erasure.hold import Erased, Policy, fate
from streams.erasure.metrics import Held, HeldOutcome
from streams.routing.entities import EVENTS, entity
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record
from streams.runtime.tables import TableView
from streams.runtime.transactions import Transaction

log = structlog.get_logger(__name__)


class Arrived(NamedTuple):
    """An event, the record it came in, and its lane."""

    event: Event
    record: Record
    urgent: bool


class Sieve:
    """What becomes of a batch's events of persons who are erased, or were.

    Args:
        policy: for new events of persons who were erased.
        states: of the travellers.
        held: the events that wait.
    """

    def __init__(self, policy: Policy, states: TravellerStates, held: TableView[WaitingEvent]) -> None:
        self._policy: Policy = policy
        self._states = states
        self._held = held
        self._erased: dict[str, Erased | None] = {}
        self._begun: set[str] = set()
        self._revived: set[str] = set()
        self.starts: list[ErasureStart] = []
        self.writes: list[Write] = []
        self.counts = Counter[str]()

    def passes(self, one: Arrived) -> bool:
        """Whether an event goes its way; to be called in order. One that waits is kept."""
        event = one.event
        user = event.user_id
        if user not in self._erased:
            self._erased[user] = (self._states.get(user) or NEW).erased
        erased = self._erased[user]
        outcome = fate(event, erased, self._policy)
        if outcome != "pass":
            self.counts[outcome] += 1
        match outcome:
            case "begin" | "again":
                self._start(event, begins=outcome == "begin")
                return True
            case "hold":
                waiting = WaitingEvent(
                    place_id="", event=event, waiting_since_ms=one.record.timestamp, urgent=one.urgent
                )
                self._held.put(_key(user, event.event_id), waiting, one.record)
                return False
            case "refuse":
                return False
            case "pass":
                if erased is not None and not erased.revived:
                    self._revive(event, erased)
                return True

    def keep(self) -> None:
        """Have remembered who is erased, and nothing else of them; to be called when all else is in the states."""
        for user in self._begun:
            self._states[user] = TravellerState(erased=self._erased[user])
        for user in self._revived - self._begun:
            self._states[user] = structs.replace(self._states.get(user) or NEW, erased=self._erased[user])

    def _start(self, event: Event, *, begins: bool) -> None:
        if begins:
            self._erased[event.user_id] = Erased(event.event_id, event.version)
            self._begun.add(event.user_id)
        self.starts.append(
            ErasureStart(
                id=event.event_id, user_id=event.user_id, version=event.version, requested_at=event.occurred_at
            )
        )

    def _revive(self, event: Event, erased: Erased) -> None:
        """Have the person's node there again: to one that was deleted no relation goes."""
        self._erased[event.user_id] = structs.replace(erased, revived=True)
        self._revived.add(event.user_id)
        self.writes.append(
            GraphWrite(
                entity=entity("user", event.user_id),
                version=erased.highest + 1,
                source=EVENTS,
                event_id=event.event_id,
                occurred_at=event.occurred_at,
                node=NodeRef(USER_LABEL, event.user_id),
            )
        )


def sieve_of(ingest: Ingest, transaction: Transaction, states: TravellerStates) -> Sieve | None:
    """Return the sieve of a batch; None where nobody is erased."""
    if ingest.erasure is None or ingest.tables.held is None:
        return None
    return Sieve(ingest.erasure, states, transaction.view(ingest.tables.held))


def kept(ingest: Ingest, sieve: Sieve | None) -> list[Outgoing]:
    """Have a sieve's decisions in the states, after all else that changes them; return what goes out for them."""
    if sieve is None:
        return []
    sieve.keep()
    return ingest.outgoing(sieve.writes)


async def begin_erasures(ingest: Ingest, sieve: Sieve | None) -> None:
    """Tell that erasures begin, and what was held back; to be called when that is durable."""
    if sieve is None:
        return
    if sieve.counts:
        if ingest.holds is not None:
            ingest.holds.sieved("events", "held", sieve.counts["hold"])
            ingest.holds.sieved("events", "refused", sieve.counts["refuse"])
        log.info("events_of_the_erased", **sieve.counts)
    if sieve.starts:
        topic = ingest.catalogue.erasure_starts.name
        starts = [Outgoing(topic, one.user_id.encode(), encode_erasure_record(one)) for one in sieve.starts]
        await ingest.publish(starts)


class ErasureRoom:
    """Lets go of events and rows that were held back."""

    def __init__(self, ingest: Ingest, policy: Policy) -> None:
        self._ingest = ingest
        self._policy: Policy = policy

    async def end(self, records: Sequence[Record]) -> None:
        """Take in ends of erasures: what waited for them goes on, or is let go of."""
        ingest = self._ingest
        assert ingest.tables.held is not None
        assert ingest.tables.held_rows is not None
        partition = records[0].partition
        counts: Counter[tuple[Held, HeldOutcome]] = Counter()
        async with ingest.transactions.turn(partition) as transaction:
            travellers = transaction.view(ingest.tables.travellers)
            held = transaction.view(ingest.tables.held)
            held_rows = transaction.view(ingest.tables.held_rows)
            outputs: list[Outgoing] = []
            for record in records:
                try:
                    end = decode_erasure_record(record.value, ErasureEnd)
                except InvalidErasureRecord as error:
                    outputs.append(
                        dead_letter(ingest.catalogue, record, component=COMPONENT, stage="decode", error=error)
                    )
                    continue
                state = travellers.get(end.user_id) or NEW
                if state.erased is None or state.erased.id != end.id:
                    continue  # the next one of the same person has begun
                erased = structs.replace(state.erased, over=True, highest=end.highest)
                travellers.put(end.user_id, structs.replace(state, erased=erased), record)
                waiting = list(held.starting_with(_key(end.user_id, "")))
                for key, _ in waiting:
                    held.delete(key, record)
                rows = list(held_rows.starting_with(held_key(end.user_id, "")))
                for key, _ in rows:
                    held_rows.delete(key, record)
                back = self._back((one for _, one in waiting), erased)
                changes = released(ingest.catalogue, end.user_id, (one for _, one in rows), erased, self._policy)
                counts["events", "released"] += len(back)
                counts["events", "refused"] += len(waiting) - len(back)
                counts["rows", "released"] += len(changes)
                counts["rows", "refused"] += len(rows) - len(changes)
                outputs += [*back, *changes]
            transaction.commit_after(lambda: ingest.publish(outputs))
        for (what, outcome), count in counts.items():
            if ingest.holds is not None:
                ingest.holds.sieved(what, outcome, count)
        if refused := counts["events", "refused"] + counts["rows", "refused"]:
            log.info("held_back_and_refused", count=refused, why="their persons were erased")

    async def count(self, partitions: Iterable[int]) -> None:
        """Have the metrics show how much waits in partitions; it is looked through, and is little or nothing."""
        ingest = self._ingest
        assert ingest.tables.held is not None
        assert ingest.tables.held_rows is not None
        found: dict[Held, int] = {"events": 0, "rows": 0}
        for partition in partitions:
            async with ingest.transactions.turn(partition) as transaction:
                found["events"] += sum(1 for _ in transaction.view(ingest.tables.held).starting_with(b""))
                found["rows"] += sum(1 for _ in transaction.view(ingest.tables.held_rows).starting_with(b""))
        if ingest.holds is not None:
            ingest.holds.shows(found)

    def _back(self, waiting: Iterable[WaitingEvent], erased: Erased) -> list[Outgoing]:
        topic = self._ingest.catalogue.resumed_events.name
        return [
            Outgoing(
                topic,
                one.event.user_id.encode(),
                json.encode(ResumedEvent(event=one.event, place=None, urgent=one.urgent)),
            )
            for one in waiting
            if fate(one.event, erased, self._policy) != "refuse"
        ]


def _key(user: str, event_id: str) -> str:
    return f"{user}\0{event_id}"
