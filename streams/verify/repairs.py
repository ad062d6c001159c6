"""Send the writes again that a store has lost or changed, through its topic: delivery and receipts are as ever."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import structs

from connectors.kafka.reading import StoredRecord
from schemas.writes import CacheWrite, InvalidWrite, Write, decode_write
from streams.verify.lines import Finding, Line, Origin

VERIFY = "verify"  # the event that an entity nobody has written is deleted by


def origins_of(lines: Iterable[Line]) -> list[Origin]:
    """Return where the writes lie that make up an entity, in the order they are to be sent again."""
    found: dict[Origin, int] = {}
    for line in sorted(lines, key=lambda one: (one.at_ms, one.version)):
        for column in line.columns.values():
            found.setdefault(column.origin, line.at_ms)
        found.setdefault(line.origin, line.at_ms)
    return list(found)


def can_be_repaired(finding: Finding, lines: Sequence[Line]) -> bool:
    """Whether sending the writes again helps, and does no harm.

    It does not help where the store holds a number that nobody has written. It could do harm where several sources tell
    of one thing: a store compares versions source by source, and what one of them said could take the place of what
    another has said meanwhile. Of history each source has a row of its own.

    Args:
        finding: what is wrong.
        lines: what is expected of its entity; none where nobody has written it.
    """
    if len({line.source for line in lines} - {VERIFY}) > 1 and finding.store != "warehouse":
        return False
    return finding.kind == "extra" or finding.found is None or finding.found <= (finding.expected or 0)


def repairs_of(records: Iterable[StoredRecord], now_ms: int) -> Iterator[Write]:
    """Yield writes as they are sent again: each takes the place of its own version, and of nothing newer.

    Live state gets what is left of its time, none that has expired.

    Args:
        records: the writes as they were sent.
        now_ms: milliseconds since 1970.
    """
    for record in records:
        try:
            write = decode_write(record.value or b"")
        except InvalidWrite:
            continue  # it was none when it was folded
        if isinstance(write, CacheWrite) and write.ttl_seconds is not None:
            left = write.ttl_seconds - (now_ms - record.timestamp) // 1_000
            if left <= 0:
                continue
            write = structs.replace(write, ttl_seconds=left)
        yield structs.replace(write, repair=True, undo=False)


def removals_of(surplus: Mapping[str, Write], findings: Sequence[Finding]) -> Iterator[Write]:
    """Yield the deletes of what a store holds and nobody has written."""
    for finding in findings:
        if finding.kind == "extra" and finding.entity in surplus:
            place = surplus[finding.entity]
            yield structs.replace(place, source=place.source or VERIFY, event_id=VERIFY, repair=True, undo=False)
