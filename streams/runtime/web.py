"""/metrics, /live and /ready of a worker, over HTTP.

Served by the worker's own event loop: an answer proves that the loop turns. When something blocks it, there is no
answer, and whoever asks takes that for what it is.
"""

import socket
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streams.runtime.watch import Watch

NO_CACHE = {"Cache-Control": "no-store"}


class PortTaken(OSError):  # noqa: N818 - reads as a statement
    """The address is in use, or not one of this machine; the message names it."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 is any free one.

    Raises:
        PortTaken: it cannot be listened on.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PortTaken(f"{host} port {port} cannot be listened on: {error.strerror}") from error


class WorkerPages:
    """Serves what a worker says of itself.

    Args:
        listener: where, see `listen`.
        registry: the metrics.
        watch: knows whether the worker is live.
    """

    def __init__(self, listener: socket.socket, registry: CollectorRegistry, watch: Watch) -> None:
        self._listener = listener
        self._registry = registry
        self._watch = watch
        pages = web.Application()
        pages.add_routes(
            [web.get("/metrics", self._metrics), web.get("/live", self._live), web.get("/ready", self._ready)]
        )
        self._runner = web.AppRunner(pages, access_log=None, shutdown_timeout=1)

    async def start(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def stop(self) -> None:
        """Stop answering and free the port."""
        await self._runner.cleanup()
        self._listener.close()

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": kind, **NO_CACHE})

    async def _live(self, _: web.Request) -> web.Response:
        """200 unless the worker is stuck: then a restart is due."""
        verdict = self._watch.verdict
        state = "stuck" if not verdict.live else "waiting" if verdict.stalls else "live"
        stalls = [
            {"why": one.why, "seconds": round(one.seconds), "topic": one.topic, "partition": one.partition}
            for one in verdict.stuck or verdict.stalls
        ]
        return _answer(verdict.live, {"state": state, "why": verdict.why or None, "stalls": stalls})

    async def _ready(self, _: web.Request) -> web.Response:
        """200 while the worker has its partitions (which may be none) and their tables are restored."""
        sample = self._watch.snapshot().sample
        restores = {one.table: one.remaining for one in sample.restores if one.remaining}
        body = {"state": sample.state, "partitions": len(sample.partitions), "records_to_restore": restores}
        return _answer(sample.state == "running", body)


def _answer(good: bool, body: dict[str, Any]) -> web.Response:
    return web.json_response(body, status=200 if good else 503, headers=NO_CACHE)
