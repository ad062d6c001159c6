"""When what failed is tried again: full-jitter backoff, a number of attempts, and errors for which trying is no use."""

import random

import msgspec
from msgspec import Struct

from streams.runtime.publisher import Unpublishable

# The same bytes fail in the same way every time.
NOT_RETRIABLE: tuple[type[Exception], ...] = (msgspec.ValidationError, msgspec.DecodeError, Unpublishable)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often a record that fails is tried, and how long to wait in between. Times in seconds.

    A record that is not due for another attempt is dead-lettered. `TryAgain` is no failure of a record: what raises it
    is tried for ever.
    """

    attempts: int = 3
    first_pause: float = 0.1
    longest_pause: float = 10.0
    not_retriable: tuple[type[Exception], ...] = NOT_RETRIABLE

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}; the first try counts, so it is 1 or more")
        if min(self.first_pause, self.longest_pause) < 0:
            raise ValueError(
                f"first_pause is {self.first_pause}, longest_pause {self.longest_pause}; neither is below 0"
            )

    def pause(self, attempt: int, asked_for: float | None = None) -> float:
        """Return how long to wait after failure number `attempt` (from 1).

        Full jitter: evenly from 0 to the doubled bound, so that many workers do not come back at the same moment
        (Brooker, "Exponential Backoff And Jitter"). What was asked for (by a store, say) is the least.
        """
        bound = min(self.longest_pause, self.first_pause * 2 ** min(attempt - 1, 30))
        return max(asked_for or 0.0, random.uniform(0, bound))

    def tries_again(self, error: Exception, attempt: int) -> bool:
        """Whether a record is tried again after failure number `attempt` (from 1)."""
        return attempt < self.attempts and not isinstance(error, self.not_retriable)


class Retries:
    """The failures of the records of one run: they come one record at a time, and share one allowance of pauses.

    A run of a thousand records that all fail must not wait a thousand times: once its pauses add up to
    `longest_pause`, the attempts that are left follow each other at once.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._waited = 0.0
        self.attempt = 0  # failures of the record that is in work

    def failed(self, error: Exception) -> float | None:
        """Note that the record in work failed; return the pause before its next attempt, None when there is none."""
        self.attempt += 1
        if not self._policy.tries_again(error, self.attempt):
            return None
        pause = min(self._policy.pause(self.attempt), max(0.0, self._policy.longest_pause - self._waited))
        self._waited += pause
        return pause

    def next_record(self) -> None:
        """Go on with another record."""
        self.attempt = 0
