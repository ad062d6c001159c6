"""A server that takes no time: it listens on its port, and that is all."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from deploy.local.process import ServerFailed
from deploy.local.server import Server
from deploy.local.servers import LocalServers

LISTEN = """
import socket, sys, time
print("listening soon", flush=True)
if sys.argv[2] == "crash":
    sys.exit("cannot read the configuration")
if sys.argv[2] == "hang":
    time.sleep(60)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""


class Listener(Server):
    """Answers once it listens. A file `behaviour` in its folder says "crash" or "hang" instead."""

    name = "listener"
    default_port = free_port()

    @classmethod
    def install(cls) -> Path:
        return Path(sys.executable).parent

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"tcp://user:{self.secret()}@{self.address}"

    def launch(self) -> None:
        behaviour = self.folder / "behaviour"
        word = behaviour.read_text() if behaviour.exists() else "listen"
        self.process.spawn([sys.executable, "-S", "-E", "-c", LISTEN, str(self.port), word])

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class Second(Listener):
    """Another one."""

    name = "second"
    default_port = free_port()


class Broken(Listener):
    """Cannot be installed."""

    name = "broken"

    @classmethod
    def install(cls) -> Path:
        raise ServerFailed("broken needs `mvn`: install it and put it on the PATH")


KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (Listener, Second, Broken)}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[LocalServers]:
    """The servers of a folder; stopped at the end."""
    servers = LocalServers(tmp_path / "local", KINDS)
    yield servers
    for name in KINDS:
        servers.server(name).kill()
