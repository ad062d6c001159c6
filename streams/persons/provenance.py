"""Which event each holding of a person came from, and when: what the writes in Kafka tell of it. Pure."""

from datetime import datetime
from typing import NamedTuple

from schemas.persons import persons_of
from schemas.writes import Write, store_of
from streams.persons.holdings import Holdings, Line


class Provenance(NamedTuple):
    """The event that a write followed from, and when that happened."""

    event_id: str
    when: datetime


class ToldHoldings(Holdings):
    """Holdings that remember, of each version of theirs, the event it came from."""

    def __init__(self, user: str) -> None:
        super().__init__(user)
        self._told: dict[tuple[Line, int], Provenance] = {}

    def take(self, write: Write) -> None:
        """Take a write; see `Holdings.take`."""
        super().take(write)
        if write.op == "upsert" and self.user in persons_of(write):
            line = (store_of(write), write.entity, write.source)
            self._told.setdefault((line, write.version), Provenance(write.event_id, write.occurred_at))

    def provenance(self, line: Line, version: int) -> Provenance | None:
        """Return where a version of a holding came from; None when no write in Kafka tells."""
        return self._told.get((line, version))
