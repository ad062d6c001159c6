"""How soon the threads of a process give way to each other."""

import sys

SWITCH_SECONDS = 0.0005


def give_way_sooner() -> None:
    """Have a thread that waits for the interpreter get it after half a millisecond, not five.

    The thread that fetches wants it some times for each fetch, for microseconds, while the event loop works on a batch:
    at Python's own pace a record that was there already came to its agent tens of milliseconds later.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
