"""Versions of events: a hybrid logical clock in 63 bits.

48 bits of milliseconds since 1970, then a 16-bit counter (Kulkarni et al., "Logical Physical Clocks", 2014). Versions
of one source compare as integers, follow physical time to within its error, and never go backwards where one clock
gives them out.
"""

import threading
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

COUNTER_BITS = 16
COUNTER_MAX = (1 << COUNTER_BITS) - 1
MAX_AHEAD_MS = 24 * 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def pack(milliseconds: int, counter: int) -> int:
    """Return the version of a time (ms since 1970, below 2**47) and a counter (below 2**16).

    Raises:
        ValueError: a part does not fit.
    """
    if not 0 <= milliseconds < 1 << 47:
        raise ValueError(f"milliseconds must be in 0..2**47-1, got {milliseconds}")
    if not 0 <= counter <= COUNTER_MAX:
        raise ValueError(f"counter must be in 0..{COUNTER_MAX}, got {counter}")
    return milliseconds << COUNTER_BITS | counter


def unpack(version: int) -> tuple[int, int]:
    """Return (milliseconds, counter) of a version."""
    return version >> COUNTER_BITS, version & COUNTER_MAX


def milliseconds(moment: datetime) -> int:
    """Return whole milliseconds since 1970, rounded down; exact, unlike `timestamp() * 1000`."""
    return (moment - _EPOCH) // _MILLISECOND


def derived_version(occurred_at: datetime, event_id: str) -> int:
    """Return a version for an event that came without one.

    The same event gives the same version at every replay, which a clock could not promise. The counter is the CRC-32
    of the id: an arbitrary order within one millisecond, but always the same one.
    """
    return pack(milliseconds(occurred_at), zlib.crc32(event_id.encode()) & COUNTER_MAX)


class HybridClock:
    """Gives out versions that strictly increase, from any thread.

    `observe` moves it past a version seen elsewhere, so that what is caused by that event sorts after it.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._now_ms = now_ms
        self._last = 0
        self._lock = threading.Lock()

    def tick(self) -> int:
        """Return a version greater than all before, and not before the present millisecond."""
        now = self._now_ms() << COUNTER_BITS  # `pack` and `max` would double the cost of a tick
        with self._lock:
            # A clock set back, or 65,536 versions within a millisecond, run ahead of physical time until it catches up.
            after_last = self._last + 1
            self._last = version = now if now > after_last else after_last
        return version

    def observe(self, version: int) -> None:
        """Make every later tick greater than `version`.

        A version more than MAX_AHEAD_MS ahead of this clock is ignored: it comes from a broken clock, and following it
        would carry its error into every version from here on.
        """
        ahead = pack(self._now_ms() + MAX_AHEAD_MS, COUNTER_MAX)
        if version <= ahead:
            with self._lock:
                self._last = max(self._last, version)
