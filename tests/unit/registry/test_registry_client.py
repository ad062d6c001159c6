"""The answers come from a stand-in HTTP server in this file: a real Schema Registry needs a Kafka of its own."""

import base64
import builtins
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest

from connectors.registry import RegistryClient, RegistryError, RegistryRefused, RegistryUnavailable, unframer
from connectors.registry.client import UNKNOWN_FOR_SECONDS
from deploy.local.ports import free_port
from schemas.wire import VALUE_SCHEMA_ID, IncompleteFrame, RegistryNotConfigured, UnknownSchema, UnsupportedSchema

GUID = UUID("89791762-2336-4186-9674-299b90a802e2")
NOT_FOUND = (404, {"error_code": 40403, "message": "Schema not found"})
PAYLOAD = b'{"type":"gps_update"}'


class Registry:
    """The part of Confluent's REST API that is used, with answers by path; `requests` has the paths that came."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {
            "/schemas/ids/42": (200, {"schemaType": "JSON", "schema": "{}"}),
            "/schemas/ids/43": (200, {"schema": '"string"'}),  # registries do not name AVRO
            "/schemas/ids/44": (200, {"schemaType": "PROTOBUF", "schema": "syntax"}),
            f"/schemas/guids/{GUID}": (200, {"schemaType": "JSON", "schema": "{}", "id": 42, "guid": str(GUID)}),
        }
        self.every: tuple[int, Any] | None = None
        self.login: tuple[str, str] | None = None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = registry.answer(self.path, self.headers.get("Authorization", ""))
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, authorization: str) -> tuple[int, Any]:
        self.requests.append(path)
        if self.login is not None:
            expected = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
            if authorization != expected:
                return 401, {"error_code": 40101, "message": "Unauthorized"}
        return self.every or self.answers.get(path, NOT_FOUND)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class SetClock:
    """Seconds as a test sets them."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    registry = Registry()
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def client(registry: Registry, clock: SetClock) -> Iterator[RegistryClient]:
    client = RegistryClient(registry.url, now=clock)
    try:
        yield client
    finally:
        client.close()


def framed(schema_id: int, payload: bytes = PAYLOAD) -> bytes:
    return b"\x00" + schema_id.to_bytes(4) + payload


def test_a_value_without_a_frame_passes_and_nobody_is_asked(client: RegistryClient, registry: Registry) -> None:
    assert client.unframe(PAYLOAD) == PAYLOAD
    assert registry.requests == []


def test_a_framed_value_is_unframed_and_its_schema_asked_for_once(client: RegistryClient, registry: Registry) -> None:
    assert [client.unframe(framed(42)) for _ in range(3)] == [PAYLOAD] * 3
    assert registry.requests == ["/schemas/ids/42"]


def test_a_guid_in_the_header_is_looked_up(client: RegistryClient, registry: Registry) -> None:
    headers = [(VALUE_SCHEMA_ID, b"\x01" + GUID.bytes)]
    assert [client.unframe(PAYLOAD, headers) for _ in range(2)] == [PAYLOAD] * 2
    assert registry.requests == [f"/schemas/guids/{GUID}"]


@pytest.mark.parametrize(("schema_id", "kind"), [(43, "AVRO"), (44, "PROTOBUF")])
def test_a_schema_of_another_type_is_named(client: RegistryClient, schema_id: int, kind: str) -> None:
    with pytest.raises(UnsupportedSchema, match=f"schema id {schema_id} is of type {kind}; only JSON is read"):
        client.unframe(framed(schema_id))


def test_an_incomplete_frame_is_refused_and_nobody_is_asked(client: RegistryClient, registry: Registry) -> None:
    with pytest.raises(IncompleteFrame):
        client.unframe(b"\x00\x00")
    assert registry.requests == []


def test_an_unknown_id_is_remembered_for_a_while(client: RegistryClient, registry: Registry, clock: SetClock) -> None:
    for _ in range(3):
        with pytest.raises(UnknownSchema, match="schema id 7 is not in the registry"):
            client.unframe(framed(7))
    assert registry.requests == ["/schemas/ids/7"]
    registry.answers["/schemas/ids/7"] = registry.answers["/schemas/ids/42"]
    clock.now += UNKNOWN_FOR_SECONDS + 1
    assert client.unframe(framed(7)) == PAYLOAD


