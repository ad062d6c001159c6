"""A stand-in for Pinecone's HTTP API, in this process. It is not Pinecone.

There is no Pinecone server that could be run, so what is tested against this is tested against our reading of its
documentation, and no figure measured here says anything of the service. What keeps the reading honest: requests are
decoded strictly, so that one which the SDK makes and the documentation does not describe is refused; and a test decodes
all answers with the SDK's own models.

What it does besides answering, when asked to: it fails with a status, holds an answer back, breaks a connection off,
before or after a write took effect; and it is eventually consistent (`deploy.local.pinecone.namespace`).
"""

import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from deploy.local.pinecone.index import Answer, Index, Refused
from deploy.local.pinecone.requests import (
    CreateBody,
    DeleteBody,
    MatchingBody,
    QueryBody,
    StatsBody,
    UpdateBody,
    UpsertBody,
)

MAX_BODY = 2 * 1024 * 1024
MAX_ADDRESS = 8 * 1024


class Fault(Struct, frozen=True, kw_only=True):
    """What happens to requests instead of an answer, or before it.

    Attributes:
        path: end of the paths that are meant; empty: all.
        status: of the answer; 0: the connection breaks off.
        times: how many requests it happens to.
        retry_after: header of the answer, in seconds.
        seconds: how long the answer is held back.
        applied: whether the request takes effect all the same.
        passes: whether the request is answered after all, when `seconds` are over.
        takes: how many records of an upsert that passes are taken; the answer counts them and is otherwise a success.
    """

    path: str = ""
    status: int = 0
    times: int = 1
    retry_after: float | None = None
    seconds: float = 0.0
    applied: bool = False
    passes: bool = False
    takes: int | None = None


class Exchange(Struct, frozen=True):
    """A request and its answer."""

    method: str
    path: str
    body: bytes
    status: int
    answer: bytes


