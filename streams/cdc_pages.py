"""/metrics, /live, /ready and /status of the source of changes, over HTTP, from a thread of its own.

The source's own thread has no event loop to answer with; it leaves a mark at each turn instead, and the pages tell by
its age whether it still turns.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from prometheus_client.exposition import choose_encoder

from connectors.cdc.counters import Counters
from connectors.cdc.metrics import registry_of


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


class CdcPages:
    """Serves what a source says of itself. Use as a context manager.

    Args:
        listener: where; see `streams.runtime.web.listen`. It is closed at the end.
        counters: of the source.
        patience: seconds after which a loop that does not turn is taken for stuck.
    """

    def __init__(self, listener: socket.socket, counters: Counters, patience: float) -> None:
        self._listener = listener
        registry = registry_of(counters)

        def metrics(accept: str) -> tuple[int, str, bytes]:
            encode, kind = choose_encoder(accept)
            return 200, kind, encode(registry)

        def live(_: str) -> tuple[int, str, bytes]:
            found = health(counters, time.monotonic(), patience)
            return _json(found.live, {"state": found.state})

        def ready(_: str) -> tuple[int, str, bytes]:
            found = health(counters, time.monotonic(), patience)
            return _json(found.ready, {"state": found.state})

        def status(_: str) -> tuple[int, str, bytes]:
            return _json(True, counters.told())

        pages = {"/metrics": metrics, "/live": live, "/ready": ready, "/status": status}
        self._server = _Server(listener, pages)
        self._thread = threading.Thread(target=self._server.serve_forever, name="cdc-pages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def read_page(host: str, port: int, page: str = "/status") -> dict[str, Any]:
    """Return what a source that runs says of itself.

    Raises:
        OSError: it does not answer.
    """
    connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=5)  # noqa: S104 - compared
    with closing(connection):
        connection.request("GET", page)
        return json.loads(connection.getresponse().read())


Page = Callable[[str], tuple[int, str, bytes]]


class _Server(ThreadingHTTPServer):
    """A server on a socket that listens already; pages by path, each given what the client accepts."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: dict[str, Page]) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.pages = pages


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = 5.0  # a client that says nothing is let go

    def do_GET(self) -> None:
        """Answer with a page, or 404."""
        assert isinstance(self.server, _Server)
        page = self.server.pages.get(self.path.partition("?")[0])
        code, kind, body = (404, "text/plain", b"not found\n") if page is None else page(self.headers.get("Accept", ""))
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing: probes come every few seconds."""


def _json(good: bool, body: dict[str, Any]) -> tuple[int, str, bytes]:
    return 200 if good else 503, "application/json", json.dumps(body, default=str).encode()