def test_an_unknown_guid_is_a_reason_for_a_dead_letter(client: RegistryClient) -> None:
    with pytest.raises(UnknownSchema, match="schema GUID 0000"):
        client.unframe(PAYLOAD, [(VALUE_SCHEMA_ID, b"\x01" + bytes(16))])


def test_an_id_that_no_registry_can_have_is_unknown_without_asking(client: RegistryClient, registry: Registry) -> None:
    with pytest.raises(UnknownSchema):
        client.unframe(framed(2**31))
    assert registry.requests == []


def test_memory_for_unknown_ids_is_bounded(
    client: RegistryClient, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.registry.client.UNKNOWN_REMEMBERED", 2)
    for schema_id in (1, 2, 3, 3, 2, 1):
        with pytest.raises(UnknownSchema):
            client.unframe(framed(schema_id))
    assert registry.requests == [f"/schemas/ids/{one}" for one in (1, 2, 3, 1)]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_registry_in_trouble_is_unavailable_and_asked_again_later(
    client: RegistryClient, registry: Registry, status: int
) -> None:
    registry.every = (status, {"error_code": 50001, "message": "Error in the backend data store"})
    with pytest.raises(RegistryUnavailable, match=rf"registry\.url http://127.*answered HTTP {status}.*schema id 42"):
        client.unframe(framed(42))
    registry.every = None
    assert client.unframe(framed(42)) == PAYLOAD


def test_a_registry_that_is_down_is_unavailable() -> None:
    client = RegistryClient(f"http://127.0.0.1:{free_port()}", timeout=0.5)
    with pytest.raises(RegistryUnavailable, match=r"registry\.url .* does not answer"):
        client.unframe(framed(42))
    client.close()


def test_a_wrong_password_names_the_options_and_not_the_password(registry: Registry) -> None:
    registry.login = ("app", "right")
    client = RegistryClient(registry.url, "app", "secret-but-wrong")
    with pytest.raises(RegistryRefused, match=r"HTTP 401: check registry\.username and registry\.password") as caught:
        client.unframe(framed(42))
    assert "secret" not in str(caught.value)
    client.close()


def test_the_right_password_is_let_in(registry: Registry) -> None:
    registry.login = ("app", "right")
    client = RegistryClient(registry.url, "app", "right")
    assert client.unframe(framed(42)) == PAYLOAD
    client.close()


def test_a_password_in_the_url_is_not_shown(registry: Registry) -> None:
    registry.every = (503, {})
    client = RegistryClient(registry.url.replace("//", "//app:hidden@"))
    with pytest.raises(RegistryUnavailable) as caught:
        client.unframe(framed(42))
    assert "hidden" not in str(caught.value)
    client.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, "<h1>not here</h1>"), id="404 of something else"),
        pytest.param((404, {"error_code": 404, "message": "HTTP 404 Not Found"}), id="404 without the registry's code"),
        pytest.param((200, "<h1>welcome</h1>"), id="a web page"),
        pytest.param((200, "[]"), id="JSON of another shape"),
        pytest.param((302, ""), id="a redirect"),
    ],
)
def test_an_address_that_is_no_registry_is_no_reason_for_dead_letters(
    client: RegistryClient, registry: Registry, answer: tuple[int, Any]
) -> None:
    registry.every = answer
    with pytest.raises(RegistryRefused, match=r"registry\.url"):
        client.unframe(framed(42))


def test_without_a_url_framed_values_are_refused_and_others_pass() -> None:
    unframe = unframer("")
    assert unframe(PAYLOAD, ()) == PAYLOAD
    with pytest.raises(RegistryNotConfigured, match=r"registry\.url"):
        unframe(framed(42), ())


def test_with_a_url_framed_values_are_looked_up(registry: Registry) -> None:
    assert unframer(registry.url)(framed(42), ()) == PAYLOAD


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_registry(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("confluent_kafka.schema_registry"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_registry)
    with pytest.raises(ImportError, match=r"travelos-streams\[registry\]"):
        RegistryClient("http://127.0.0.1:1")


def test_what_is_wrong_with_a_record_and_with_the_registry_are_different_errors() -> None:
    assert not issubclass(RegistryError, ValueError)
    assert not issubclass(UnknownSchema, RegistryError)
