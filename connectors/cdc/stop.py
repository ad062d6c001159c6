"""A request to stop that may come from a signal handler."""

import time

from connectors.cdc.errors import Stopped

STEP_SECONDS = 0.1


class Stop:
    """Asked once, looked at everywhere.

    Not a `threading.Event`: its lock is not reentrant, so a signal handler that sets it can hang the very thread that
    was just looking at it.
    """

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        """Ask to stop. From any thread or signal handler, any number of times."""
        self.requested = True

    def check(self) -> None:
        """Raise Stopped when a stop was asked for."""
        if self.requested:
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Let time pass between two attempts; return early when a stop is asked for."""
        deadline = time.monotonic() + seconds
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(STEP_SECONDS, left))
