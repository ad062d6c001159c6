"""What agents wait for outside, told by whoever waits, so that waiting is not taken for being stuck."""

import time
from collections.abc import Callable

# One more attempt may take this long before it says again that it failed.
ATTEMPT_SECONDS = 60.0


class HoldUps:
    """Why the records of a topic cannot be processed now, for as long as that was told to be so."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told: dict[str, tuple[str, float]] = {}

    def note(self, topic: str, reason: str, seconds: float) -> None:
        """Note why it cannot go on, and in how many seconds it is tried again; after that it is told again, or over."""
        self._told[topic] = (reason, self._now() + seconds + ATTEMPT_SECONDS)

    def reason(self, topic: str) -> str | None:
        """Return why it cannot go on; None when nothing is known to be in its way."""
        reason, until = self._told.get(topic, (None, 0.0))
        return reason if self._now() < until else None
