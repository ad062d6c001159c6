"""A namespace: a log of changes, and replicas that follow it at their own pace.

A write is acknowledged when it is in the log, with its position there. A reader is answered by any of the replicas, and
each has applied a beginning of the log. A later answer may so be older than an earlier one.
"""

import random
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Stored(Struct):
    """A record."""

    values: list[float]
    metadata: dict[str, Any]


Records = dict[str, Stored]
Apply = Callable[[Records], None]


class _Replica:
    def __init__(self, lag: float) -> None:
        self.lag = lag
        self.position = 0
        self.records: Records = {}


class Namespace:
    """Records that are changed through a log. Not for several threads.

    Args:
        lags: seconds after which a change shows in each replica.
    """

    def __init__(self, lags: list[float]) -> None:
        self._log: list[tuple[float, Apply]] = []
        self._replicas = [_Replica(lag) for lag in lags]

    @property
    def position(self) -> int:
        """Position of the last change, from 1."""
        return len(self._log)

    def append(self, apply: Apply) -> int:
        """Add a change and return its position."""
        self._log.append((time.monotonic(), apply))
        return len(self._log)

    def read(self) -> tuple[Records, int]:
        """Return the records of one of the replicas, and the position up to which it has them."""
        replica = random.choice(self._replicas)
        self._follow(replica, time.monotonic() - replica.lag)
        return replica.records, replica.position

    def settle(self) -> None:
        """Have every change show in every replica."""
        for replica in self._replicas:
            self._follow(replica, float("inf"))

    def lag(self, seconds: float) -> None:
        """Have changes show so many seconds later, in every replica."""
        for replica in self._replicas:
            replica.lag = seconds

    def _follow(self, replica: _Replica, until: float) -> None:
        while replica.position < len(self._log) and self._log[replica.position][0] <= until:
            self._log[replica.position][1](replica.records)
            replica.position += 1
