"""/metrics, /live and /ready of a worker of the archive."""

import socket
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from streams.archive.archiver import POLL_SECONDS_MOST, Archiver
from streams.pages import LoopPages


class ArchivePages(LoopPages):
    """Serves what an archiver says of itself. Use as a context manager.

    It is live while its loop turns: an object that is written to a slow store may take as long as Kafka waits for a
    member of the group. It is ready while it reads; not while the store or Kafka is away.

    Args:
        listener: where; see `streams.runtime.web.listen`. It is closed at the end.
        archiver: which one.
        registry: of its metrics.
        now: its clock.
    """

    def __init__(
        self,
        listener: socket.socket,
        archiver: Archiver,
        registry: CollectorRegistry,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(listener, archiver, registry, POLL_SECONDS_MOST, now)
