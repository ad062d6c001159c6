"""/metrics, /live, /ready and /status of the source of changes, over HTTP, from a thread of its own.

The source's own thread has no event loop to answer with; it leaves a mark at each turn instead, and the pages tell by
its age whether it still turns.
"""

import json
import socket
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, NamedTuple

from connectors.cdc.counters import Counters
from connectors.cdc.metrics import registry_of
from streams.pages import Answer, Pages, as_json, metrics_of


class Health(NamedTuple):
    """What /live and /ready say, and why."""

    live: bool
    ready: bool
    state: str


def health(counters: Counters, now: float, patience: float) -> Health:
    """Return whether the source works.

    It is live unless it streams and its loop has not turned for `patience` seconds, or has ended: who waits for a
    server that is away is live, because a restart would not help. It is ready while it reads changes or rows.

    Args:
        counters: of the source.
        now: monotonic seconds.
        patience: in seconds.
    """
    if counters.phase == "stopped":
        return Health(live=False, ready=False, state="stopped")
    if counters.phase == "streaming" and counters.turned_at and now - counters.turned_at > patience:
        return Health(live=False, ready=False, state=f"has not turned for {now - counters.turned_at:.0f} s")
    return Health(live=True, ready=counters.connected, state=counters.phase)


class CdcPages(Pages):
    """Serves what a source says of itself. Use as a context manager.

    Args:
        listener: where; see `streams.runtime.web.listen`. It is closed at the end.
        counters: of the source.
        patience: seconds after which a loop that does not turn is taken for stuck.
    """

    def __init__(self, listener: socket.socket, counters: Counters, patience: float) -> None:
        def live(_: str) -> Answer:
            found = health(counters, time.monotonic(), patience)
            return as_json(found.live, {"state": found.state})

        def ready(_: str) -> Answer:
            found = health(counters, time.monotonic(), patience)
            return as_json(found.ready, {"state": found.state})

        def status(_: str) -> Answer:
            return as_json(True, counters.told())

        super().__init__(
            listener,
            {"/metrics": metrics_of(registry_of(counters)), "/live": live, "/ready": ready, "/status": status},
        )


def read_page(host: str, port: int, page: str = "/status") -> dict[str, Any]:
    """Return what a source that runs says of itself.

    Raises:
        OSError: it does not answer.
    """
    connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=5)  # noqa: S104 - compared
    with closing(connection):
        connection.request("GET", page)
        return json.loads(connection.getresponse().read())
