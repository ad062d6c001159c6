"""The deletes of an erasure. Pure."""

from collections.abc import Iterable

from msgspec import structs

from schemas.erasures import Erasure
from schemas.writes import Write
from streams.persons.holdings import Holding
from streams.routing.entities import EVENTS, write_version

LARGEST = 2**63 - 1  # of versions


def deletes_of(erasure: Erasure, holdings: Iterable[Holding]) -> list[Write]:
    """Return a delete of each holding, newer than all that was seen of it.

    On the version line of events it is as new as the request, too: so whatever was said before, and comes late, is
    superseded, and so is what a saga takes back. Versions of other lines do not compare with it.
    """
    asked = write_version(erasure.version)
    return [
        structs.replace(
            one.write,
            version=min(LARGEST, max(asked if one.write.source == EVENTS else 0, one.write.version + 1)),
            event_id=erasure.id,
            occurred_at=erasure.requested_at,
        )
        for one in holdings
    ]
