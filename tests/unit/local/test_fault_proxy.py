"""What the proxy does to a connection is what its name says."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.local.proxy import LATENCY_SECONDS, FaultProxy

REQUEST = b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that answers with what it is told."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(65_536):
                    client.sendall(data)
            except OSError:
                return  # the proxy has reset it

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", echo) as proxy:
        yield proxy


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ask(client: socket.socket, data: bytes = b"hello") -> bytes:
    client.sendall(data)
    return client.recv(65_536)


def test_without_a_fault_everything_passes(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        assert [ask(client, text) for text in (b"one", b"two")] == [b"one", b"two"]
    assert proxy.hits == 0


def test_latency_delays_and_changes_nothing(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        proxy.set("latency")
        began = time.monotonic()
        assert ask(client) == b"hello"
        assert time.monotonic() - began > 2 * LATENCY_SECONDS[0]
    assert proxy.hits == 2


def test_a_reset_comes_in_the_middle_of_a_response(proxy: FaultProxy) -> None:
    proxy.set("reset")
    with connect(proxy) as client:
        client.sendall(b"0123456789")
        received: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            received.extend(iter(lambda: client.recv(65_536), b""))
    assert b"".join(received) in (b"", b"01234")  # a reset may overtake what came before it


def test_a_half_open_connection_stays_so_and_a_new_one_is_well_when_the_fault_is_over(proxy: FaultProxy) -> None:
    with connect(proxy) as client:
        assert ask(client) == b"hello"
        proxy.set("half-open")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            ask(client)
        proxy.set("none")
        with pytest.raises(TimeoutError):
            ask(client)
        with connect(proxy) as another:
            assert ask(another) == b"hello"


def test_a_storm_answers_requests_of_http_and_leaves_other_protocols_alone(proxy: FaultProxy) -> None:
    proxy.set("storm")
    with connect(proxy) as client:
        assert ask(client, b"not http") == b"not http"
    with connect(proxy) as client:
        status = ask(client, REQUEST).split(b"\r\n")
        assert status[0] in (b"HTTP/1.1 429 Too Many Requests", b"HTTP/1.1 503 Service Unavailable")
        assert b"Retry-After: 1" in status
    assert proxy.hits == 1
