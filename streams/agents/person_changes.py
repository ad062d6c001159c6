"""Changes of rows that are persons, re-keyed by them: they wait while their person is erased, as events do.

The topics of changes are keyed by rows as their database has them, so only a topic of their own brings them to the
partition that has the request: what went through before it lies in Kafka when the erasure begins, and is found.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from schemas.changes import Change, InvalidChange, decode_change
from schemas.topics import Catalogue
from streams.agents.changes import followed, to_person
from streams.agents.ingest import COMPONENT, Ingest
from streams.deadletters import dead_letter
from streams.enrichment.travellers import NEW
from streams.erasure.hold import Erased, Policy, fate_of_row
from streams.routing.changes import RowChange, read_change
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record

log = structlog.get_logger(__name__)


class PersonChangePass:
    """Processes the runs of the topic of persons' changes.

    Args:
        ingest: how writes leave.
        policy: for changes that are newer than a request.
    """

    def __init__(self, ingest: Ingest, policy: Policy) -> None:
        self._ingest = ingest
        self._policy: Policy = policy

    async def process(self, records: Sequence[Record]) -> None:
        """See a batch through: when this returns, its outputs are in Kafka and what waits is in the changelog."""
        ingest = self._ingest
        assert ingest.tables.held_rows is not None
        counts = Counter[str]()
        async with ingest.transactions.turn(records[0].partition) as transaction:
            travellers = transaction.view(ingest.tables.travellers)
            held = transaction.view(ingest.tables.held_rows)
            outputs: list[Outgoing] = []
            passing: list[RowChange] = []
            for record in records:
                try:
                    change = _read(record)
                except InvalidChange as error:
                    outputs.append(_letter(ingest.catalogue, record, error))
                    continue
                if change is None:
                    continue
                erased = (travellers.get(change.row_id) or NEW).erased
                fate = fate_of_row(change.change.source.ts_ms, erased, self._policy)
                counts[fate] += 1
                if fate == "hold":
                    held.put(held_key(change.row_id, change.cause["event_id"]), change.change, record)
                elif fate == "pass":
                    passing.append(change)
            outputs += await followed(ingest, passing)
            transaction.commit_after(lambda: ingest.publish(outputs))
        del counts["pass"]
        if ingest.holds is not None:
            ingest.holds.sieved("rows", "held", counts["hold"])
            ingest.holds.sieved("rows", "refused", counts["refuse"])
        if counts:
            log.info("rows_of_the_erased", **counts)


def released(
    catalogue: Catalogue, user: str, waiting: Iterable[Change], erased: Erased, policy: Policy
) -> list[Outgoing]:
    """Return the changes that go on, of those that have waited for the end of an erasure."""
    read = (
        read_change(one, {"id": user}) for one in waiting if fate_of_row(one.source.ts_ms, erased, policy) != "refuse"
    )
    return [to_person(catalogue, one) for one in read if one is not None]


def held_key(user: str, event_id: str) -> str:
    """Return where a change waits; those of a person begin with `held_key(user, "")`."""
    return f"{user}\0{event_id}"


def _read(record: Record) -> RowChange | None:
    change = decode_change(record.value or b"")
    return None if change is None else read_change(change, {"id": (record.key or b"").decode("utf-8", "replace")})


def _letter(catalogue: Catalogue, record: Record, error: Exception) -> Outgoing:
    return dead_letter(catalogue, record, component=COMPONENT, stage="decode", error=error, schema="Change")
