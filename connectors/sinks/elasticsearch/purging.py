"""Have Elasticsearch write its segments anew without what was deleted or overwritten.

Lucene only marks a document as deleted; its text lies in the segment until that is merged, and in the log of operations
until a flush. Merges come by themselves, sooner or later: when is for nobody to say. A merge leaves alone what a copy
of the shard might still ask for; how far the copies are, they tell each other every 30 seconds.
"""

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from connectors.sinks.persons import Purge

Shard = tuple[str, str]  # index, number

PATIENCE_SECONDS = 90.0  # until the copies have told; a follower in another cluster may need longer
_LOOK_SECONDS = 1.0
_MERGE_SECONDS = 3_600  # of a large index; it goes on when nobody waits for it any more
_ALLOWED = "index.merge.policy.expunge_deletes_allowed"  # percent of deleted documents that a merge leaves alone
_FORBIDDEN = 403

FORCED = "_flush, _forcemerge with only_expunge_deletes"
HELD = (
    "deleted documents that a retention lease holds (of a copy, or of a follower), until it is renewed and they merge"
)
NOT_ALLOWED = "segments with deleted documents, until Elasticsearch merges them (the right `maintenance` is missing)"


def expunge(client: Elasticsearch, alias: str, patience: float = PATIENCE_SECONDS) -> Purge:
    """Merge the segments that hold deleted documents, of all copies of each shard.

    Raises:
        ApiError, TransportError: of the client.
    """
    patient = client.options(request_timeout=_MERGE_SECONDS)
    try:
        ends = {shard: copy["seq_no"]["max_seq_no"] for shard, copy in _copies(client, alias)}
        patient.indices.flush(index=alias, force=True, wait_if_ongoing=True)
        released = _wait_for_leases(client, alias, ends, patience)
        patient.indices.put_settings(index=alias, settings={_ALLOWED: 0})
        try:
            patient.indices.forcemerge(index=alias, only_expunge_deletes=True)
        finally:
            patient.indices.put_settings(index=alias, settings={_ALLOWED: None})
        patient.indices.flush(index=alias, force=True, wait_if_ongoing=True)
    except ApiError as error:
        if error.meta.status != _FORBIDDEN:
            raise
        return Purge(keeps=NOT_ALLOWED)
    return Purge(forced=FORCED, keeps="" if released else HELD)


def _wait_for_leases(client: Elasticsearch, alias: str, ends: Mapping[Shard, int], patience: float) -> bool:
    """Wait until no lease holds what the shards had by then; returns whether that is so."""
    until = time.monotonic() + patience
    while any(_held_from(copy) <= ends.get(shard, -1) for shard, copy in _copies(client, alias)):
        if time.monotonic() > until:
            return False
        time.sleep(_LOOK_SECONDS)  # between two looks: nothing tells when a lease is renewed
    return True


def _held_from(copy: Mapping[str, Any]) -> float:
    """Return the number of the first operation that a lease holds."""
    return min((lease["retaining_seq_no"] for lease in copy["retention_leases"]["leases"]), default=math.inf)


def _copies(client: Elasticsearch, alias: str) -> Iterator[tuple[Shard, Mapping[str, Any]]]:
    indices = client.indices.stats(index=alias, level="shards").body["indices"]
    for name, index in indices.items():
        for number, copies in index["shards"].items():
            yield from (((name, number), copy) for copy in copies)
