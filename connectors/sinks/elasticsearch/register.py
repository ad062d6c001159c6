"""The sources that have written to an index, in a document of its own that is read in real time.

While there is one source, its version line is all there is, and a batch is one bulk request. A second one makes every
batch look first at what the other has said.
"""

from collections.abc import Set as AbstractSet

from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from connectors.sinks.elasticsearch.documents import REGISTER, REGISTER_ID


class Register:
    """The sources of the index behind a write alias."""

    def __init__(self, client: Elasticsearch, alias: str) -> None:
        self._client = client
        self._alias = alias

    def sources(self, writing: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Return all sources, those that are about to write included: they are entered before they do."""
        while True:
            try:
                found = self._client.get(index=self._alias, id=REGISTER_ID)
            except NotFoundError as error:
                if "found" not in error.body:  # no document is an answer; no index is an error
                    raise
                there: frozenset[str] = frozenset()
                place: dict[str, object] = {"op_type": "create"}
            else:
                there = frozenset(found["_source"]["sources"])
                place = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
            if writing <= there:
                return there
            document = {"state": REGISTER, "sources": sorted(there | writing)}
            try:
                self._client.index(index=self._alias, id=REGISTER_ID, document=document, require_alias=True, **place)  # pyright: ignore[reportArgumentType]
            except ConflictError:
                continue  # another process entered its sources; look again
            return there | writing
