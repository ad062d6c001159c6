"""Users' data keys, unwrapped: got or made many at once, remembered for a while, destroyed for good."""

import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from msgspec import Struct, field

from connectors.keys.contract import KeyStore, StoredKey
from connectors.keys.data_key import DataKey
from connectors.keys.master import KEY_BYTES, MasterKeys, Wrapped
from connectors.sinks.errors import SinkError

CACHE_ENTRIES = 100_000  # 54 MB
CACHE_SECONDS = 60.0
REWRAPPED_AT_ONCE = 1_000


class _Remembered(NamedTuple):
    key: DataKey
    until: float


class KeyTally(Struct, kw_only=True):
    """What became of keys since they were first asked for.

    Attributes:
        made: for users who had none.
        opened: unwrapped with a master key, for a rotation too.
        destroyed: also those that were destroyed before.
        hits: users whose key was remembered.
        misses: users whose key the store was asked for.
        failures: requests that failed, by the class of error.
    """

    made: int = 0
    opened: int = 0
    destroyed: int = 0
    hits: int = 0
    misses: int = 0
    failures: Counter[str] = field(default_factory=Counter[str])


class UserKeys:
    """The keys of users, for those who seal and who read. May be called from several threads.

    The first call that needs the store opens it; `open` does so before, to find out what is wrong.

    A key that was destroyed, here or by another process, is used nowhere any more after `cache_seconds`: so long is it
    remembered. That it was destroyed is not remembered: who starts afresh has a key at once. Each method may raise
    `connectors.sinks.errors.Unavailable` and `Fatal`.

    Args:
        store: where the wrapped keys lie.
        masters: returns the master keys; called when the store is opened, after `cache_seconds`, and when a key was
            wrapped by one that is not known.
        cache_entries: so many users are remembered at most.
        cache_seconds: for so long.
        now: a clock in seconds that is never set back.

    Attributes:
        tally: what became of them; for reading only.
    """

    def __init__(
        self,
        store: KeyStore,
        masters: Callable[[KeyStore], MasterKeys],
        *,
        cache_entries: int = CACHE_ENTRIES,
        cache_seconds: float = CACHE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._read_masters = masters
        self._masters: MasterKeys | None = None
        self._masters_until = 0.0
        self._entries, self._seconds, self._now = cache_entries, cache_seconds, now
        self._cache: OrderedDict[str, _Remembered] = OrderedDict()
        self._cache_lock = threading.Lock()  # held for moments only: whoever finds all in the cache waits for no I/O
        self._store_lock = threading.Lock()
        # Hits are counted under the lock of the cache, all else under that of the store.
        self.tally = KeyTally()

    @property
    def masters(self) -> MasterKeys:
        """The master keys, which were read with the first key."""
        assert self._masters is not None, "a key comes first"
        return self._masters

    def open(self) -> None:
        """Open the store and read the master keys. May be called again."""
        with self._opened():
            return

    def remembered(self, user_ids: Iterable[str]) -> dict[str, DataKey | None] | None:
        """Return the keys without asking the store; None when some of them are not remembered, or are destroyed."""
        found: dict[str, DataKey | None] = {}
        now = self._now()
        with self._cache_lock:
            for user_id in user_ids:
                known = self._cache.get(user_id)
                if known is None or known.until <= now:
                    return None
                self._cache.move_to_end(user_id)
                found[user_id] = known.key
            self.tally.hits += len(found)
        return found

    def get(self, user_ids: Sequence[str]) -> dict[str, DataKey | None]:
        """Return the keys of users; None for those whose key is destroyed. Users who never had one are not in it."""
        return self._through_cache(user_ids, create=False)

    def get_or_create(self, user_ids: Sequence[str]) -> dict[str, DataKey | None]:
        """Return the keys of all these users, made where there was none; None for those whose key is destroyed."""
        return self._through_cache(user_ids, create=True)

    def destroy(self, user_ids: Sequence[str]) -> None:
        """Destroy users' keys for good, and have none made for them again. Needs no master key; may be repeated."""
        with self._stored() as store:
            store.destroy(user_ids)
            self.tally.destroyed += len(user_ids)
        self._forget(user_ids)

    def start_afresh(self, user_ids: Sequence[str]) -> None:
        """Let users whose key was destroyed have a new one; what the old one sealed stays unreadable."""
        with self._stored() as store:
            store.start_afresh(user_ids)
        self._forget(user_ids)

    def rewrap(self) -> int:
        """Have all keys wrapped by the newest master key; return how many were not. May be repeated and interrupted.

        Other workers may wrap with an older one until they read the ring again, which they do after `cache_seconds`.
        """
        done = 0
        while True:
            done += self._rewrap_pages()
            with self._opened() as store:
                if store.masters() <= {self.masters.newest}:
                    return done

    def _rewrap_pages(self) -> int:
        done, last = 0, ""
        while True:
            with self._opened() as store:
                page = store.page(last, REWRAPPED_AT_ONCE)
                old = [one for one in page if one.master != self.masters.newest]
                done += store.rewrap([self._wrapped(one.user_id, one.key_id, self._open(one)) for one in old])
            if not page:
                return done
            last = page[-1].user_id

    def close(self) -> None:
        """Let go of everything; may be called twice."""
        with self._store_lock:
            self._store.close()
            self._masters = None
        with self._cache_lock:
            self._cache.clear()

    def _through_cache(self, user_ids: Sequence[str], *, create: bool) -> dict[str, DataKey | None]:
        found: dict[str, DataKey | None] = {}
        missing: list[str] = []
        for user_id in dict.fromkeys(user_ids):
            known = self.remembered((user_id,))
            if known is None:
                missing.append(user_id)
            else:
                found |= known
        if missing:
            until = self._now() + self._seconds  # from before the look: what is destroyed after it counts from then
            with self._opened() as store:
                self.tally.misses += len(missing)
                stored = store.get(missing)
                # Again for those whose mark somebody removed between the adding and the look at it.
                while create and (new := [user_id for user_id in missing if user_id not in stored]):
                    fresh = [self._new(user_id) for user_id in new]
                    added = store.add(fresh)
                    self.tally.made += sum(added.get(one.user_id) == one for one in fresh)  # others may be faster
                    stored |= added
                read = {user_id: self._read(one) for user_id, one in stored.items()}
            self._remember(read, until)
            found |= read
        return found

    @contextmanager
    def _stored(self) -> Generator[KeyStore]:
        with self._store_lock:
            try:
                self._store.open()
                yield self._store
            except SinkError as error:
                self.tally.failures[type(error).__name__] += 1
                raise

    @contextmanager
    def _opened(self) -> Generator[KeyStore]:
        with self._stored() as store:
            if self._masters is None or self._masters_until <= self._now():
                self._read_ring(store)
            yield store

    def _read_ring(self, store: KeyStore) -> None:
        until = self._now() + self._seconds
        self._masters = self._read_masters(store)
        self._masters_until = until

    def _new(self, user_id: str) -> StoredKey:
        return self._wrapped(user_id, secrets.token_hex(4), secrets.token_bytes(KEY_BYTES))

    def _wrapped(self, user_id: str, key_id: str, data_key: bytes) -> StoredKey:
        wrapped = self.masters.wrap(data_key, user_id, key_id)
        return StoredKey(user_id=user_id, key_id=key_id, master=wrapped.master, wrapped=wrapped.data)

    def _read(self, stored: StoredKey) -> DataKey | None:
        return None if stored.destroyed else DataKey(stored.user_id, stored.key_id, self._open(stored))

    def _open(self, stored: StoredKey) -> bytes:
        if stored.master not in self.masters:
            self._read_ring(self._store)  # a rotation has begun since they were read
        assert stored.wrapped is not None
        self.tally.opened += 1
        return self.masters.unwrap(Wrapped(stored.master, stored.wrapped), stored.user_id, stored.key_id)

    def _remember(self, keys: dict[str, DataKey | None], until: float) -> None:
        with self._cache_lock:
            for user_id, key in keys.items():
                if key is None:
                    continue
                self._cache[user_id] = _Remembered(key, until)
                self._cache.move_to_end(user_id)
            while len(self._cache) > self._entries:
                self._cache.popitem(last=False)

    def _forget(self, user_ids: Iterable[str]) -> None:
        with self._cache_lock:
            for user_id in user_ids:
                self._cache.pop(user_id, None)
