"""Write search documents."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from connectors.sinks.contract import SUPERSEDED, Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.elasticsearch import bulk
from connectors.sinks.elasticsearch.client import connected
from connectors.sinks.elasticsearch.documents import (
    DELETED,
    Unfit,
    action,
    body,
    checked_id,
    content,
    document_id,
    version_of,
)
from connectors.sinks.elasticsearch.errors import interpreted
from connectors.sinks.elasticsearch.indices import Indices
from connectors.sinks.elasticsearch.lines import Key, Known, Operation, Ready, settle
from connectors.sinks.elasticsearch.options import ElasticsearchOptions
from connectors.sinks.elasticsearch.purging import expunge
from connectors.sinks.elasticsearch.register import Register
from connectors.sinks.elasticsearch.reindex import reindex
from connectors.sinks.elasticsearch.repairing import line_of_repair
from connectors.sinks.elasticsearch.schema import VISIBLE
from connectors.sinks.persons import Purge, delete_of
from connectors.sinks.reindexing import Reindexed
from connectors.sinks.undo import emptied
from schemas.writes import SearchWrite

_WALKED_AT_ONCE = 1_000
_WALK = {"query": VISIBLE, "_source": ["entity", "source", "version"]}


class ElasticsearchSink:
    """Documents of an Elasticsearch index; their form is said in `documents`.

    A batch is one bulk request with external versions, so the index itself compares each write, in the step that stores
    it. Every item has its own outcome.
    """

    def __init__(self, options: ElasticsearchOptions) -> None:
        self.limits = Limits(max_records=2_000, max_bytes=5 * 1024 * 1024, requests=options.requests)
        self._options = options
        self._client: Elasticsearch | None = None
        self._register: Register | None = None

    def open(self) -> None:
        """Connect, and make and check template, index and aliases.

        Raises:
            Unavailable: no node answers.
            Fatal: address, login, rights or mapping; names the option.
        """
        if self._client is not None:
            return
        self._client = connected(self._options)
        try:
            Indices(self._client, self._options).prepare()
            self._register = Register(self._client, self._options.write_alias)
        except BaseException:
            self.close()
            raise

    def write(self, batch: Sequence[SearchWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: dict[int, Outcome] = {}
        ready: list[tuple[str, Ready]] = []
        for index, write in enumerate(batch):
            try:
                ready.append((checked_id(write), Ready(index, write, body(write))))
            except Unfit as error:
                outcomes[index] = Rejected(str(error))
        if ready:
            with interpreted():
                sources = self._known_register().entered({one.write.source for _, one in ready})
                if len(sources) == 1:
                    outcomes.update(self._write_alone(ready))
                else:
                    outcomes.update(self._write_among(sources, [one for _, one in ready]))
                self._insist([one for one in ready if one[1].write.repair], outcomes)
        return [outcomes[index] for index in range(len(batch))]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the index holds, as of now and not of its last refresh; `copies` counts visible documents."""
        if not entities:
            return {}
        with interpreted():
            sources = self._known_register().sources()
            known = self._known(dict.fromkeys(entity for entity, _ in entities), sources)
        copies: dict[str, int] = {}
        for (entity, _), found in known.items():
            copies[entity] = copies.get(entity, 0) + (found.state is None)
        return {
            key: Held(version=known[key].version, deleted=known[key].state == DELETED, copies=copies[key[0]])
            for key in entities
            if key in known
        }

    def before(self, writes: Sequence[SearchWrite]) -> list[SearchWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`."""
        if not writes:
            return []
        with interpreted():
            entities = dict.fromkeys(write.entity for write in writes)
            # Their own sources, too: what somebody put there by hand may name one that never wrote.
            sources = self._known_register().sources() | {write.source for write in writes}
            known = self._known(entities, sources, whole=True)
        visible = {entity: found.document for (entity, _), found in known.items() if found.state is None}
        return [_undo(write, known.get((write.entity, write.source)), visible.get(write.entity)) for write in writes]

    def walk(self) -> Iterator[SearchWrite]:
        """Yield the documents that readers see; see `connectors.sinks.contract.Walking`.

        A document that names no entity and source is not one of ours: no write could remove it.
        """
        client, alias = self._opened(), self._options.write_alias
        with interpreted():
            client.indices.refresh(index=alias)
            found = scan(client, index=alias, query=_WALK, version=True, size=_WALKED_AT_ONCE)
            for hit in found:
                entity, source = hit["_source"].get("entity"), hit["_source"].get("source")
                if entity is not None and source is not None:
                    yield delete_of(SearchWrite, entity, source, version_of(hit["_source"], hit["_version"]))

    def purge(self) -> Purge:
        """Have segments written anew without deleted documents; see `connectors.sinks.persons.Purging`."""
        with interpreted():
            return expunge(self._opened(), self._options.write_alias)

    def reindex(self, *, delete_old: bool = False) -> Reindexed:
        """Make the index anew; see `connectors.sinks.reindexing.Reindexing`."""
        return reindex(self._options, delete_old=delete_old)

    def close(self) -> None:
        """Close the connections; may be called twice."""
        if self._client is not None:
            self._client.close()
            self._client = self._register = None

    def _write_alone(self, ready: Sequence[tuple[str, Ready]]) -> dict[int, Outcome]:
        lines = chain.from_iterable(_line(name, one) for name, one in ready)
        found = self._bulk(list(lines))
        return {one.position: outcome for (_, one), outcome in zip(ready, found, strict=True)}

    def _write_among(self, sources: Iterable[str], ready: Sequence[Ready]) -> dict[int, Outcome]:
        """Write what others may have spoken of: hide their word first, so that no entity is ever visible twice."""
        known = self._known(dict.fromkeys(one.write.entity for one in ready), sources)
        hides, writes, outcomes = settle(ready, known)
        waiting: dict[str, Outcome] = {}
        for operation, outcome in self._operate(hides):
            if isinstance(outcome, Retry):
                waiting[operation.entity] = outcome
            outcomes.update((index, outcome) for index in operation.indices)
        for operation in writes:
            if operation.entity in waiting:
                outcomes.update((index, waiting[operation.entity]) for index in operation.indices)
        for operation, outcome in self._operate([one for one in writes if one.entity not in waiting]):
            outcomes.update((index, outcome) for index in operation.indices)
        return outcomes

    def _insist(self, repairs: Sequence[tuple[str, Ready]], outcomes: dict[int, Outcome]) -> None:
        """Write the repairs again that Elasticsearch refused only because another client has counted `_version` up."""
        refused = {name: one for name, one in repairs if outcomes[one.position] == SUPERSEDED}
        if not refused:
            return
        keys = {(one.write.entity, one.write.source): name for name, one in refused.items()}
        known = self._known({entity: None for entity, _ in keys}, {source for _, source in keys})
        lines = {name: line_of_repair(name, refused[name].write, known.get(key)) for key, name in keys.items()}
        sending = {name: line for name, line in lines.items() if line is not None}
        if sending:
            found = self._bulk(list(chain.from_iterable((line, refused[name].body) for name, line in sending.items())))
            outcomes.update((refused[name].position, outcome) for name, outcome in zip(sending, found, strict=True))

    def _operate(self, operations: Sequence[Operation]) -> list[tuple[Operation, Outcome]]:
        if not operations:
            return []
        lines = chain.from_iterable((action(one.document, one.version, one.kind), one.body) for one in operations)
        return list(zip(operations, self._bulk(list(lines)), strict=True))

    def _bulk(self, lines: Any) -> list[Outcome]:
        # `lines` are bytes, which the client sends as they are; its types know of maps only.
        response = self._opened().bulk(
            index=self._options.write_alias, operations=lines, require_alias=True, filter_path=bulk.PARTS
        )
        return bulk.outcomes(response.body, len(lines) // 2)

    def _known(self, entities: Iterable[str], sources: Iterable[str], *, whole: bool = False) -> dict[Key, Known]:
        keys = {document_id(entity, source): (entity, source) for entity in entities for source in sources}
        if not keys:
            return {}
        response = self._opened().mget(
            index=self._options.write_alias,
            ids=list(keys),
            source=True if whole else ["state", "version"],
            filter_path="docs._id,docs._version,docs.found,docs._source",
        )
        known: dict[Key, Known] = {}
        for found in response.body.get("docs", []):
            if found.get("found"):
                document, number = found.get("_source", {}), found["_version"]
                version = version_of(document, number)
                known[keys[found["_id"]]] = Known(version, document.get("state"), number, document)
        return known

    def _known_register(self) -> Register:
        if self._register is None:
            raise RuntimeError("the sink is not open")
        return self._register

    def _opened(self) -> Elasticsearch:
        if self._client is None:
            raise RuntimeError("the sink is not open")
        return self._client


def _line(name: str, one: Ready) -> tuple[bytes, bytes]:
    return action(name, one.write.version, "external_gte" if one.write.repair else "external"), one.body


def _undo(write: SearchWrite, line: Known | None, document: Mapping[str, Any] | None) -> SearchWrite | None:
    if line is not None and line.version >= write.version:
        return None
    if document is None:
        return emptied(write)
    version = 0 if line is None else line.version
    return msgspec.structs.replace(write, **content(document), op="upsert", version=version, undo=False)
