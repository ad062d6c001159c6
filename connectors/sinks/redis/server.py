# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Run scripts on a Redis, whichever way it is set up: one server, what sentinels name, or a cluster."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from connectors.sinks.errors import Fatal
from connectors.sinks.redis.address import Address, BadAddress, address_of
from connectors.sinks.redis.errors import MOVING, OPTION
from connectors.sinks.redis.options import RedisOptions
from connectors.sinks.redis.pipeline import Job, run

_SCANNED_AT_ONCE = 1_000


class Server(ABC):
    """A connection to one Redis, whatever it consists of. Every method may raise what the client raises."""

    one_slot = False  # whether keys of a job have to lie in one slot

    @abstractmethod
    def slot(self, key: str) -> int:
        """Return the slot of a key; jobs are made of keys of one."""

    @abstractmethod
    def run(self, jobs: Iterable[Job]) -> list[Any]:
        """Run jobs, in order where they share a slot, and return their answers.

        A job that is refused by itself has the exception as its answer; its script has not begun.
        """

    @abstractmethod
    def hashes(self, pattern: str) -> dict[str, dict[bytes, bytes]]:
        """Return the hashes whose keys fit a pattern of SCAN; all keys are looked through, a few at a time."""

    @abstractmethod
    def information(self) -> dict[str, Any]:
        """Return what a server that takes our writes says of itself (INFO)."""

    @abstractmethod
    def primaries(self) -> list[Redis]:
        """Return a client of each server that takes our writes."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


class SingleServer(Server):
    """One server, or the primary that sentinels name."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def slot(self, key: str) -> int:  # noqa: ARG002 - all keys are in one
        """Return the same slot for all keys."""
        return 0

    def run(self, jobs: Iterable[Job]) -> list[Any]:
        """Run jobs over one connection, each sent as soon as it is made."""
        return run(self._client, jobs)

    def hashes(self, pattern: str) -> dict[str, dict[bytes, bytes]]:
        """Return the hashes whose keys fit a pattern."""
        return _hashes(self._client, pattern)

    def information(self) -> dict[str, Any]:
        """Return the server's INFO."""
        return dict(self._client.info())

    def primaries(self) -> list[Redis]:
        """Return the one client."""
        return [self._client]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class ClusterServer(Server):
    """A cluster: a pipeline for each node. After a redirection the map of slots is fetched anew."""

    one_slot = True

    def __init__(self, client: RedisCluster) -> None:
        self._client = client

    def slot(self, key: str) -> int:
        """Return the slot of a key."""
        return self._client.keyslot(key)

    def run(self, jobs: Iterable[Job]) -> list[Any]:
        """Run the jobs of each node over one connection, one node after the other."""
        jobs = list(jobs)
        nodes: defaultdict[str, list[int]] = defaultdict(list)
        for index, job in enumerate(jobs):
            slot = self.slot(job.keys[0]) if job.keys else 0
            nodes[self._client.nodes_manager.get_node_from_slot(slot).name].append(index)
        answers: dict[int, Any] = {}
        try:
            for name, indexes in nodes.items():
                node = self._client.get_node(node_name=name)
                assert node is not None
                connection = self._client.get_redis_connection(node)
                answers.update(zip(indexes, run(connection, [jobs[index] for index in indexes]), strict=True))
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            self._client.nodes_manager.initialize()
            raise
        if any(isinstance(answer, MOVING) for answer in answers.values()):
            self._client.nodes_manager.initialize()
        return [answers[index] for index in range(len(jobs))]

    def hashes(self, pattern: str) -> dict[str, dict[bytes, bytes]]:
        """Return the hashes whose keys fit a pattern, of all primaries."""
        found: dict[str, dict[bytes, bytes]] = {}
        for one in self.primaries():
            found |= _hashes(one, pattern)
        return found

    def information(self) -> dict[str, Any]:
        """Return the INFO of one primary."""
        return dict(self._client.info(target_nodes=self._client.get_primaries()[0]))

    def primaries(self) -> list[Redis]:
        """Return a client of each primary."""
        return [self._client.get_redis_connection(node) for node in self._client.get_primaries()]

    def close(self) -> None:
        """Close the connections to all nodes."""
        self._client.close()


def connect(options: RedisOptions) -> Server:
    """Return a server of the address; a cluster and sentinels are asked at once, one server with the first job.

    Raises:
        Fatal: the address cannot be read.
        RedisError: the cluster or the sentinels do not answer.
    """
    try:
        address = address_of(options.url)
    except BadAddress as error:
        raise Fatal(f"`{OPTION}.url`: {error}") from error
    common = _common(options, address)
    match address.kind:
        case "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]
            return ClusterServer(RedisCluster(startup_nodes=nodes, **common))
        case "sentinel":
            asking = {name: value for name, value in common.items() if name not in ("username", "password")}
            asking["password"] = options.sentinel_password or None
            sentinel = Sentinel(address.hosts, sentinel_kwargs=asking, **common)
            return SingleServer(sentinel.master_for(address.service, db=address.database))
        case "single" if address.path:
            common = {name: value for name, value in common.items() if not name.startswith("ssl")}
            return SingleServer(Redis(unix_socket_path=address.path, db=address.database, **common))
        case "single":
            [(host, port)] = address.hosts
            return SingleServer(Redis(host=host, port=port, db=address.database, **common))


def _common(options: RedisOptions, address: Address) -> dict[str, Any]:
    found: dict[str, Any] = {
        "username": address.username or options.username or None,
        "password": address.password or options.password or None,
        "socket_connect_timeout": options.connect_seconds,
        "socket_timeout": options.request_seconds,
        "socket_keepalive": True,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # whether a write may be repeated is for the framework to say
    }
    if address.tls:
        found |= {"ssl": True, "ssl_ca_certs": options.ca_file or None}
    return found


def _hashes(client: Redis, pattern: str) -> dict[str, dict[bytes, bytes]]:
    keys: list[bytes] = list(client.scan_iter(match=pattern, count=_SCANNED_AT_ONCE, _type="hash"))
    return {key.decode(): client.hgetall(key) for key in keys}  # pyright: ignore[reportReturnType] - no coroutine
