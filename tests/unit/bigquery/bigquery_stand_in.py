"""A stand-in of BigQuery's REST API, because there is no server of it that could be started here.

It knows what the loader uses: datasets, tables, views, load jobs with an upload, query jobs; each job id once. DuckDB
is behind it, so its SQL has to be both dialects' own. It does not check permissions, quotas, types or partitions.
"""

import json
import re
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb

_TYPES = {"STRING": "VARCHAR", "INTEGER": "BIGINT", "TIMESTAMP": "TIMESTAMPTZ"}


class StandIn:
    """The state: tables in DuckDB, resources as they were sent, jobs by id."""

    def __init__(self) -> None:
        self.database = duckdb.connect()
        self.datasets: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self.dropped: list[dict[str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.failures: list[str] = []  # reasons of the next jobs to fail
        self.lost_answers = 0  # jobs that are done, but whose answer is an error
        self.lock = threading.RLock()
        self.address = ""

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.lock:
            return self.database.execute(statement).fetchall()

    def create_dataset(self, body: dict[str, Any]) -> bool:
        name = body["datasetReference"]["datasetId"]
        if name in self.datasets:
            return False
        self.datasets[name] = {**body, "creationTime": str(1_700_000_000_000 + len(self.dropped))}
        return True

    def drop(self, dataset: str) -> None:
        """Drop a dataset with all its tables, by hand. Its jobs stay known."""
        with self.lock:
            self.dropped.append(self.datasets.pop(dataset))
            for name, table in sorted(self.tables.items(), key=lambda item: "view" not in item[1]):
                self.database.execute(f'DROP {"VIEW" if "view" in table else "TABLE"} "{name}"')
            self.tables.clear()

    def create(self, body: dict[str, Any]) -> bool:
        name = body["tableReference"]["tableId"]
        if name in self.tables:
            return False
        self.tables[name] = body
        if "view" in body:
            query = _translated(body["view"]["query"]).replace("* EXCEPT", "* EXCLUDE")
            self.database.execute(f'CREATE VIEW "{name}" AS {query}')
        else:
            columns = ", ".join(f'"{one["name"]}" {_TYPES[one["type"]]}' for one in body["schema"]["fields"])
            self.database.execute(f'CREATE TABLE "{name}" ({columns})')
        return True

    def run(self, body: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        config = body["configuration"]
        status: dict[str, Any] = {"state": "DONE"}
        if self.failures:
            status["errorResult"] = {"reason": "backendError", "message": self.failures.pop()}
        elif "load" in config:
            self._load(config["load"], data)
        else:
            self.database.execute(_translated(config["query"]["query"]))
        job = {**body, "status": status, "id": body["jobReference"]["jobId"], "statistics": {}}
        self.jobs[body["jobReference"]["jobId"]] = job
        return job

    def _load(self, config: dict[str, Any], data: bytes) -> None:
        table = config["destinationTable"]["tableId"]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data"
            path.write_bytes(data)
            function = "read_parquet" if config["sourceFormat"] == "PARQUET" else "read_json"
            self.database.execute(f"INSERT INTO \"{table}\" BY NAME SELECT * FROM {function}('{path}')")


def _translated(statement: str) -> str:
    return re.sub(r"`[^`.]+\.[^`.]+\.([^`.]+)`", r'"\1"', statement)


@contextmanager
def standing_in() -> Generator[StandIn]:
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            """Say nothing."""

        def do_GET(self) -> None:
            with state.lock:
                name = urlsplit(self.path).path.rpartition("/")[2]
                job = state.jobs.get(name)
                if self.path.rpartition("/")[0].endswith("/datasets") and name in state.datasets:
                    self._answer(200, state.datasets[name])
                elif "/tables/" in self.path and name in state.tables:
                    self._answer(200, state.tables[name])
                elif job is None:
                    self._answer(404, {"error": {"message": "no such job", "code": 404}})
                elif "/queries/" in self.path:
                    done = {"jobComplete": True, "jobReference": job["jobReference"], "totalRows": "0"}
                    self._answer(200, {**done, "schema": {"fields": []}})
                else:
                    self._answer(200, job)

        def do_POST(self) -> None:
            body = json.loads(self._body() or b"{}")
            path = urlsplit(self.path)
            with state.lock:
                if "/upload/" in path.path:
                    assert parse_qs(path.query)["uploadType"] == ["resumable"]
                    upload = f"u{len(state.uploads)}"
                    state.uploads[upload] = body
                    self._answer(200, {}, location=f"{state.address}/uploading/{upload}")
                elif path.path.endswith("/jobs"):
                    self._job(body, b"")
                elif path.path.endswith("/tables"):
                    self._answer(*((200, body) if state.create(body) else (409, {"error": {"code": 409}})))
                elif path.path.endswith("/datasets"):
                    self._answer(*((200, body) if state.create_dataset(body) else (409, {"error": {"code": 409}})))
                else:
                    self._answer(404, {"error": {"code": 404}})

        def do_PUT(self) -> None:
            data = self._body()
            with state.lock:
                self._job(state.uploads[self.path.rpartition("/")[2]], data)

        def _job(self, body: dict[str, Any], data: bytes) -> None:
            if body["jobReference"]["jobId"] in state.jobs:
                self._answer(409, {"error": {"code": 409, "message": "Already Exists"}})
                return
            job = state.run(body, data)
            if state.lost_answers:
                state.lost_answers -= 1
                self._answer(400, {"error": {"code": 400, "message": "the answer was lost"}})
            else:
                self._answer(200, job)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(self, status: int, body: dict[str, Any], location: str = "") -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        state.database.close()
