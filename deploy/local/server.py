"""What all servers have in common."""

import secrets
import shutil
import signal
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from deploy.local.ports import free_port, port_is_free
from deploy.local.process import ServerFailed, ServerProcess


class MissingDriver(ServerFailed, ImportError):  # noqa: N818 - reads as a statement
    """The Python client of a server is not installed; the message names the extra."""


class Server(ABC):
    """A server of one kind whose data, log and credentials lie in `folder`, on a port of the loopback interface.

    The constructor does no I/O. A second start finds the data of the first. An object finds the process of an earlier
    one, of this or another process, by the pid file in `folder`.
    """

    name: ClassVar[str]
    default_port: ClassVar[int]
    driver: ClassVar[str | None] = None  # the module of the Python client; in the extra named like the server
    secret_names: ClassVar[tuple[str, ...]] = ("password",)  # files in `folder`, see `secret`
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.process = ServerProcess(self.name, self.folder)

    @classmethod
    @abstractmethod
    def install(cls) -> Path:
        """Return the folder of the programs; the first time they are fetched or built.

        Raises:
            ServerFailed: something it needs is missing, or it failed; the message says what to do.
        """

    @classmethod
    def require_driver(cls) -> None:
        """Return when the Python client is installed.

        Raises:
            MissingDriver: it is not.
        """
        if cls.driver is not None and find_spec(cls.driver) is None:
            raise MissingDriver(f"{cls.name} needs its Python client: pip install 'travelos-streams[{cls.name}]'")

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients connect to, without credentials."""

    @property
    def url(self) -> str:
        """Where clients connect to, with credentials; to be kept out of logs and tables, see `masked`."""
        return self.address

    @abstractmethod
    def launch(self) -> None:
        """Prepare `folder` and start the process."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server answers a call of its own client, with its credentials."""

    def start(self, timeout: float = 300) -> None:
        """Start the server and return once it answers. A running one is stopped first.

        Raises:
            ServerFailed: it cannot be installed, its port is taken, or it did not answer in time; nothing runs then.
        """
        self.require_driver()
        self.install()
        self.stop()
        # Else ours would fail to listen, and the other one might answer in its place.
        if not port_is_free(self.port):
            raise ServerFailed(
                f"{self.name} cannot listen on 127.0.0.1:{self.port}: another program does; "
                "stop that one, or choose other ports (`travelos local up --port-offset`)"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.launch()
            self.process.wait_until(self.answers, timeout)
        except BaseException:  # Ctrl-C as well
            self.process.stop(stop_signal=self.kill_signal)
            raise

    def stop(self) -> None:
        """Shut down in order."""
        self.process.stop(stop_signal=self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would, and wait until it is gone."""
        self.process.stop(stop_signal=self.kill_signal)

    def delete(self) -> None:
        """Stop the server and delete its folder: data, log and credentials."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def secret(self, name: str = "password") -> str:
        """Return a random secret that is made once and kept in `<folder>/<name>`, readable by the owner only."""
        path = self.folder / name
        try:
            return path.read_text()
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{name}.new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(24))  # letters and digits: needs no quoting in any URL or file
        fresh.rename(path)
        return path.read_text()

    def masked(self, text: str) -> str:
        """Return a text without this server's secrets."""
        for name in self.secret_names:
            text = text.replace(self.secret(name), "********")
        return text
