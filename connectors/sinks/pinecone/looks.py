"""Looking again and again for what was written: nothing tells when it shows."""

import select
import time
from collections.abc import Iterator

_FIRST, _LONGEST = 0.01, 0.5  # seconds between two looks


def looks(patience: float) -> Iterator[None]:
    """Yield for each look, at once and then after pauses that grow, for at most so many seconds."""
    deadline = time.monotonic() + patience
    pause = _FIRST
    while True:
        yield
        if time.monotonic() + pause > deadline:
            return
        select.select([], [], [], pause)  # it can only be asked for
        pause = min(_LONGEST, 2 * pause)