class PineconeStandIn:
    """The stand-in, on a port of the loopback interface. The constructor does no I/O.

    Args:
        api_key: the only one that is accepted.
        lags: seconds after which a write shows in each replica of a namespace; any of them may answer a read.
        port: to listen on; 0: a free one.
    """

    def __init__(self, api_key: str = "stand-in", lags: Sequence[float] = (0.0,), port: int = 0) -> None:
        self.api_key = api_key
        self._port = port
        self.exchanges: list[Exchange] = []
        self.recording = False
        self.full = False  # whether the plan of the project takes no more
        self._lags = list(lags)
        self._indexes: dict[str, Index] = {}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The address of the control plane."""
        assert self._server is not None, "not started"
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Answer requests, from threads of this process."""
        self._server = _Server(("127.0.0.1", self._port), _Handler, self)
        serve, pauses = self._server.serve_forever, {"poll_interval": 0.01}  # so long does `stop` take
        threading.Thread(target=serve, kwargs=pauses, name="pinecone-stand-in", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def fail(self, fault: Fault) -> None:
        """Have a fault happen to the next requests it is meant for."""
        with self._lock:
            self._faults += [fault] * fault.times

    def settle(self) -> None:
        """Have all writes show."""
        with self._lock:
            for index in self._indexes.values():
                index.settle()

    def lag(self, seconds: float) -> None:
        """Have what is written from now on show so many seconds later, in every replica."""
        with self._lock:
            for index in self._indexes.values():
                index.lag(seconds)

    def fault_of(self, path: str) -> Fault | None:
        """Return what is to happen to a request, once."""
        with self._lock:
            for place, fault in enumerate(self._faults):
                if path.endswith(fault.path):
                    return self._faults.pop(place)
        return None

    def answer(
        self, method: str, address: str, body: bytes, api_key: str | None, host: str | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers of the answer to a request.

        Args:
            method: of the request.
            address: path and query.
            body: of the request.
            api_key: as it was sent.
            host: that it was sent to. Indexes are said to be there, so that what stands in between stays there.
        """
        at = f"http://{host}" if host else self.url
        try:
            if api_key != self.api_key:
                raise Refused(401, "UNAUTHENTICATED", "Invalid API key")
            if len(body) > MAX_BODY:
                raise Refused(413, "PAYLOAD_TOO_LARGE", "The request exceeds the maximum size of 2 MB")
            if len(address) > MAX_ADDRESS:
                raise Refused(414, "URI_TOO_LONG", "The address is too long")
            with self._lock:
                found, headers = self._answer(method, address, body, at)
        except Refused as error:
            return error.status, {"error": {"code": error.code, "message": str(error)}, "status": error.status}, {}
        except msgspec.MsgspecError as error:
            message = f"the stand-in does not know such a request: {error}"
            return 400, {"error": {"code": "INVALID_ARGUMENT", "message": message}, "status": 400}, {}
        return 201 if method == "POST" and address == "/indexes" else 200, found, headers

    def _answer(self, method: str, address: str, body: bytes, at: str) -> Answer:
        split = urlsplit(address)
        parts = split.path.strip("/").split("/")
        if parts[0] == "indexes":
            return self._control(method, parts[1:], body, at), {}
        index = self._indexes.get(parts[0])
        if index is None:
            raise Refused(404, "NOT_FOUND", f"Index {parts[0]} not found")
        if self.full and parts[-1] in ("upsert", "update"):
            raise Refused(403, "QUOTA_EXCEEDED", "You've reached the max storage allowed for the project")
        query = parse_qs(split.query, keep_blank_values=True)
        call = _DATA.get((method, "/".join(parts[1:])))
        if call is None:
            raise Refused(404, "NOT_FOUND", "no such path")
        return call(index, body, query)

    def _control(self, method: str, rest: Sequence[str], body: bytes, at: str) -> Any:
        match method, rest:
            case "GET", []:
                return {"indexes": [self._described(name, at) for name in sorted(self._indexes)]}
            case "GET", [name] if name in self._indexes:
                return self._described(name, at)
            case "DELETE", [name] if name in self._indexes:
                del self._indexes[name]
                return {}
            case "POST", []:
                wanted = msgspec.json.decode(body, type=CreateBody)
                if wanted.name in self._indexes:
                    raise Refused(409, "ALREADY_EXISTS", "Resource already exists")
                field = wanted.schema.fields.get("_values")
                if field is None:
                    raise Refused(400, "INVALID_ARGUMENT", "the stand-in has indexes of vectors only")
                self._indexes[wanted.name] = Index(field.dimension, field.metric, self._lags)
                return self._described(wanted.name, at)
            case _:
                raise Refused(404, "NOT_FOUND", "Resource not found")

    def _described(self, name: str, at: str) -> dict[str, Any]:
        index = self._indexes[name]
        field = {"type": "dense_vector", "dimension": index.dimension, "metric": index.metric}
        return {
            "name": name,
            "host": f"{at}/{name}",
            "status": {"ready": True, "state": "Ready"},
            "schema": {"fields": {"_values": field}},
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
            "deletion_protection": "disabled",
        }


Query = dict[str, list[str]]


def _first(query: Query, name: str, default: str = "") -> str:
    return query.get(name, [default])[0]


_DATA: dict[tuple[str, str], Callable[[Index, bytes, Query], Answer]] = {
    ("POST", "vectors/upsert"): lambda index, body, _: index.upsert(msgspec.json.decode(body, type=UpsertBody)),
    ("POST", "vectors/update"): lambda index, body, _: index.update(msgspec.json.decode(body, type=UpdateBody)),
    ("POST", "vectors/delete"): lambda index, body, _: index.delete(msgspec.json.decode(body, type=DeleteBody)),
    ("POST", "vectors/fetch_by_metadata"): lambda index, body, _: index.matching(
        msgspec.json.decode(body, type=MatchingBody)
    ),
    ("POST", "query"): lambda index, body, _: index.query(msgspec.json.decode(body, type=QueryBody)),
    ("POST", "describe_index_stats"): lambda index, body, _: index.stats(msgspec.json.decode(body, type=StatsBody)),
    ("GET", "vectors/fetch"): lambda index, _, query: index.fetch(_first(query, "namespace"), query.get("ids", [])),
    ("GET", "vectors/list"): lambda index, _, query: index.list(
        _first(query, "namespace"),
        _first(query, "prefix"),
        int(_first(query, "limit", "100")),
        _first(query, "paginationToken"),
    ),
}


def _cut(body: bytes, records: int) -> bytes:
    """Return the body of an upsert with its first records alone."""
    upsert = msgspec.json.decode(body)
    return msgspec.json.encode({**upsert, "vectors": upsert["vectors"][:records]})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], owner: PineconeStandIn) -> None:
        super().__init__(address, handler)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_DELETE(self) -> None:
        self._respond()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """Log nothing."""

    def _respond(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = owner.fault_of(urlsplit(self.path).path)
        if fault is not None and fault.takes is not None:
            body = _cut(body, fault.takes)
        if fault is None or fault.applied or fault.passes:
            key, host = self.headers.get("Api-Key"), self.headers.get("Host")
            status, found, headers = owner.answer(self.command, self.path, body, key, host)
        else:
            status, found, headers = fault.status, {"error": {"code": "UNAVAILABLE", "message": "injected"}}, {}
        if fault is not None:
            time.sleep(fault.seconds)  # the fault that was asked for: an answer that is held back
            if not fault.passes:
                if not fault.status:
                    self.close_connection = True
                    return
                status = fault.status
                if fault.retry_after is not None:
                    headers = {"Retry-After": f"{fault.retry_after:g}"}
        answer = msgspec.json.encode(found)
        if owner.recording:
            owner.exchanges.append(Exchange(self.command, self.path, body, status, answer))
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)
