"""One process at a time, across processes."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock of a file, after waiting for whoever holds it, thread or process.

    The kernel lets go of it when the holder dies, however that happens. The file stays: removing it would let two
    processes lock two files of the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting_for_another_process", lock=str(path))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
