"""How fast a store may be written to. Pure: the time is given."""

import math


class TokenBucket:
    """Lets through `rate` writes per second, and after a time without any `rate * burst` at once.

    Args:
        rate: writes per second, above 0.
        burst: seconds of that rate that may be saved up.
        now: the time, as for all methods: in seconds, never set back.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self.capacity = max(1, math.floor(rate * burst))
        self._tokens = float(self.capacity)
        self._at = now

    def wait(self, now: float, wanted: int) -> float:
        """Return in how many seconds so many writes may go; more than `capacity` never may, so it is asked for that."""
        missing = min(wanted, self.capacity) - self._filled(now)
        return max(0.0, missing / self._rate)

    def take(self, now: float, count: int) -> None:
        """Note that so many writes go."""
        self._tokens = self._filled(now) - count
        self._at = now

    def _filled(self, now: float) -> float:
        return min(self.capacity, self._tokens + (now - self._at) * self._rate)
