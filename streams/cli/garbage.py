"""How often a process that runs for long looks for garbage."""

import gc


def collect_less() -> None:
    """Have the garbage collector look at containers every 100,000 of them, not every 700.

    Batches make thousands and free them all by counting references: looking through them was a tenth of the time of
    the whole pass of a worker, and of that of the source of Postgres changes.
    """
    gc.set_threshold(100_000, 50, 100)
