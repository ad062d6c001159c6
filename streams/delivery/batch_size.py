"""How many writes the next request should have, decided on how long the last one took. Pure.

Twice as many while there is headroom, half as many when a request takes longer than its target. Halving that does not
help is taken back: a store that needs a second for any request would else be written to one by one.
"""

from msgspec import Struct

FIRST_RECORDS = 100
HELPED = 0.75  # half the writes in more than this share of the time: their number is not what takes long
GREW = 1.25  # twice the writes in less than this share of the time: the same
HOLD_REQUESTS = 16  # for so many full requests a size that halving did not help is kept


class BatchSize(Struct, frozen=True):
    """The most writes of the next request, and what is remembered of how it came to be.

    `before` is how many seconds a request of the size before took, `hold` how many requests this one is not halved.
    """

    records: int
    before: float | None = None
    hold: int = 0


def first_size(most: int) -> BatchSize:
    """Return the size to begin with."""
    return BatchSize(min(FIRST_RECORDS, most))


def after_request(size: BatchSize, *, taken: int, seconds: float, target: float, most: int) -> BatchSize:
    """Return the size after a request that the store took.

    A request that was not even half full says nothing about the size.

    Args:
        size: as it was.
        taken: writes of the request.
        seconds: how long it took.
        target: how long it should take at most.
        most: the bound of the size.
    """
    records = size.records
    if taken * 2 < records:
        return size
    if seconds <= target:
        doubled = taken >= records and seconds <= target / 2
        return BatchSize(min(most, records * 2) if doubled else records)
    if size.hold:
        no_slower = size.before is not None and seconds <= size.before * GREW
        grown = min(most, records * 2) if no_slower and taken >= records else records
        return BatchSize(grown, seconds if grown > records else size.before, size.hold - 1)
    if size.before is not None and seconds > size.before * HELPED:
        return BatchSize(min(most, records * 2), seconds, HOLD_REQUESTS)
    return BatchSize(max(1, records // 2), seconds)


def after_too_large(size: BatchSize, *, taken: int) -> BatchSize:
    """Return the size after the store said that a request was too large."""
    return BatchSize(max(1, min(size.records, taken) // 2))
