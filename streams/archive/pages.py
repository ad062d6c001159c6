"""/metrics, /live and /ready of a worker of the archive."""

import socket
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from streams.archive.archiver import POLL_SECONDS_MOST, Archiver
from streams.pages import Answer, Pages, as_json, metrics_of


class ArchivePages(Pages):
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
        def live(_: str) -> Answer:
            still = now() - archiver.turned_at
            return as_json(still <= POLL_SECONDS_MOST, {"state": archiver.state, "still_seconds": round(still, 1)})

        def ready(_: str) -> Answer:
            return as_json(archiver.state == "reading", {"state": archiver.state})

        super().__init__(listener, {"/metrics": metrics_of(registry), "/live": live, "/ready": ready})
