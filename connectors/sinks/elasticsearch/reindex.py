"""Make an index anew while it is read and written: for another mapping, other analyzers or another number of shards.

Every change of a document gives it a higher `_seq_no` within its shard, so the old index is read like a log: from the
first to the last change, again and again, until little is left. Changes that are made side by side may become visible
in another order than that of their numbers, so it is read up to the shard's global checkpoint: below that none is under
way in any copy. Then the old index is closed to writes, which waits for those under way; the rest is copied, and both
aliases move in one step. Readers notice nothing. Writers are told to come again for the moment in between, and then
find the new index.
"""

import time
from collections.abc import Iterator
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from connectors.sinks.elasticsearch import schema
from connectors.sinks.elasticsearch.client import connected
from connectors.sinks.elasticsearch.errors import interpreted
from connectors.sinks.elasticsearch.indices import Indices
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.reindexing import Reindexed

PAGE = 1_000
LITTLE = 2_000  # changes that are copied while writers wait: well under a second
ROUNDS = 50

_CREATED, _CONFLICT = 300, 409


def reindex(options: ElasticsearchOptions, *, delete_old: bool = False) -> Reindexed:
    """Copy all documents with their versions into a new index and let the aliases name it.

    Raises:
        Unavailable: no node answers, or takes more; the old index is in use as before. When even that could not be
            asked, nothing is deleted and the old index may still be closed to writes: run it again.
        Fatal: there is nothing to copy, or a document does not fit the new mapping; the old index is in use as before.
    """
    client = connected(options)
    try:
        with interpreted():
            return _reindex(client, options, delete_old=delete_old)
    finally:
        client.close()


def _reindex(client: Elasticsearch, options: ElasticsearchOptions, *, delete_old: bool) -> Reindexed:
    indices = Indices(client, options)
    old = indices.current()
    if old is None:
        raise Fatal(f"there is no alias {options.write_alias}, so nothing to reindex")
    indices.put_template()
    new = indices.make_next()
    copier = _Copier(client, old, new)
    try:
        copied = 0
        for _ in range(ROUNDS):
            one_round = copier.copy()
            copied += one_round
            if one_round <= LITTLE:
                break
        started = time.monotonic()
        client.indices.add_block(index=old, block="write")
        copied += copier.copy(last=True)
        client.indices.refresh(index=new)  # or the first readers would miss what was copied last
        _move(client, indices, schema.alias_actions(options, new, old), new)
        closed = time.monotonic() - started
    except BaseException:
        # Interrupted while the aliases moved, they may have: then `new` is what is read and written, and stays.
        if not _has_moved(client, indices, new):
            client.indices.put_settings(index=old, settings={"index.blocks.write": None})
            client.indices.delete(index=new)
        raise
    if delete_old:
        client.indices.delete(index=old)
    return Reindexed(old=old, new=new, documents=copied, closed_seconds=closed)


def _move(client: Elasticsearch, indices: Indices, actions: list[dict[str, Any]], new: str) -> None:
    """Move the aliases; an answer that is lost does not mean that they have not moved."""
    try:
        client.indices.update_aliases(actions=actions)
    except (ApiError, TransportError):
        if not _has_moved(client, indices, new):
            raise


def _has_moved(client: Elasticsearch, indices: Indices, new: str) -> bool:
    """Return whether the write alias names the new index, once no change of the cluster's state is waiting."""
    client.cluster.health(wait_for_events="languid", timeout="30s")
    return indices.current() == new


class _Copier:
    """Copies the changes of an index since the last time, shard by shard."""

    def __init__(self, client: Elasticsearch, old: str, new: str) -> None:
        self._client = client
        self._old = old
        self._new = new
        shards = int(client.indices.get_settings(index=old)[old]["settings"]["index"]["number_of_shards"])
        self._copied_to = dict.fromkeys(range(shards), -1)

    def copy(self, *, last: bool = False) -> int:
        """Copy what has changed; return how many documents.

        Args:
            last: nothing may be left.

        Raises:
            Unavailable: something is left, though nothing may be.
        """
        checkpoints = self._checkpoints(complete=last)
        self._client.indices.refresh(index=self._old)
        count = 0
        for shard, checkpoint in checkpoints.items():
            for page in self._pages(shard, checkpoint):
                self._put(page)
                self._copied_to[shard] = page[-1]["sort"][0]
                count += len(page)
            self._copied_to[shard] = checkpoint
        return count

    def _checkpoints(self, *, complete: bool) -> dict[int, int]:
        """Return, for each shard, the number up to which no change is under way any more."""
        stats = self._client.indices.stats(index=self._old, metric="docs", level="shards")
        shards = stats["indices"][self._old]["shards"]
        found = {
            int(shard): copy["seq_no"]
            for shard, copies in shards.items()
            for copy in copies
            if copy["routing"]["primary"]
        }
        if complete and any(one["global_checkpoint"] < one["max_seq_no"] for one in found.values()):
            raise Unavailable(f"changes of {self._old} are still under way though it takes none; try again")
        return {shard: one["global_checkpoint"] for shard, one in found.items()}

    def _pages(self, shard: int, checkpoint: int) -> Iterator[list[dict[str, Any]]]:
        while True:
            found = self._client.search(
                index=self._old,
                preference=f"_shards:{shard}",
                query={"range": {"_seq_no": {"gt": self._copied_to[shard], "lte": checkpoint}}},
                sort=[{"_seq_no": "asc"}],
                version=True,
                size=PAGE,
                track_total_hits=False,
            )
            hits = found["hits"]["hits"]
            if not hits:
                return
            yield hits

    def _put(self, page: list[dict[str, Any]]) -> None:
        # Nobody else writes the new index yet: the same version may come again, with another `state`.
        operations: list[dict[str, Any]] = []
        for hit in page:
            place = {"_id": hit["_id"], "version": hit["_version"], "version_type": "external_gte"}
            operations += [{"index": place}, hit["_source"]]
        response = self._client.bulk(index=self._new, operations=operations)
        if not response["errors"]:
            return
        for item in response["items"]:
            result = item["index"]
            if result["status"] >= _CREATED and result["status"] != _CONFLICT:
                kind = result.get("error", {}).get("type", "unknown")
                raise Fatal(f"the new index {self._new} refuses a document: {result['status']} {kind}")
