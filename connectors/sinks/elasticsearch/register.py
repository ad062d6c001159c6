"""The sources that have written to an index, in a document of its own that is read in real time.

While there is one source, its version line is all there is, and a batch is one bulk request. A second one makes every
batch look first at what the other has said.

To ask for the document before each batch would be a third of what a batch of a few writes takes. So who has seen that
there is one source goes by that for `KNOWN_SECONDS`, and who is to write beside it waits for longer, once, before its
first write: by then everybody knows.
"""

import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from connectors.sinks.elasticsearch.documents import REGISTER, REGISTER_ID

KNOWN_SECONDS = 1.0
# Clocks of two machines may run at slightly different speeds, and a request begins a little after it was decided on.
WAIT_SECONDS = 1.5 * KNOWN_SECONDS


class Register:
    """The sources of the index behind a write alias, as one writer knows them; used from one thread at a time.

    Args:
        client: of the server.
        alias: that is written to.
        now: a clock in seconds that is never set back.
        wait: waits for so many seconds.
    """

    def __init__(
        self,
        client: Elasticsearch,
        alias: str,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,  # for others to forget what they know; nothing tells that they have
    ) -> None:
        self._client = client
        self._alias = alias
        self._now = now
        self._wait = wait
        self._alone: frozenset[str] = frozenset()  # the only source, as of `_asked_at`
        self._asked_at = 0.0
        self._waited = False

    def sources(self) -> frozenset[str]:
        """Return all sources, as of now."""
        return self._read()[0]

    def entered(self, writing: AbstractSet[str]) -> frozenset[str]:
        """Return all sources, those that are about to write included: they are entered before they do.

        A single one may have got company within the last `KNOWN_SECONDS`, which has written nothing yet.
        """
        asking = self._now()
        if self._alone and writing <= self._alone and asking - self._asked_at < KNOWN_SECONDS:
            return self._alone
        sources = self._enter(writing)
        self._asked_at, self._alone = asking, sources if len(sources) == 1 else frozenset()
        if len(sources) > 1 and not self._waited:
            self._wait(WAIT_SECONDS)
            self._waited = True
        return sources

    def _enter(self, writing: AbstractSet[str]) -> frozenset[str]:
        while True:
            there, place = self._read()
            if writing <= there:
                return there
            document = {"state": REGISTER, "sources": sorted(there | writing)}
            try:
                self._client.index(index=self._alias, id=REGISTER_ID, document=document, require_alias=True, **place)  # pyright: ignore[reportArgumentType]
            except ConflictError:
                continue  # another process entered its sources; look again
            return there | writing

    def _read(self) -> tuple[frozenset[str], dict[str, object]]:
        """Return the sources, and what a write has to say so that it changes nothing that is newer."""
        try:
            found = self._client.get(index=self._alias, id=REGISTER_ID)
        except NotFoundError as error:
            if "found" not in error.body:  # no document is an answer; no index is an error
                raise
            return frozenset(), {"op_type": "create"}
        sources = frozenset(found["_source"]["sources"])
        return sources, {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
