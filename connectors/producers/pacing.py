"""So many records a second: a token bucket. Pure; the clock and the waiting are the caller's."""

BURST_SECONDS = 0.05
# Waits are at least this long at high rates, for several tokens at once: nothing can wait for ten microseconds.
LEAST_WAIT_SECONDS = 0.002


class TokenBucket:
    """Lets records pass at a rate.

    Over any time it lets through no more than the rate plus a burst of BURST_SECONDS' worth (two records at least).
    What is lost to a late wake-up is made up for within that burst, so that the average is the rate.

    Args:
        rate: records per second, above 0.
        now: the present in seconds, of a clock that does not go back.
    """

    def __init__(self, rate: float, now: float) -> None:
        if not rate > 0:
            raise ValueError(f"rate must be above 0 records/s, got {rate}")
        self._rate = rate
        self._most = max(2.0, rate * BURST_SECONDS)
        self._tokens = 1.0
        self._at = now

    def take(self, now: float) -> float:
        """Take a token and return 0; or return for how many seconds to wait before asking again."""
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return max(LEAST_WAIT_SECONDS, (1 - self._tokens) / self._rate)
