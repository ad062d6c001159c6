"""What a broker remembers of the fetches of one consumer, so that only what has changed is asked and answered. Pure.

Each fetch of a worker that delivers to eight stores is about a hundred partitions, most of which hold nothing new:
naming them all in each of fifty requests and answers a second took it a third of a core.

The protocol: KIP-227, Introduce Incremental FetchRequests
(https://cwiki.apache.org/confluence/display/KAFKA/KIP-227%3A+Introduce+Incremental+FetchRequests+to+Increase+Partition+Scalability)
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Topics = Iterable[tuple[str, Sequence[tuple[int, int, int]]]]  # partition, offset, bytes at most
_NONE, _FIRST = 0, 0  # no session; the epoch of a request that begins one
_LAST_EPOCH = 2**31 - 1
# The broker has forgotten the session, or took it for another request of it than we did.
FORGOTTEN, OUT_OF_STEP = 70, 71


class Asked(NamedTuple):
    """What a request says: its session and epoch, the partitions that are new or changed, and those that are left."""

    session: int
    epoch: int
    topics: Mapping[str, list[tuple[int, int, int]]]
    forgotten: Mapping[str, list[int]]


class FetchSession:
    """One consumer's session with one broker. A broker may always refuse to keep one: then all is asked each time."""

    def __init__(self) -> None:
        self._session = _NONE
        self._epoch = _FIRST
        self._known: dict[tuple[str, int], tuple[int, int]] = {}  # offset and bytes at most, as asked last

    def ask(self, topics: Topics) -> Asked:
        """Return how to ask for partitions: the whole list, or in what it differs from the last one.

        A request that is not answered, or not for us, is to be followed by `lost`.
        """
        wanted = {(topic, number): (offset, most) for topic, numbers in topics for number, offset, most in numbers}
        known = self._known if self._epoch != _FIRST else {}
        asked: dict[str, list[tuple[int, int, int]]] = {}
        for (topic, number), what in wanted.items():
            if known.get((topic, number)) != what:
                asked.setdefault(topic, []).append((number, *what))
        forgotten: dict[str, list[int]] = {}
        for topic, number in known.keys() - wanted.keys():
            forgotten.setdefault(topic, []).append(number)
        self._known = wanted
        return Asked(self._session, self._epoch, asked, forgotten)

    def answered(self, error: int, session: int) -> bool:
        """Take what an answer says of the session; return whether it is an answer, else all has to be asked again."""
        if error in (FORGOTTEN, OUT_OF_STEP):
            self._begin_anew(_NONE if error == FORGOTTEN else self._session)
            return False
        if session == _NONE or error:
            self._begin_anew(session)
        else:
            self._session = session
            self._epoch = self._epoch + 1 if self._epoch < _LAST_EPOCH else 1
        return True

    def lost(self) -> None:
        """Learn that nobody knows whether the last request came through; the next one begins anew."""
        self._begin_anew(self._session)

    def _begin_anew(self, session: int) -> None:
        self._session, self._epoch, self._known = session, _FIRST, {}
