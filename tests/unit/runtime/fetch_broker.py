"""A broker as far as it keeps sessions of fetches, by KIP-227."""

from streams.runtime.fetch_sessions import FORGOTTEN, OUT_OF_STEP, Asked

Where = tuple[str, int]


class SessionBroker:
    """Keeps at most one session.

    Attributes:
        wanted: what it takes the last request to ask for.
    """

    def __init__(self) -> None:
        self.refuses = False
        self.wanted: dict[Where, tuple[int, int]] = {}
        self._numbers = 0
        self._session = 0
        self._epoch = 0
        self._kept: dict[Where, tuple[int, int]] = {}

    def forget(self) -> None:
        """Forget the session, as a broker does that was restarted or has too many."""
        self._session = 0

    def take(self, asked: Asked) -> tuple[int, int]:
        """Return the error and the session of the answer."""
        named = {(topic, number): what for topic, numbers in asked.topics.items() for number, *what in numbers}
        named = {where: (what[0], what[1]) for where, what in named.items()}
        if asked.epoch == 0:
            return self._begin(asked, named)
        if not self._session or asked.session != self._session:
            return FORGOTTEN, 0
        if asked.epoch != self._epoch:
            return OUT_OF_STEP, self._session
        for topic, numbers in asked.forgotten.items():
            for number in numbers:
                del self._kept[topic, number]
        self._kept |= named
        self._epoch += 1
        self.wanted = dict(self._kept)
        return 0, self._session

    def _begin(self, asked: Asked, named: dict[Where, tuple[int, int]]) -> tuple[int, int]:
        assert not asked.forgotten, "a session that begins has nothing to forget"
        if asked.session == self._session:
            self._session = 0
        self.wanted = named
        if self.refuses or self._session:
            return 0, 0
        self._numbers += 1
        self._session, self._epoch, self._kept = self._numbers, 1, dict(named)
        return 0, self._session
