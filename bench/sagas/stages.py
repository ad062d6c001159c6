"""Where the time of a saga goes: between the records that it leaves in Kafka, by when each was handed to a producer."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise

from bench.report import Figure
from bench.runtime.timeline import percentile
from bench.sagas.declared import STORES
from bench.sagas.stand import Stand
from connectors.kafka.reading import StoredRecord, records_in
from schemas.sagas import saga_of

# The last record of each kind that a saga left, from the first stage to the last.
STAGES = ("started", "decided", "sent", "answered", "told")


def stages_of(stand: Stand, subjects: Collection[str]) -> list[Figure]:
    """Return how long sagas took from one stage to the next, and the stores from a write to its end, in ms."""
    catalogue = stand.catalogue
    changelog = catalogue.changelog("lines", role="sagas").name
    writes = {catalogue.writes(store).name: store for store in STORES}
    kinds = {
        catalogue.saga_starts.name: "started",
        changelog: "decided",
        **dict.fromkeys(writes, "sent"),
        catalogue.saga_receipts.name: "answered",
        catalogue.saga_log.name: "told",
    }
    wanted = set(subjects)
    times: dict[str, dict[str, int]] = defaultdict(dict)
    for record in records_in(stand.connection, kinds):
        subject, kind = _subject(record), kinds[record.topic]
        if subject in wanted and not (kind == "decided" and kind in times[subject]):  # the first: what it begins with
            times[subject][kind] = record.timestamp
            if record.topic in writes:
                times[subject][writes[record.topic]] = record.timestamp
    whole = [one for one in times.values() if one.keys() >= set(STAGES)]
    pairs = [*pairwise(STAGES), *((store, "answered") for store in STORES)]
    return [_figure(whole, *pair, share) for pair in pairs for share in (0.5, 0.99)]


def _figure(times: Collection[Mapping[str, int]], first: str, then: str, share: float) -> Figure:
    delays = [float(one[then] - one[first]) for one in times]
    return Figure(name=f"{first} to {then}, p{share * 100:.0f}", value=percentile(delays, share), unit="ms")


def _subject(record: StoredRecord) -> str:
    saga = saga_of(record.headers)
    if saga is not None:
        return saga[1].decode()
    key = (record.key or b"").decode()
    return key.split("/")[1] if "/" in key else key  # the log has the ids of sagas
