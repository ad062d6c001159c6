"""How long to wait before the next attempt, and how often to say why."""

import random
from collections.abc import Callable

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 30.0
SAY_EVERY_SECONDS = 60.0


class Backoff:
    """Full jitter: a random pause below a bound that doubles with each failure, up to LONGEST_SECONDS.

    Source: Marc Brooker, "Exponential Backoff and Jitter" (2015).
    """

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self.failures = 0

    def failed(self) -> float:
        """Count a failure and return the seconds to wait."""
        bound = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(self.failures, 16))
        self.failures += 1
        return self._draw(0, bound)

    def succeeded(self) -> None:
        """Start over."""
        self.failures = 0


class Complaint:
    """Says when to say again what is wrong: at most once a minute."""

    def __init__(self) -> None:
        self._said_at = float("-inf")

    def due(self, now: float) -> bool:
        """Whether to say it at the monotonic time `now`."""
        if now - self._said_at < SAY_EVERY_SECONDS:
            return False
        self._said_at = now
        return True
