"""Batches whose records carry claims: in parts that fit into memory, their values fetched several at once."""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from schemas.claims import CLAIM, InvalidClaim, read_claim
from schemas.headers import Headers
from schemas.wire import Unframe
from streams.runtime.records import Record

PART_BYTES = 8 * 1024 * 1024  # of the values that claims are to; a larger one is a part by itself
# Of a worker, over all partitions: together their values take as much memory as the records that a worker holds.
PARTS_AT_ONCE = 8
FETCHED_AT_ONCE = 8  # S3 answers within 30 ms: one by one, 2,000 took as long as a worker may do without progress


class Part(NamedTuple):
    """Consecutive records of a batch.

    Attributes:
        records: at least one.
        framed: whether a value or a key may have a frame, or be a claim.
        claims: whether a value may be a claim.
    """

    records: Sequence[Record]
    framed: bool
    claims: bool


def parts_of(records: Sequence[Record], most_bytes: int) -> list[Part]:
    """Split a batch that may have frames so that what the claims of a part are to has at most `most_bytes`."""
    parts: list[Part] = []
    begin, size, claims = 0, 0, False
    for number, record in enumerate(records):
        if not _has_claim(record):
            continue
        weight = _claimed_bytes(record)
        if size and size + weight > most_bytes:
            parts.append(Part(records[begin:number], framed=True, claims=claims))
            begin, size = number, 0
        size, claims = size + weight, True
    parts.append(Part(records[begin:], framed=True, claims=claims))
    return parts


@contextmanager
def fetched_ahead(part: Part, unframe: Unframe) -> Generator[Unframe]:
    """Yield what does as `unframe` does, and has redeemed the claims of a part, several at once."""
    if not part.claims:
        yield unframe
        return
    claims = {
        (record.value, *record.headers): (record.value, record.headers)
        for record in part.records
        if record.value is not None and _has_claim(record)
    }
    with ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="large-value") as pool:
        coming = {claim: pool.submit(unframe, value, headers) for claim, (value, headers) in claims.items()}

        def fetched(value: bytes, headers: Headers = ()) -> bytes:
            found = coming.pop((value, *headers), None)  # a value is let go of once it was read
            return unframe(value, headers) if found is None else found.result()

        try:
            yield fetched
        finally:
            pool.shutdown(cancel_futures=True)


def _has_claim(record: Record) -> bool:
    return any(name == CLAIM for name, _ in record.headers)


def _claimed_bytes(record: Record) -> int:
    try:
        claim = read_claim(record.value or b"", record.headers)
    except InvalidClaim:
        return 0  # it is refused when it is read
    return 0 if claim is None else max(0, claim.size)
