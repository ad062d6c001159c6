"""Write vectors."""

from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args, get_type_hints
from uuid import uuid4

import msgspec

from connectors.sinks.contract import Held, Limits, Outcome, Rejected
from connectors.sinks.errors import SinkError, Unavailable
from connectors.sinks.persons import delete_of
from connectors.sinks.pinecone.client import PineconeClient, addressable
from connectors.sinks.pinecone.errors import OPTION
from connectors.sinks.pinecone.ledger import Ledger, refusal
from connectors.sinks.pinecone.merge import Change, Entry, changed, without_record
from connectors.sinks.pinecone.options import PineconeOptions
from connectors.sinks.pinecone.records import Record, Unfit, record_id, record_of
from connectors.sinks.pinecone.vectors import Vectors
from connectors.sinks.turns import Turns
from connectors.sinks.undo import emptied
from schemas.persons import USER_ID
from schemas.writes import VectorWrite

NAMESPACES: tuple[str, ...] = get_args(get_type_hints(VectorWrite)["namespace"])


class _Checked(msgspec.Struct, frozen=True):
    """A write that fits, where it stands in the batch, and for an upsert its record."""

    place: int
    write: VectorWrite
    record: Record | None


class PineconeSink:
    """Vectors in the namespaces of Pinecone indexes. How versions are kept is said in `merge` and `ledger`.

    A batch is a fetch of versions for some hundred entities each, one upsert for each namespace, and one of versions.
    """

    # One sink at a time: a second one would have to wait until what the first one wrote shows.
    limits = Limits(max_records=1_000, max_bytes=8 * 1024 * 1024, linger_ms=100)

    def __init__(self, options: PineconeOptions) -> None:
        self._options = options
        self._client = PineconeClient(options)
        self._writer = uuid4().hex
        self._ledger = Ledger(self._client, options.version_index, self._writer, options.freshness_seconds)
        self._vectors = Vectors(self._client, options)
        self._turns = Turns(f"pinecone {options.url} {options.version_index}")

    def open(self) -> None:
        """Find or make the indexes and check them.

        Raises:
            Unavailable: Pinecone does not answer.
            Fatal: key, address or index is wrong; names the option.
        """
        self._client.open()
        self._ledger.doubt()

    def write(self, batch: Sequence[VectorWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: dict[int, Outcome] = {}
        groups: defaultdict[str, list[_Checked]] = defaultdict(list)
        for place, write in enumerate(batch):
            try:
                groups[record_id(write.entity)].append(_Checked(place, write, self._record(write)))
            except Unfit as error:
                outcomes[place] = Rejected(str(error))
        if groups:
            with self._turn():
                self._apply(groups, outcomes)
        return [outcomes[place] for place in range(len(batch))]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the indexes hold: versions of the ledger, and whether the vector is there or not."""
        ids = {entity: record_id(entity) for entity, _ in entities}
        if not ids:
            return {}
        self._ledger.doubt()
        entries = self._ledger.read(list(dict.fromkeys(ids.values())))
        present = self._vectors.present(entries)
        held: dict[tuple[str, str], Held] = {}
        for entity, source in entities:
            entry = entries.get(ids[entity])
            latest = entry.versions.get(source) if entry is not None else None
            if latest is not None:
                copies = int(ids[entity] in present)
                held[entity, source] = Held(version=latest.version, deleted=latest.deleted, copies=copies)
        return held

    def before(self, writes: Sequence[VectorWrite]) -> list[VectorWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`.

        Nothing where the record is not the one that the ledger speaks of: a write that was killed before its entry was
        there comes again like that, and what it replaced was told the first time.

        Raises:
            Unavailable: Pinecone does not answer, or an older write still shows than what is to be brought back.
        """
        entries, there, behind = self._contents(writes)
        if behind:
            raise Unavailable(
                f"{len(behind)} vectors do not show as they were written within `{OPTION}.freshness_seconds`"
            )
        return [_undo(write, entries.get(record_id(write.entity)), there) for write in writes]

    def stored(self, places: Sequence[VectorWrite]) -> list[VectorWrite | None]:
        """Return what the indexes hold; see `connectors.sinks.contract.Telling`.

        Nothing where the record is not the one that the ledger speaks of: somebody may have altered it.
        """
        entries, there, _ = self._contents(places)
        return [_stored(place, entries.get(record_id(place.entity)), there) for place in places]

    def of_user(self, user: str) -> list[VectorWrite]:
        """Return the vectors of a person; see `connectors.sinks.persons.Attributing`."""
        self._ledger.doubt()
        deletes: list[VectorWrite] = []
        for namespace in NAMESPACES:
            index = self._options.index_of(namespace)
            found = self._client.described(index, namespace, {USER_ID: {"$eq": user}})
            entries = self._ledger.read(list(found))
            deletes += [
                delete_of(VectorWrite, metadata["entity"], source, latest.version, namespace=namespace)
                for name, metadata in found.items()
                if name in entries
                for source, latest in entries[name].versions.items()
            ]
        return deletes

    def walk(self) -> Iterator[VectorWrite]:
        """Yield the vectors that are there; see `connectors.sinks.contract.Walking`.

        A record that the ledger does not know, or knows as deleted, is not told: no write has made it, or `held` tells
        of it. What was written within `freshness_seconds` may not be listed yet.
        """
        self._ledger.doubt()
        for namespace in NAMESPACES:
            index = self._options.index_of(namespace)
            for page in self._client.listed(index, namespace):
                entries = self._ledger.read(page)
                for some in addressable([name for name in page if name in entries and entries[name].mark]):
                    for name, record in self._client.fetch(index, namespace, some).items():
                        source = max(entries[name].versions)
                        version = entries[name].versions[source].version
                        entity = record.metadata.get("entity")
                        if entity is not None and entries[name].namespace == namespace:
                            yield delete_of(VectorWrite, entity, source, version, namespace=namespace)

    def delete_matching(self, namespace: str, conditions: Mapping[str, Any]) -> int:
        """Remove the vectors of a namespace that match a filter of Pinecone's own language; returns how many.

        For an operator who clears away what no topic knows of. Versions stay: a replay does not bring the vectors back,
        a newer write does. What does not show yet is left.

        Raises:
            Unavailable: Pinecone does not answer.
            Fatal: key, index or filter is refused.
        """
        index = self._options.index_of(namespace)
        with self._turn():
            ids = self._client.matching(index, namespace, conditions)
            entries = self._ledger.read(ids)
            gone = {name: entry for name, entry in entries.items() if entry.namespace == namespace}
            # First: entries without their records would have newer writes update what is not there.
            self._ledger.write({name: without_record(entry) for name, entry in gone.items()})
            self._client.delete(index, namespace, ids)
        return len(ids)

    def close(self) -> None:
        """Close the connections; may be called twice."""
        try:
            with suppress(SinkError):  # then the writer's own record, of some bytes, stays behind
                self._ledger.close()
        finally:
            self._client.close()

    @contextmanager
    def _turn(self) -> Generator[None]:
        """Have nobody else on this machine write, and know what others wrote before."""
        patience = self._options.request_seconds + self._options.freshness_seconds
        with self._turns.taken(patience, self._writer) as again:
            if not again:
                self._ledger.doubt()
            yield

    def _contents(
        self, writes: Sequence[VectorWrite]
    ) -> tuple[Mapping[str, Entry], Mapping[str, dict[str, Any]], set[str]]:
        """Return entries, the contents that lie there, and the ids of which an older write still shows."""
        if not writes:
            return {}, {}, set()
        with self._turn():
            entries = self._ledger.read(list(dict.fromkeys(record_id(write.entity) for write in writes)))
            there, behind = self._vectors.contents({name: entry for name, entry in entries.items() if entry.mark})
        return entries, there, behind

    def _record(self, write: VectorWrite) -> Record | None:
        if write.op == "delete":
            return None
        return record_of(write, self._options.dimensions[self._options.index_of(write.namespace)])

    def _apply(self, groups: Mapping[str, Sequence[_Checked]], outcomes: dict[int, Outcome]) -> None:
        """Bring entities to what their writes say, and note the outcomes."""
        entries = self._ledger.read(list(groups))
        changes = {name: changed(entries.get(name), [one.write for one in group]) for name, group in groups.items()}
        records = {one.record.id: one.record for name, group in groups.items() if (one := _last(changes[name], group))}
        refused = {
            name: reason for name, change in changes.items() if change.entry and (reason := refusal(change.entry))
        }
        fitting = {name: change for name, change in changes.items() if name not in refused}
        refused |= self._vectors.apply(fitting, records)
        self._ledger.write(
            {name: change.entry for name, change in changes.items() if change.entry and name not in refused}
        )
        for name, group in groups.items():
            if name not in refused:
                outcomes.update(zip((one.place for one in group), changes[name].outcomes, strict=True))
            elif len(group) == 1:
                outcomes[group[0].place] = Rejected(refused[name])
            else:  # which of them was refused is seen when each goes by itself
                for one in group:
                    self._apply({name: [one]}, outcomes)


def _last(change: Change, group: Sequence[_Checked]) -> Any:
    """Return the write whose record is to lie there."""
    return next((one for one in group if one.write is change.content), None)


def _undo(write: VectorWrite, entry: Entry | None, there: Mapping[str, dict[str, Any]]) -> VectorWrite | None:
    line = entry.versions.get(write.source) if entry is not None else None
    if line is not None and line.version >= write.version:
        return None
    return _stored(write, entry, there)


def _stored(place: VectorWrite, entry: Entry | None, there: Mapping[str, dict[str, Any]]) -> VectorWrite | None:
    if entry is None or not entry.mark:
        return emptied(place)
    found = there.get(record_id(place.entity))
    if found is None:
        return None
    line = entry.versions.get(place.source)
    version = 0 if line is None else line.version
    return msgspec.structs.replace(place, **found, op="upsert", version=version, undo=False)
