"""Ask the stores for what they hold of a person, and have them rewrite their files."""

from collections.abc import Callable, Generator, Sequence, Set
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from connectors.sinks.contract import Sink
from connectors.sinks.persons import Attributing, Purge, Purging
from schemas.writes import STORES, StoreName, Write
from streams.erasure.machine import Answer
from streams.persons.holdings import Holding, Holdings, Line, by_store, entities_of

ASKED_AT_ONCE = 1_000
LEFT_TO_IT = Purge(keeps="what its files keep of deleted data is left to the store")

MakeSink = Callable[[StoreName], Sink[Any]]


class Stores:
    """All stores, each opened for one question at a time and closed after it.

    Every method may raise what `Sink.open` and its questions do.

    Args:
        make: returns a new sink of a store, not open.
    """

    def __init__(self, make: MakeSink) -> None:
        self._make = make

    def search(self, holdings: Holdings) -> None:
        """Take into holdings what the stores find themselves, as far as they can."""
        for store in STORES:
            with self._opened(store) as sink:
                if isinstance(sink, Attributing):
                    for found in cast(Attributing[Write], sink).of_user(holdings.user):
                        holdings.add(found)

    def ask(self, holdings: Holdings, refused: Callable[[], Set[Line]] = frozenset) -> dict[StoreName, Answer]:
        """Return what each store answers; what it finds besides is taken into holdings.

        An entity counts as held until its delete has arrived, even if nothing of it was ever there: a write that is on
        its way could still bring it. If the store refuses that delete it refuses such a write, too.

        Args:
            holdings: what is asked for.
            refused: returns the lines whose deletes the stores have refused; asked only where one has not arrived.
        """
        known, refused = by_store(holdings.all()), cache(refused)
        return {store: self._ask(store, known.get(store, []), holdings, refused) for store in STORES}

    def purge(self, on_purged: Callable[[], object] = lambda: None) -> dict[StoreName, Purge]:
        """Have the stores rewrite their files, as far as each can, and return what they say of it.

        Args:
            on_purged: called after each store.
        """
        said: dict[StoreName, Purge] = {}
        for store in STORES:
            with self._opened(store) as sink:
                said[store] = sink.purge() if isinstance(sink, Purging) else LEFT_TO_IT
            on_purged()
        return said

    def _ask(
        self, store: StoreName, known: Sequence[Holding], holdings: Holdings, refused: Callable[[], Set[Line]]
    ) -> Answer:
        wanted = list(entities_of(known))
        held = unknown = never = 0
        with self._opened(store) as sink:
            for start in range(0, len(wanted), ASKED_AT_ONCE):
                some = wanted[start : start + ASKED_AT_ONCE]
                answers = sink.held(some)
                absent = [one for one in some if one not in answers]
                never += sum(1 for one in absent if (store, *one) in refused())
                held += sum(1 for one in some if not _is_gone(answers.get(one)))
            searched = isinstance(sink, Attributing)
            if searched:
                before = len(holdings)
                for found in cast(Attributing[Write], sink).of_user(holdings.user):
                    holdings.add(found)
                unknown = len(holdings) - before
        return Answer(asked=len(wanted), held=held - never, searched=searched, unknown=unknown, refused=never)

    @contextmanager
    def _opened(self, store: StoreName) -> Generator[Sink[Any]]:
        sink = self._make(store)
        try:
            sink.open()
            yield sink
        finally:
            sink.close()


def _is_gone(held: Any) -> bool:
    return held is not None and held.deleted and held.copies == 0
