"""Write objects."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress

from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Limits, Outcome, Rejected, Retry
from connectors.sinks.errors import SinkError, Unavailable
from connectors.sinks.persons import Purge, delete_of
from connectors.sinks.s3.client import Bucket
from connectors.sinks.s3.errors import LostRaceError, RefusedError
from connectors.sinks.s3.index import Entry, Index, unindexed
from connectors.sinks.s3.objects import (
    NOTHING,
    State,
    Unfit,
    after,
    body_of,
    check,
    is_newer,
    key_of,
    metadata_of,
    owner_of,
)
from connectors.sinks.s3.old_versions import remove_old_versions
from connectors.sinks.s3.options import S3Options
from connectors.sinks.s3.undo import Copies, names_copy
from connectors.sinks.undo import emptied
from schemas.persons import USER_ID
from schemas.writes import ObjectWrite

_RACES = 5  # as often another writer may be faster before a write is sent again later
_WALKED_AT_ONCE = 500
_REMEMBERED = 100_000  # entities that need no new entry in the index


class S3Sink:
    """Objects of a bucket, which several processes may write.

    Each put has a condition on what it takes the place of (If-None-Match, If-Match), so the comparison of versions and
    the change are one step of S3. Most objects are new, and cost one request; others cost three. The objects of a batch
    go side by side, those of one key in order.
    """

    limits = Limits(max_records=200, max_bytes=16 * 1024 * 1024)

    def __init__(self, options: S3Options) -> None:
        self._options = options
        self._bucket = Bucket(options)
        self._index = Index(self._bucket, options.prefix)
        self._copies = Copies(self._bucket, options.prefix, options.undo_hours)
        self._pool: ThreadPoolExecutor | None = None
        self._merging: Future[None] | None = None
        self._indexed: dict[Entry, None] = {}

    def open(self) -> None:
        """Connect, find or make the bucket, and tidy up the index and the copies for undoing.

        Raises:
            Unavailable: the server does not answer.
            Fatal: address, keys, region or bucket are wrong; names the option.
        """
        self.close()
        self._bucket.open()
        try:
            self._index.merge()
            self._copies.sweep()
        except SinkError:
            self.close()
            raise
        self._pool = ThreadPoolExecutor(self._options.connections, thread_name_prefix="s3")

    def write(self, batch: Sequence[ObjectWrite]) -> list[Outcome]:
        """Apply a batch; see the contract."""
        outcomes: dict[int, Outcome] = {}
        keys: defaultdict[str, list[int]] = defaultdict(list)
        for index, write in enumerate(batch):
            try:
                check(write)
                keys[key_of(write, self._options.prefix)].append(index)
            except Unfit as error:
                outcomes[index] = Rejected(str(error))

        def put(key: str) -> list[Outcome]:
            return self._put_all(key, [batch[index] for index in keys[key]])

        # Beside the objects, or a batch would take as long as both: an entry without an object is harmless. It is there
        # for superseded ones too: their own entry may be what a killed process did not come to write.
        pool = self._opened()
        noted = pool.submit(
            self._note, [_entry_of(batch[index], key) for key, indexes in keys.items() for index in indexes]
        )
        try:
            for key, found in zip(keys, pool.map(put, keys), strict=True):
                outcomes.update(zip(keys[key], found, strict=True))
        finally:
            wait([noted])
        noted.result()
        self._merge_files(pool)
        return [outcomes[index] for index in range(len(batch))]

    def held(self, entities: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Held]:
        """Return what the bucket holds; every object is looked at."""
        pool = self._opened()
        keys = self._index.keys_of({entity for entity, _ in entities})
        places = sorted({(entity, key) for entity, found in keys.items() for key in found})
        states: defaultdict[str, list[State]] = defaultdict(list)
        for (entity, _), state in zip(places, pool.map(self._bucket.state, (key for _, key in places)), strict=True):
            if state.owner == owner_of(entity):
                states[entity].append(state)
        held: dict[tuple[str, str], Held] = {}
        for entity, source in entities:
            known = [state.versions[source] for state in states[entity] if source in state.versions]
            if known:
                newest = max(known)
                copies = sum(not state.deleted for state in states[entity])
                held[entity, source] = Held(version=newest.version, deleted=newest.deleted, copies=copies)
        return held

    def before(self, writes: Sequence[ObjectWrite]) -> list[ObjectWrite | None]:
        """Return what would undo writes; see `connectors.sinks.contract.Undoing`.

        A large object is not in what is returned, but a reference to a copy of it, which `write` understands.
        """
        pool = self._opened()
        self._copies.sweep()
        return list(pool.map(self._before, writes))

    def stored(self, places: Sequence[ObjectWrite]) -> list[ObjectWrite | None]:
        """Return what the bucket holds, with all bytes and without a copy; see `connectors.sinks.content.stored`."""
        return list(self._opened().map(self._stored, places))

    def purge(self) -> Purge:
        """Remove older versions of what was deleted; see `connectors.sinks.persons.Purging`."""
        self._opened()
        self._copies.sweep()
        found = remove_old_versions(self._bucket, self._options.prefix)
        copies = f"copies of large objects that a saga may bring back, for {self._options.undo_hours} hours"
        keeps = [found.keeps] if found.keeps else []
        return Purge(forced=found.forced, keeps="; ".join([*keeps, *([copies] if self._copies.any() else [])]))

    def of_user(self, user: str) -> list[ObjectWrite]:
        """Return the objects of a person; see `connectors.sinks.persons.Attributing`.

        One request for each object that is or was theirs, and for each that was noted before persons were.
        """
        pool = self._opened()
        places = sorted(self._index.about(user))
        deletes: list[ObjectWrite] = []
        for (entity, key), found in zip(places, pool.map(self._bucket.found, (key for _, key in places)), strict=True):
            if found is None or found.state.deleted or found.state.owner != owner_of(entity):
                continue
            if metadata_of(found.metadata).get(USER_ID) == user:
                name = key.removeprefix(self._options.prefix)
                deletes += [
                    delete_of(ObjectWrite, entity, source, latest.version, key=name)
                    for source, latest in found.state.versions.items()
                ]
        return deletes

    def walk(self) -> Iterator[ObjectWrite]:
        """Yield what the bucket holds, a request for each object; see `connectors.sinks.contract.Walking`."""
        places = sorted(self._index.entries())
        for start in range(0, len(places), _WALKED_AT_ONCE):
            page = places[start : start + _WALKED_AT_ONCE]
            states = list(self._opened().map(self._bucket.state, (key for _, key in page)))
            for (entity, key), state in zip(page, states, strict=True):
                if state.owner == owner_of(entity) and not state.deleted:
                    source = max(state.versions)
                    name = key.removeprefix(self._options.prefix)
                    yield delete_of(ObjectWrite, entity, source, state.versions[source].version, key=name)

    def close(self) -> None:
        """Close the connections; may be called twice."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = self._merging = None
        self._bucket.close()

    def _opened(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self.open()
        assert self._pool is not None
        return self._pool

    def _note(self, places: Sequence[Entry]) -> None:
        """Have the index know entities and their keys."""
        fresh = list(unindexed(places, self._indexed, _REMEMBERED))
        try:
            self._index.add(fresh)
        except BaseException:
            for place in fresh:
                self._indexed.pop(place, None)
            raise

    def _merge_files(self, pool: ThreadPoolExecutor) -> None:
        """Have small files of the index become one while the next batches are written: none of them waits for that.

        Raises:
            Unavailable: the last time it did not succeed.
        """
        if self._merging is not None:
            if not self._merging.done():
                return
            merging, self._merging = self._merging, None
            merging.result()
        if files := self._index.due():
            self._merging = pool.submit(self._index.merge_into_one, files)

    def _put_all(self, key: str, writes: Sequence[ObjectWrite]) -> list[Outcome]:
        """Apply writes of one key in order; the first looks only when something lies there."""
        state = NOTHING
        outcomes: list[Outcome] = []
        for write in writes:
            outcome, state = self._put(key, write, state)
            outcomes.append(outcome)
        return outcomes

    def _before(self, write: ObjectWrite) -> ObjectWrite | None:
        try:
            key = key_of(write, self._options.prefix)
            for _ in range(_RACES):
                found = self._bucket.found(key)
                if found is None:
                    return emptied(write)
                if not is_newer(write, found.state):
                    return None
                if found.state.deleted:
                    return emptied(write)
                with suppress(LostRaceError):
                    return self._copies.undo_of(write, key, found)
        except (Unfit, RefusedError):
            return None
        raise Unavailable("S3: other writers of the same key were faster, several times")

    def _stored(self, place: ObjectWrite) -> ObjectWrite | None:
        try:
            key = key_of(place, self._options.prefix)
            for _ in range(_RACES):
                found = self._bucket.found(key)
                if found is None or found.state.deleted or found.state.owner != owner_of(place.entity):
                    return emptied(place)
                with suppress(LostRaceError):
                    return self._copies.undo_of(place, key, found, whole=True)
        except (Unfit, RefusedError):
            return None
        raise Unavailable("S3: other writers of the same key were faster, several times")

    def _put(self, key: str, write: ObjectWrite, state: State) -> tuple[Outcome, State]:
        copied = names_copy(write)
        if copied and state == NOTHING:
            state = self._bucket.state(key)  # a repetition must not need the copy, which may be gone by then
        for _ in range(_RACES):
            try:
                if not is_newer(write, state):
                    return SUPERSEDED, state
                whole = self._copies.restored(write) if copied else write
                etag = self._bucket.put(key, body_of(whole, state), state)
            except LostRaceError:
                state = self._bucket.state(key)
            except (Unfit, RefusedError) as error:
                return Rejected(str(error)), state
            else:
                return APPLIED, after(write, state, etag)
        return Retry("other writers of the same key were faster, several times"), state


def _entry_of(write: ObjectWrite, key: str) -> Entry:
    return Entry(write.entity, key, None if write.op == "delete" else write.metadata.get(USER_ID, ""))
