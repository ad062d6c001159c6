"""The vectors themselves, in the namespaces of their indexes."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from connectors.sinks.pinecone.client import Fetched, PineconeClient, addressable
from connectors.sinks.pinecone.looks import looks
from connectors.sinks.pinecone.merge import Change, Entry
from connectors.sinks.pinecone.options import PineconeOptions
from connectors.sinks.pinecone.records import Record, content, mark

# A request for each is more than one for all, unless they are few; and Pinecone takes 100 updates a second.
_UPDATES = 10

Fits = Callable[[Entry, Fetched | None], bool]


class Vectors:
    """The records of all namespaces. The ledger says which there are to be; this is what is there."""

    def __init__(self, client: PineconeClient, options: PineconeOptions) -> None:
        self._client = client
        self._options = options

    def apply(self, changes: Mapping[str, Change], records: Mapping[str, Record]) -> dict[str, str]:
        """Make the records what changes say; returns why by id for those that are refused.

        Args:
            changes: by id.
            records: by id, one for each change that has content.

        Raises:
            Unavailable: nothing is known of any of them.
            Fatal: the key or an index is refused.
        """
        upserts: defaultdict[str, list[Record]] = defaultdict(list)
        removals: defaultdict[str, list[str]] = defaultdict(list)
        known = [name for name, change in changes.items() if change.same_vector]
        updates = set(known) if len(known) <= _UPDATES else set[str]()
        refused: dict[str, str] = {}
        for name, change in changes.items():
            if change.remove:
                removals[change.remove].append(name)
            if change.content is None:
                continue
            if name not in updates:
                upserts[change.content.namespace].append(records[name])
            elif reason := self._client.update(*self._place(change.content.namespace), records[name]):
                refused[name] = reason
        for namespace, group in upserts.items():
            refused |= self._client.upsert(*self._place(namespace), group)
        for namespace, ids in removals.items():
            self._client.delete(*self._place(namespace), [name for name in ids if name not in refused])
        return refused

    def present(self, entries: Mapping[str, Entry]) -> set[str]:
        """Return which entities have a record. Where that is not what their entries say, it is waited for."""
        found = self._settled(entries, lambda entry, record: (record is not None) == bool(entry.mark))
        return set(found)

    def contents(self, entries: Mapping[str, Entry]) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """Return the content of the writes that lie there, by id, and of which entities an older write still shows.

        Left out is a record that is not the one its entry speaks of, and does not become it in time. One that is ahead
        of its entry never does: it is not waited for. One that is absent may have been removed by a writer that was
        killed before its entry.
        """
        found = self._settled(entries, lambda entry, record: _is_written(entry, record) or _is_ahead(entry, record))
        written = {
            name: content(entries[name].namespace, one.values, one.metadata)
            for name, one in found.items()
            if _is_written(entries[name], one)
        }
        return written, {name for name, one in found.items() if name not in written and _is_behind(entries[name], one)}

    def _settled(self, entries: Mapping[str, Entry], fits: Fits) -> dict[str, Fetched]:
        """Return the records of entries, once all fit or the patience has ended."""
        found: dict[str, Fetched] = {}
        waiting = dict(entries)
        for _ in looks(self._options.freshness_seconds):
            found = {name: one for name, one in found.items() if name not in waiting} | self._fetched(waiting)
            waiting = {name: entry for name, entry in waiting.items() if not fits(entry, found.get(name))}
            if not waiting:
                break
        return found

    def _fetched(self, entries: Mapping[str, Entry]) -> dict[str, Fetched]:
        places: defaultdict[str, list[str]] = defaultdict(list)
        for name, entry in entries.items():
            places[entry.namespace].append(name)
        found: dict[str, Fetched] = {}
        for namespace, ids in places.items():
            for chunk in addressable(ids):
                found |= self._client.fetch(*self._place(namespace), chunk)
        return found

    def _place(self, namespace: str) -> tuple[str, str]:
        return self._options.index_of(namespace), namespace


def _is_written(entry: Entry, record: Fetched | None) -> bool:
    return record is not None and mark(record.metadata) == entry.mark


def _is_ahead(entry: Entry, record: Fetched | None) -> bool:
    """Whether a record is of a write newer than its entry: its writer was killed in between."""
    if record is None:
        return False
    version, _, source = mark(record.metadata).partition(" ")
    latest = entry.versions.get(source)
    return version.isdecimal() and (latest is None or int(version) > latest.version)


def _is_behind(entry: Entry, record: Fetched) -> bool:
    """Whether a record is of a write that its entry knows of: what overtook it does not show yet."""
    version, _, source = mark(record.metadata).partition(" ")
    latest = entry.versions.get(source)
    return version.isdecimal() and latest is not None and int(version) <= latest.version
