"""Pages over HTTP from a thread of its own, for a process whose own thread has no event loop to answer with."""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Protocol, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder


class Answer(NamedTuple):
    """What a page answers with."""

    code: int
    kind: str
    body: bytes


Page = Callable[[str], Answer]  # given what the client accepts


def metrics_of(registry: CollectorRegistry) -> Page:
    """Return the page that shows metrics."""

    def page(accept: str) -> Answer:
        encode, kind = choose_encoder(accept)
        return Answer(200, kind, encode(registry))

    return page


def as_json(good: bool, body: Mapping[str, Any]) -> Answer:
    """Return an answer with a JSON body, 503 where not all is well."""
    return Answer(200 if good else 503, "application/json", json.dumps(body, default=str).encode())


class Pages:
    """Serves pages until its context ends.

    Args:
        listener: where; see `streams.runtime.web.listen`. It is closed at the end.
        pages: by path.
    """

    def __init__(self, listener: socket.socket, pages: Mapping[str, Page]) -> None:
        self._server = _Server(listener, pages)
        self._thread = threading.Thread(target=self._server.serve_forever, name="pages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Loop(Protocol):
    """What says of itself what it is doing: "reading" when all is well, and when it last looked for something to do."""

    @property
    def state(self) -> str: ...  # noqa: D102

    @property
    def turned_at(self) -> float: ...  # noqa: D102


class LoopPages(Pages):
    """Serves /metrics, /live and /ready of a role that is one loop. Use as a context manager.

    It is live while its loop turns: one turn may take as long as Kafka waits for a member of the group. It is ready
    while it reads; not while something that it needs in order to read is away.

    Args:
        listener: where; see `streams.runtime.web.listen`. It is closed at the end.
        loop: which one.
        registry: of its metrics.
        patience: seconds that one turn may take.
        now: its clock.
    """

    def __init__(
        self,
        listener: socket.socket,
        loop: Loop,
        registry: CollectorRegistry,
        patience: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        def live(_: str) -> Answer:
            still = now() - loop.turned_at
            return as_json(still <= patience, {"state": loop.state, "still_seconds": round(still, 1)})

        def ready(_: str) -> Answer:
            return as_json(loop.state == "reading", {"state": loop.state})

        super().__init__(listener, {"/metrics": metrics_of(registry), "/live": live, "/ready": ready})


class _Server(ThreadingHTTPServer):
    """A server on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, pages: Mapping[str, Page]) -> None:
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
        answer = Answer(404, "text/plain", b"not found\n") if page is None else page(self.headers.get("Accept", ""))
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing: probes come every few seconds."""
