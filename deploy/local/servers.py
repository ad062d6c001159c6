"""The servers by name, and those of one folder as a set that outlives the process that started it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from deploy.local.elasticsearch import ElasticsearchServer
from deploy.local.influxdb import InfluxServer
from deploy.local.kafka import KafkaServer
from deploy.local.lock import exclusive
from deploy.local.neo4j import Neo4jServer
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerFailed, cache_folder
from deploy.local.redis import RedisServer
from deploy.local.s3 import S3Server
from deploy.local.server import Server

KINDS: Mapping[str, type[Server]] = {
    kind.name: kind
    for kind in (KafkaServer, PostgresServer, Neo4jServer, ElasticsearchServer, InfluxServer, S3Server, RedisServer)
}

# "died": it was started and ended without being asked to.
State = Literal["running", "not answering", "died", "stopped"]


def default_folder() -> Path:
    """Return where the servers of `travelos local` lie when no folder is named."""
    return cache_folder() / "local"


class Status(NamedTuple):
    """What is known of one server now."""

    name: str
    state: State
    address: str
    pid: int | None
    memory_mb: int | None
    started_at: str
    folder: str
    log: str


class _Start(NamedTuple):
    """What the state file says: how the server was started last."""

    port: int
    started_at: str


class LocalServers:
    """The servers of one folder, at most one of a kind.

    They belong to no process: each has a session of its own, and any object for the same folder finds them by their
    pid files. What happens to one server is done by one process at a time. Two folders share nothing but the ports,
    which `port_offset` shifts.
    """

    def __init__(self, folder: Path, kinds: Mapping[str, type[Server]] = KINDS) -> None:
        self.folder = folder.absolute()
        self._kinds = kinds

    def install(self, name: str) -> Path:
        """Fetch or build what a server needs, unless it is there, and return the folder of its programs.

        Raises:
            ServerFailed: something is missing or failed.
        """
        return self._kinds[name].install()

    def up(self, name: str, *, port_offset: int | None = None) -> bool:
        """Return once the server answers; False when it did so already.

        Args:
            name: which server.
            port_offset: added to the default port; by default the port of the last start.

        Raises:
            ServerFailed: it cannot be installed or did not come up, or it runs on another port than the one asked for.
        """
        kind = self._kinds[name]
        kind.require_driver()
        kind.install()  # takes minutes, and nobody need wait for it to stop a server
        with self._alone(name):
            last = self._last_start(name)
            wanted = kind.default_port + (port_offset or 0)
            if last is not None and port_offset is None:
                wanted = last.port
            server = self.server(name, port=wanted)
            if last is not None and server.process.pid is not None and self.server(name).answers():
                if last.port != wanted:
                    raise ServerFailed(f"{name} runs on port {last.port} already; stop it before it gets port {wanted}")
                return False
            self._write(name, _Start(port=wanted, started_at=datetime.now(UTC).isoformat(timespec="seconds")))
            server.start()
            return True

    def down(self, name: str, *, delete_data: bool = False) -> bool:
        """Stop a server and return once it is gone; False when none was running.

        Its data stay, unless they are to be deleted, with its log and credentials.
        """
        with self._alone(name):
            server = self.server(name)
            running = server.process.pid is not None
            server.stop()
            if delete_data:
                server.delete()
                self._state_file(name).unlink(missing_ok=True)
            return running

    def abandon(self, name: str) -> None:
        """End a server that another thread is starting; that thread's `up` fails."""
        self.server(name).kill()

    def started(self) -> Iterator[str]:
        """Yield the names of the servers that were ever started in this folder."""
        return (name for name in self._kinds if self._last_start(name) is not None)

    def status(self, name: str) -> Status:
        """Return the state of a server, asking it whether it answers."""
        server = self.server(name)
        last = self._last_start(name)
        return Status(
            name=name,
            state=self._state(server),
            address=server.address,
            pid=server.process.pid,
            memory_mb=server.process.memory_mb(),
            started_at=last.started_at if last is not None else "",
            folder=str(server.folder),
            log=str(server.process.log_file),
        )

    def server(self, name: str, *, port: int | None = None) -> Server:
        """Return the object of a server, by default for the port of its last start."""
        kind = self._kinds[name]
        last = self._last_start(name)
        return kind(self.folder / name, port=port or (kind.default_port if last is None else last.port))

    def _state(self, server: Server) -> State:
        if server.process.pid is None:
            return "died" if server.process.died else "stopped"
        server.require_driver()
        return "running" if server.answers() else "not answering"

    def _alone(self, name: str) -> AbstractContextManager[None]:
        return exclusive(self.folder / f"{name}.lock")

    def _state_file(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _last_start(self, name: str) -> _Start | None:
        try:
            return _Start(**json.loads(self._state_file(name).read_text()))
        except FileNotFoundError:
            return None

    def _write(self, name: str, start: _Start) -> None:
        file = self._state_file(name)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(start._asdict()))
        fresh.rename(file)  # a reader sees the old file or the new one
