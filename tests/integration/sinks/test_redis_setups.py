# pyright: reportUnknownMemberType=false
"""The Redis sink on a cluster and behind sentinels."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from connectors.sinks.conformance import SinkConformance
from connectors.sinks.contract import APPLIED, SUPERSEDED, Held, Outcome, Rejected, Retry
from connectors.sinks.errors import Unavailable
from connectors.sinks.redis import RedisOptions, RedisSink
from connectors.sinks.redis.keys import Names
from deploy.local.ports import free_port
from deploy.local.redis import RedisServer
from schemas.writes import CacheWrite

pytestmark = pytest.mark.integration

PATIENCE = 60.0
PASSWORD = "of-them-all"
SLOTS = 16_384


class Node(RedisServer):
    """A server with settings of its own, and the password of all."""

    def __init__(self, folder: Path, settings: str, *arguments: str, port: int | None = None) -> None:
        super().__init__(folder, port=port)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "password").write_text(PASSWORD)
        self.settings = settings
        self.arguments = arguments

    def client(self) -> Any:
        return redis.Redis.from_url(self.url)


class Cluster:
    """Three primaries, each with a third of the slots."""

    def __init__(self, folder: Path) -> None:
        ports: list[int] = []
        for _ in range(6):
            ports.append(free_port(beside=ports))
        self.buses = ports[:3]
        settings = "cluster-enabled yes\ncluster-port {}\ncluster-node-timeout 2000\n"
        self.nodes = [
            Node(folder / f"node-{number}", settings.format(bus), port=ports[3 + number])
            for number, bus in enumerate(self.buses)
        ]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    def join(self) -> None:
        for number, node in enumerate(self.nodes):
            with node.client() as client:
                first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port, self.buses[0])
        wait_until(lambda: all(self.whole(node) for node in self.nodes))

    def whole(self, node: Node) -> bool:
        with node.client() as client:
            found = client.execute_command("CLUSTER INFO")
            return found["cluster_state"] == "ok" and found["cluster_known_nodes"] == "3"

    def delete(self) -> None:
        for node in self.nodes:
            node.delete()


def wait_until(condition: Callable[[], bool]) -> None:
    until = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < until, "the condition did not come true in time"


def write(key: str, version: int = 1, value: Any = 1, **given: Any) -> CacheWrite:
    fields: dict[str, Any] = {"entity": key, "source": "s", "event_id": "e", "key": key, "ttl_seconds": 3_600}
    fields["occurred_at"] = datetime(2026, 5, 1, tzinfo=UTC)
    fields |= {"version": version, "value": value, **given}
    return CacheWrite(**fields)


@pytest.fixture(scope="module")
def cluster(start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for node in cluster.nodes:
            start_server(node)
        cluster.join()
        yield cluster
    finally:
        cluster.delete()


class TestRedisCluster(SinkConformance[CacheWrite]):
    cluster: Cluster

    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @pytest.fixture
    def place(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a fixture of pytest
        return f"{uuid4().hex}:"

    def sink(self, place: str) -> RedisSink:
        return RedisSink(RedisOptions(url=self.cluster.url, prefix=place))

    def good(self, entity: str, version: int, source: str, content: int) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key=entity, value=[content], ttl_seconds=3_600)

    def bad(self, entity: str, version: int, source: str) -> CacheWrite:
        return CacheWrite(**self.common(entity, version, source), key="elsewhere", value=1)

    def content(self, place: str, entity: str) -> int | None:
        client = RedisCluster(host="127.0.0.1", port=self.cluster.nodes[0].port, password=PASSWORD)
        found: Any = client.get(Names(place).value(entity))
        client.close()
        return None if found is None else msgspec.json.decode(found, type=list[int])[0]


def test_writes_to_slots_that_move_are_taken_by_their_new_node(cluster: Cluster) -> None:
    sink = RedisSink(RedisOptions(url=cluster.url, prefix=f"{uuid4().hex}:"))
    sink.open()
    keys = [f"k{number}" for number in range(300)]
    assert sink.write([write(key) for key in keys]) == [APPLIED] * 300
    giving, taking = cluster.nodes[0], cluster.nodes[1]
    with giving.client() as source, taking.client() as target:
        sink_id = target.execute_command("CLUSTER MYID").decode()
        names: list[bytes] = source.execute_command("KEYS", "*")
        slots = {int(source.execute_command("CLUSTER KEYSLOT", name)) for name in names}
        for name in names:
            source.delete(name)  # that these are lost is what the next writes notice
        for slot in slots:
            for client in (source, target):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", sink_id)
    outcomes = sink.write([write(key, 2) for key in keys])
    again = [key for key, outcome in zip(keys, outcomes, strict=True) if isinstance(outcome, Retry)]
    assert again

    def taken() -> bool:  # the third node, which may be asked who has a slot, hears of it only by gossip
        outcomes = sink.write([write(key, 2) for key in again])
        again[:] = [key for key, outcome in zip(again, outcomes, strict=True) if isinstance(outcome, Retry)]
        return not again

    wait_until(taken)
    assert set(sink.held([(key, "s") for key in keys]).values()) == {Held(version=2)}
    sink.close()


def test_a_key_that_is_not_the_entity_is_rejected_in_a_cluster(cluster: Cluster) -> None:
    sink = RedisSink(RedisOptions(url=cluster.url, prefix=f"{uuid4().hex}:"))
    [outcome] = sink.write([write("k", entity="e")])
    assert isinstance(outcome, Rejected)
    assert "`key`" in outcome.reason
    sink.close()


def test_positions_are_indexed_in_a_cluster(cluster: Cluster) -> None:
    prefix = f"{uuid4().hex}:"
    sink = RedisSink(RedisOptions(url=cluster.url, prefix=prefix))
    sink.write([write(f"position:u{number}", value={"lat": 40.7, "lon": -74.0 + number / 100}) for number in range(9)])
    client = RedisCluster(host="127.0.0.1", port=cluster.nodes[2].port, password=PASSWORD)
    found: Any = client.geosearch(Names(prefix).positions[0], longitude=-74.0, latitude=40.7, radius=1, unit="km")
    client.close()
    assert found == [b"u0", b"u1"]
    sink.close()


def test_a_cluster_that_is_down_takes_nothing_until_it_is_whole_again(cluster: Cluster) -> None:
    prefix = f"{uuid4().hex}:"
    sink = RedisSink(RedisOptions(url=cluster.url, prefix=prefix))
    lost, left = cluster.nodes[0], cluster.nodes[2]
    keys = [key for key in map(str, range(30)) if key_slot(Names(prefix).versions(key).encode()) >= SLOTS * 2 // 3]
    assert sink.write([write(key) for key in keys]) == [APPLIED] * len(keys)
    lost.kill()
    try:
        with left.client() as client:
            wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "fail")
        # Of no write of it that is put off a number of times: nothing may be lost, however long that takes.
        with pytest.raises(Unavailable, match="The cluster is down"):
            sink.write([write(key, 2) for key in keys])
    finally:
        lost.start()
        wait_until(lambda: all(cluster.whole(node) for node in cluster.nodes))
    assert sink.write([write(key, 2) for key in keys]) == [APPLIED] * len(keys)
    sink.close()


@pytest.mark.slow
def test_after_a_failover_the_sink_writes_to_the_new_primary(
    start_server: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sentinel")
    login = f"masterauth {PASSWORD}\n"
    primary = start_server(Node(folder / "primary", login))
    replica = start_server(Node(folder / "replica", f"{login}replicaof 127.0.0.1 {primary.port}\n"))
    watched = (
        f"sentinel monitor travel 127.0.0.1 {primary.port} 1\nsentinel auth-pass travel {PASSWORD}\n"
        "sentinel down-after-milliseconds travel 500\nsentinel failover-timeout travel 3000\n"
    )
    sentinel = start_server(Node(folder / "sentinel", watched, "--sentinel"))
    url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:{sentinel.port}/travel"
    sink = RedisSink(RedisOptions(url=url, sentinel_password=PASSWORD, prefix="t:"))
    try:
        with sentinel.client() as client:  # sentinels learn of replicas from their primary, every ten seconds
            wait_until(lambda: len(client.execute_command("SENTINEL REPLICAS", "travel")) == 1)
        sink.open()
        assert sink.write([write("a"), write("b")]) == [APPLIED] * 2
        with replica.client() as client:
            wait_until(lambda: client.exists(*(Names("t:").value(key) for key in "ab")) == 2)
        primary.kill()
        outcomes: list[Outcome] = []
        until = monotonic() + PATIENCE
        while not outcomes and monotonic() < until:
            try:
                outcomes = sink.write([write("a"), write("b", 2)])
            except Unavailable:
                sink.close()
        assert outcomes == [SUPERSEDED, APPLIED]
    finally:
        sink.close()
        for server in (sentinel, replica, primary):
            server.delete()
