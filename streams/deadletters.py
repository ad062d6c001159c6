"""The project's dead letters: `streams.runtime.dead_letters` with the topic that the catalogue names."""

from collections.abc import Sequence
from datetime import datetime

from schemas.topics import Catalogue
from streams.runtime import dead_letters
from streams.runtime.publisher import Outgoing, Publisher
from streams.runtime.records import Record


def dead_letter(
    catalogue: Catalogue,
    record: Record,
    *,
    component: str,
    stage: str,
    error: Exception,
    attempts: int = 1,
    first_failed_at: datetime | None = None,
    schema: str | None = None,
    store: str | None = None,
    foreseen: bool = True,
) -> Outgoing:
    """Return the dead letter of a record; see `streams.runtime.dead_letters.dead_letter`."""
    return dead_letters.dead_letter(
        catalogue.dead_letters.name,
        record,
        component=component,
        stage=stage,
        error=error,
        attempts=attempts,
        first_failed_at=first_failed_at,
        schema=schema,
        store=store,
        foreseen=foreseen,
    )


async def publish_with_letters(publisher: Publisher, catalogue: Catalogue, records: Sequence[Outgoing]) -> None:
    """Publish records, dead letters among them; see `streams.runtime.dead_letters.publish_with_letters`."""
    await dead_letters.publish_with_letters(publisher, catalogue.dead_letters.name, records)
