"""Whether a store may be called now: not while it is paused, while its breaker is open, or faster than its rate."""

import asyncio
from collections.abc import Callable
from typing import Literal

from streams.delivery.breaker import Breaker, DeliveryPolicy
from streams.delivery.token_bucket import TokenBucket

State = Literal["closed", "half-open", "open"]

_SOON = 1e-3  # clocks and timers round; nobody waits for less


class Gate:
    """Shared by all that call one store. Used from one event loop.

    Whoever enters tells what became of the call: `succeeded`, `failed`, or `unused`. While the breaker is half-open
    only one is let in, whose call decides.

    Args:
        policy: of the breaker and its pauses.
        rate: how fast the store may be written to; None: as fast as it can.
        now: a clock in seconds that is never set back.
        changed: called when what it lets in may have changed.
        throttled: told the seconds that somebody waited for the rate.
    """

    def __init__(
        self,
        policy: DeliveryPolicy,
        rate: TokenBucket | None,
        now: Callable[[], float],
        *,
        changed: Callable[[], None] = lambda: None,
        throttled: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._threshold = policy.breaker_failures
        self._breaker = Breaker(policy)
        self._rate = rate
        self._now = now
        self._changed = changed
        self._throttled = throttled
        self._paused = False
        self._deciding = False
        self._failed_at = -1.0
        self._moved = asyncio.Event()

    @property
    def failures(self) -> int:
        """Failures since the last success."""
        return self._breaker.failures

    @property
    def state(self) -> State:
        """What the breaker is."""
        if self._breaker.failures < self._threshold:
            return "closed"
        return "open" if self.open_for > 0 else "half-open"

    @property
    def open_for(self) -> float:
        """For how many seconds nobody is let in because of failures."""
        return self._breaker.wait(self._now())

    @property
    def held(self) -> bool:
        """Whether nobody is let in for longer than a moment."""
        return self._paused or self.state != "closed"

    @property
    def most(self) -> int | None:
        """The most writes of one request that the rate lets through; None: any number."""
        return None if self._rate is None else self._rate.capacity

    async def enter(self, writes: int) -> float:
        """Return when the store may be called with so many writes: the time at which that was so."""
        while True:
            now = self._now()
            if self._paused or (self._deciding and self.state != "closed"):
                await self._until_moved(None)
            elif pause := self._breaker.wait(now):
                await self._until_moved(pause)
            elif self._rate is not None and (pause := self._rate.wait(now, writes)) > 0:
                await self._until_moved(max(pause, _SOON))
                self._throttled(self._now() - now)
            else:
                self._deciding = self._breaker.failures >= self._threshold
                return now

    def spend(self, writes: int) -> None:
        """Note how many writes go."""
        if self._rate is not None:
            self._rate.take(self._now(), writes)

    def succeeded(self) -> None:
        """Note that a call went well."""
        was = self._breaker.failures
        self._breaker.succeeded()
        self._deciding = False
        if was:
            self._move()

    def failed(self, entered: float, asked_for: float | None = None) -> float:
        """Note that the call of whoever entered at `entered` failed; return how long nobody is let in.

        Calls that were under way together when the store went away are one failure.
        """
        now = self._now()
        self._deciding = False
        if entered < self._failed_at:
            return self._breaker.wait(now)
        self._failed_at = now
        pause = self._breaker.failed(now, asked_for)
        self._move()
        return pause

    def unused(self) -> None:
        """Note that the store was not called after all."""
        self._deciding = False
        self._move()

    def pause(self) -> None:
        """Let nobody in until `resume`."""
        self._paused = True
        self._move()

    def resume(self) -> None:
        """Let in again who was kept out by `pause`."""
        self._paused = False
        self._move()

    async def _until_moved(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._moved.wait(), seconds)
        except TimeoutError:
            return

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        self._changed()
