"""The relations between places that mean nearly the same: SIMILAR_TO{rank, similarity}.

A place has one relation for each rank. One that is no longer among the nearest is moved to the one that is, so nobody
has to remember where it pointed. Their version line is their own: they follow from many rows, and no row orders them.
"""

from collections.abc import Iterator, Sequence

from schemas.writes import GraphWrite
from streams.enrichment.similar import Similar
from streams.routing.entities import Cause, entity
from streams.routing.shapes import relation

SIMILAR = "similar-places"  # the version line
KIND = "SIMILAR_TO"


def similar(
    cause: Cause, place_id: str, found: Sequence[Similar], before: Sequence[Similar] | None, count: int
) -> Iterator[GraphWrite]:
    """Yield what brings the relations of a place up to date.

    Args:
        cause: version and time of the writes.
        place_id: of the place.
        found: those nearest to it, nearest first; none when the place is gone.
        before: those of the last time; None: not known, so all its relations are written.
        count: how many it may have.
    """
    start = ("Place", place_id)
    for rank in range(1, count + 1):
        new = found[rank - 1] if rank <= len(found) else None
        old = before[rank - 1] if before is not None and rank <= len(before) else None
        if before is not None and new == old:
            continue
        end = ("Place", new.id if new is not None else old.id if old is not None else place_id)
        about = None if new is None else {"rank": rank, "similarity": round(new.similarity, 6)}
        yield relation(cause, entity(KIND, place_id, str(rank)), KIND, start, end, about)
