"""When to try a store again: full-jitter backoff and a circuit breaker. Pure: the time is given."""

from streams.runtime.retry import RetryPolicy


class DeliveryPolicy(RetryPolicy, frozen=True, kw_only=True):
    """How failures of a store are answered: retried as any record, and left alone after a row of them.

    A write that the store puts off while it takes others is tried `attempts` times, and for `retry_seconds` at least:
    a node that is full, or a slot that moves, is the store's affair, and takes minutes where attempts take seconds.
    `target_seconds` is how long a request should take at most; its size follows from that.
    """

    attempts: int = 8
    retry_seconds: float = 300.0
    longest_pause: float = 30.0
    breaker_failures: int = 5
    breaker_pause: float = 60.0
    target_seconds: float = 0.5

    def gives_up(self, attempts: int, seconds: float) -> bool:
        """Whether a write is tried no more that was put off so many times, the first time so many seconds ago."""
        return attempts >= self.attempts and seconds >= self.retry_seconds


class Breaker:
    """Leaves a store alone after a row of failures.

    Closed: every call passes. Open, after `breaker_failures` in a row: none until `breaker_pause` has passed. Then
    half-open: one call decides.
    """

    def __init__(self, policy: DeliveryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._open_until = 0.0

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._failures

    def wait(self, now: float) -> float:
        """Return how long no call may be made, from `now`."""
        return max(0.0, self._open_until - now)

    def succeeded(self) -> None:
        """Note that a call went well."""
        self._failures = 0
        self._open_until = 0.0

    def failed(self, now: float, asked_for: float | None = None) -> float:
        """Note that a call failed; return how long to wait before the next."""
        self._failures += 1
        if self._failures >= self._policy.breaker_failures:
            pause = max(self._policy.breaker_pause, asked_for or 0.0)
        else:
            pause = self._policy.pause(self._failures, asked_for)
        self._open_until = now + pause
        return pause
