"""How long after its commit a change was handled: the last commits, and what they come to."""

from collections import deque

COMMITS = 1_000  # the last so many; at a thousand a second it is what the last second was like


class Lag:
    """Written by one thread, read by any other."""

    def __init__(self) -> None:
        self._milliseconds: deque[float] = deque(maxlen=COMMITS)

    def observe(self, milliseconds: float) -> None:
        """Note how long after its commit a transaction was handled; the clocks of two machines may differ."""
        self._milliseconds.append(max(0.0, milliseconds))

    def quantiles(self, *shares: float) -> list[float]:
        """Return the smallest lags that such shares of the last commits are not above; nothing before the first one."""
        ordered = sorted(self._milliseconds.copy())
        return [ordered[max(0, -int(-share * len(ordered) // 1) - 1)] for share in shares] if ordered else []
