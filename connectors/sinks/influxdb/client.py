"""InfluxDB over HTTP: synchronous requests, each with an explicit end.

Not the batcher of `influxdb-client`, which gives up on points in the background without telling anybody (its issues 80,
198 and 332); the extra `influxdb` brings the connection pool that is used here.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from connectors.sinks.errors import Fatal, Unavailable
from connectors.sinks.influxdb import queries
from connectors.sinks.influxdb.errors import OPTION, Refusal, failure, refusal
from connectors.sinks.influxdb.options import InfluxOptions

if TYPE_CHECKING:
    import urllib3

T = TypeVar("T")

SERIES_AT_ONCE = 100_000  # some 10 MB of answer
REQUESTS = 2  # at a time: the server takes in the lines of one while it waits for its disk with another

_GZIP = 31  # window bits of zlib that mean gzip
_FASTEST = 1  # compresses to a third; level 6 would halve the rate for a tenth less


class Bucket(msgspec.Struct, frozen=True):
    """A bucket of the server. `retention` in seconds; 0: for ever."""

    id: str
    retention: int


class InfluxClient:
    """Requests to one bucket, of at most two threads at a time. The constructor does no I/O."""

    def __init__(self, options: InfluxOptions) -> None:
        self._options = options
        self._pool: urllib3.PoolManager | None = None
        # A bucket "database/policy" is what InfluxQL calls the policy of a database; others are databases themselves.
        database, slash, policy = options.bucket.partition("/")
        self._database = {"db": database, "rp": policy} if slash else {"db": options.bucket}

    def write(self, lines: Sequence[bytes]) -> Refusal | None:
        """Write lines; returns a refusal when not all of them are applied.

        Raises:
            Unavailable: nothing is known of any line.
            Fatal: token, organisation or bucket is wrong.
        """
        body, headers = b"\n".join(lines), {"Content-Type": "text/plain; charset=utf-8"}
        if self._options.gzip:
            body, headers["Content-Encoding"] = zlib.compress(body, _FASTEST, _GZIP), "gzip"
        status, data, after = self._send("POST", "/api/v2/write", {**self._where(), "precision": "ns"}, body, headers)
        if status == 204:
            return None
        refused = refusal(status, data)
        if refused is None:
            raise failure(status, data, after)
        return refused

    def ask(self, statements: Sequence[str]) -> queries.Answer:
        """Return the rows of InfluxQL statements.

        Raises:
            Unavailable: no answer.
            Fatal: the server does not understand, or refuses the token.
        """
        return self._asked(statements, queries.answer) if statements else []

    def ask_typed(self, statements: Sequence[str]) -> queries.Answer:
        """Return the rows as `ask`, in which numbers are of the types that they have in the bucket."""
        return self._asked(statements, queries.typed_answer, "application/x-msgpack") if statements else []

    def series(self, at_once: int = SERIES_AT_ONCE) -> set[str]:
        """Return the keys of all series of the bucket but our own, asked for in parts of so many.

        Raises:
            Unavailable: no answer.
            Fatal: the server does not understand, or refuses the token.
        """
        found: list[str] = []
        while True:
            # No part may be left out: a limit on what is known would take series that are there for new ones.
            part = self._asked([f"SHOW SERIES LIMIT {at_once} OFFSET {len(found)}"], queries.series_keys)
            found += part
            if len(part) < at_once:
                return {key for key in found if not queries.is_ours(key)}

    def delete(self, body: bytes) -> None:
        """Delete what `queries.removal` describes; nothing is an answer as well.

        Raises:
            Unavailable: no answer.
            Fatal: the token may not delete.
        """
        self._call("POST", "/api/v2/delete", self._where(), body, {"Content-Type": "application/json"})

    def bucket(self) -> Bucket | None:
        """Return the bucket; None when it is missing.

        Raises:
            Unavailable: no answer.
            Fatal: the token or the organisation is refused.
        """
        where = {"name": self._options.bucket, "orgID": self._organisation()}
        status, data, after = self._send("GET", "/api/v2/buckets", where)
        if status == 404:
            return None
        if status != 200:
            raise failure(status, data, after)
        found: list[dict[str, Any]] = msgspec.json.decode(data)["buckets"]
        if not found:
            return None
        rules = found[0]["retentionRules"]
        return Bucket(found[0]["id"], rules[0]["everySeconds"] if rules else 0)

    def create_bucket(self, retention: int) -> None:
        """Make the bucket with a retention in seconds; 0: for ever."""
        body = {"orgID": self._organisation(), "name": self._options.bucket, "retentionRules": _rules(retention)}
        self._call(
            "POST", "/api/v2/buckets", {}, msgspec.json.encode(body), expected=(201, 422)
        )  # 422: another one did

    def set_retention(self, bucket: Bucket, retention: int) -> None:
        """Change the retention of the bucket."""
        body = msgspec.json.encode({"retentionRules": _rules(retention)})
        self._call("PATCH", f"/api/v2/buckets/{bucket.id}", {}, body)

    def close(self) -> None:
        """Close the connections; may be called twice."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _asked(self, statements: Sequence[str], read: Callable[[bytes], T], accept: str = "application/json") -> T:
        form = urlencode({"q": ";".join(statements)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": accept}
        data = self._call("POST", "/query", {**self._database, "epoch": "ns"}, form, headers)
        try:
            return read(data)
        except queries.QuestionFailed as error:
            raise Unavailable(f"InfluxDB: {error}") from error

    def _where(self) -> dict[str, str]:
        return {"org": self._options.organisation, "bucket": self._options.bucket}

    def _organisation(self) -> str:
        data = self._call("GET", "/api/v2/orgs", {"org": self._options.organisation})
        found: list[dict[str, str]] = msgspec.json.decode(data)["orgs"]
        if not found:
            raise Fatal(f"InfluxDB: no organisation {self._options.organisation!r}; see `{OPTION}.organisation`")
        return found[0]["id"]

    def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        expected: tuple[int, ...] = (200, 204),
    ) -> bytes:
        status, data, after = self._send(method, path, query, body, headers)
        if status not in expected:
            raise failure(status, data, after)
        return data

    def _send(
        self, method: str, path: str, query: dict[str, str], body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, str | None]:
        pool = self._connected()
        import urllib3  # noqa: PLC0415 - the client is an extra

        try:
            answer = pool.request(
                method,
                f"{self._options.url.rstrip('/')}{path}?{urlencode(query)}",
                body=body or None,
                headers={"Authorization": f"Token {self._options.token}", **(headers or {})},
                retries=False,  # whether a write may be repeated is for the framework to say
                redirect=False,
            )
        except urllib3.exceptions.SSLError as error:
            raise Fatal(f"InfluxDB's certificate is refused ({error}); see `{OPTION}.ca_file`") from error
        except urllib3.exceptions.LocationValueError as error:
            raise Fatal(f"`{OPTION}.url` is no address of a server: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"InfluxDB does not answer: {error}") from error
        return answer.status, answer.data, answer.headers.get("Retry-After")

    def _connected(self) -> "urllib3.PoolManager":
        if self._pool is None:
            try:
                import urllib3  # noqa: PLC0415 - the client is an extra
            except ImportError as error:
                raise Fatal("InfluxDB needs its Python client: pip install 'travelos-streams[influxdb]'") from error
            timeout = urllib3.Timeout(connect=self._options.connect_seconds, read=self._options.request_seconds)
            self._pool = urllib3.PoolManager(
                num_pools=1, maxsize=REQUESTS, block=True, timeout=timeout, ca_certs=self._options.ca_file or None
            )
        return self._pool


def _rules(retention: int) -> list[dict[str, Any]]:
    return [{"type": "expire", "everySeconds": retention}]
