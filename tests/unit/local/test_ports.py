import socket
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.ports import NoFreePort, free_port, port_is_free


def test_a_port_is_none_of_those_that_outgoing_connections_are_given() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert all(not first <= free_port() <= last for _ in range(100))


def test_a_port_that_is_taken_is_not_free_and_not_given() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
        server.listen()
        assert not port_is_free(server.getsockname()[1])


@pytest.mark.parametrize("first", ["1024", "10500"])
def test_where_outgoing_connections_are_given_nearly_all_any_will_do(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(f"{first}\t65535\n")
    monkeypatch.setattr(ports, "_OUTGOING", tmp_path / "range")
    assert port_is_free(free_port())


def test_a_port_that_was_chosen_before_is_not_given_again_though_nobody_listens_there_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = [ports.LOWEST + 1, ports.LOWEST + 2]
    drawn = iter([1, 2, 1, 3])

    def next_drawn(_below: int) -> int:
        return next(drawn)

    def free(_port: int) -> bool:
        return True

    monkeypatch.setattr(ports.secrets, "randbelow", next_drawn)
    monkeypatch.setattr(ports, "port_is_free", free)
    assert free_port(beside=chosen) == ports.LOWEST + 3


def test_where_all_are_taken_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(port: int) -> bool:
        return port < 0

    monkeypatch.setattr(ports, "port_is_free", taken)
    with pytest.raises(NoFreePort, match="no port from 10000 to"):
        free_port()
