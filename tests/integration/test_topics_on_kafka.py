"""Topics on a real broker, on a broker with authentication and authorization, and on librdkafka's in-memory cluster."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

import deploy.local.kafka.server
from connectors.kafka.admin import TopicAdmin, ensure_topics
from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from connectors.kafka.topics import Alter, Create, Mismatch
from deploy.local.kafka import KafkaServer, MemoryKafka
from deploy.local.ports import free_port
from schemas.topics import DAY_MS, Catalogue, Topic

pytestmark = pytest.mark.integration

SECURED = """
listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{sasl_port},CONTROLLER://127.0.0.1:{{controller_port}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_reader="right";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


@pytest.fixture
def kafka(kafka_server: KafkaServer) -> Connection:
    return Connection(bootstrap=kafka_server.bootstrap)


@pytest.fixture
def memory() -> Iterator[Connection]:
    cluster = MemoryKafka()
    cluster.start()
    try:
        yield Connection(bootstrap=cluster.bootstrap)
    finally:
        cluster.stop()


@pytest.fixture
def secured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_server: Callable[[KafkaServer], KafkaServer]
) -> Iterator[int]:
    """A broker whose second listener asks for a password and allows its user nothing; yields that listener's port."""
    here = deploy.local.kafka.server.HERE
    plain = [line for line in (here / "server.properties").read_text().splitlines() if "listeners=" not in line]
    port = free_port()
    (tmp_path / "server.properties").write_text("\n".join(plain) + SECURED.format(sasl_port=port))
    monkeypatch.setattr(deploy.local.kafka.server, "HERE", tmp_path)
    server = start_server(KafkaServer(tmp_path / "kafka"))
    try:
        yield port
    finally:
        server.stop()


def topic(name: str, *, partitions: int = 4, retention_ms: int = DAY_MS) -> Topic:
    return Topic(
        name=name,
        key="id",
        value="Event",
        owner="test",
        purpose="test",
        partitions=partitions,
        retention_ms=retention_ms,
    )


def leaders(connection: Connection, names: set[str]) -> set[int]:
    metadata = AdminClient({**connection.client()}).list_topics(timeout=10)
    return {partition.leader for name in names for partition in metadata.topics[name].partitions.values()}


def test_a_whole_catalogue_is_created_with_its_settings_and_can_be_used_at_once(kafka: Connection) -> None:
    catalogue = list(Catalogue(prefix="whole.", partitions=3))
    created = ensure_topics(kafka, catalogue)
    assert created == catalogue
    assert leaders(kafka, {one.name for one in catalogue}) == {1}
    assert TopicAdmin(kafka).plan(catalogue) == []


def test_creating_again_changes_nothing(kafka: Connection) -> None:
    topics = [topic("again")]
    assert ensure_topics(kafka, topics) == topics
    assert ensure_topics(kafka, topics) == []


def test_a_topic_that_another_worker_creates_meanwhile_counts_as_created(kafka: Connection) -> None:
    topics = [topic("race")]
    steps = TopicAdmin(kafka).plan(topics)
    ensure_topics(kafka, topics)
    TopicAdmin(kafka).apply(steps)
    assert TopicAdmin(kafka).plan(topics) == []


def test_settings_that_differ_are_changed_by_apply_and_not_by_a_role_that_starts(kafka: Connection) -> None:
    ensure_topics(kafka, [topic("settings")])
    wanted = [topic("settings", retention_ms=2 * DAY_MS)]
    assert ensure_topics(kafka, wanted) == []
    admin = TopicAdmin(kafka)
    [step] = admin.plan(wanted)
    assert isinstance(step, Alter)
    assert str(step) == f"alter settings: retention.ms from {DAY_MS} to {2 * DAY_MS}"
    admin.apply([step])
    assert admin.plan(wanted) == []


def test_another_number_of_partitions_is_reported_and_never_changed(kafka: Connection) -> None:
    ensure_topics(kafka, [topic("partitions", partitions=2)])
    wanted = [topic("partitions", partitions=4)]
    with pytest.raises(
        TopicsError, match=r"`partitions` has 2 partitions, the catalogue says 4.*kafka\.partitions = 2"
    ):
        ensure_topics(kafka, wanted)
    admin = TopicAdmin(kafka)
    admin.apply(admin.plan(wanted))
    [step] = admin.plan(wanted)
    assert isinstance(step, Mismatch)


def test_too_high_a_replication_factor_names_the_option_and_the_topic(kafka: Connection) -> None:
    with pytest.raises(TopicsError, match=r"topic `replicated`: kafka\.replication = 3 does not suit the cluster"):
        ensure_topics(kafka, [topic("replicated")], replication=3)


def test_a_name_that_no_topic_may_have_is_refused_with_the_brokers_reason(kafka: Connection) -> None:
    with pytest.raises(TopicsError, match=r"topic `no good`: .*invalid"):
        ensure_topics(kafka, [topic("no good")])


def test_on_the_in_memory_cluster_topics_appear_when_asked_for(memory: Connection) -> None:
    catalogue = list(Catalogue())
    assert ensure_topics(memory, catalogue) == catalogue
    assert leaders(memory, {one.name for one in catalogue}) == {1}
    assert ensure_topics(memory, catalogue) == []


def test_the_in_memory_cluster_says_that_it_has_only_four_partitions(memory: Connection) -> None:
    admin = TopicAdmin(memory)
    topics = [topic("eight", partitions=8)]
    assert admin.plan(topics) == [Create(topics[0])]
    with pytest.raises(TopicsError, match=r"`eight` has 4 partitions, the catalogue says 8.*kafka\.partitions = 4"):
        ensure_topics(memory, topics)


def test_a_cluster_that_does_not_answer_names_the_option() -> None:
    nowhere = Connection(bootstrap=f"127.0.0.1:{free_port()}")
    with pytest.raises(KafkaUnavailable, match=r"kafka\.bootstrap 127\.0\.0\.1:\d+ does not answer"):
        ensure_topics(nowhere, [topic("unreachable")], timeout=0.5)


def test_a_missing_user_names_what_is_missing() -> None:
    connection = Connection(bootstrap="127.0.0.1:9", security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN")
    with pytest.raises(KafkaUnavailable, match=r"sasl\.username and sasl\.password must be set"):
        ensure_topics(connection, [topic("nobody")], timeout=0.5)


def test_a_wrong_password_and_a_missing_grant_are_told_apart_and_name_the_fix(secured: int) -> None:
    def login(password: str) -> Connection:
        return Connection(
            bootstrap=f"127.0.0.1:{secured}",
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            username="reader",
            password=password,
        )

    with pytest.raises(KafkaUnavailable, match=r"refuses kafka\.username and kafka\.password") as refused:
        ensure_topics(login("wrong"), [topic("forbidden")], timeout=3)
    assert "wrong" not in str(refused.value)
    with pytest.raises(TopicsError, match=r"topic `forbidden`: .*grant CREATE.*kafka\.create_topics = false"):
        ensure_topics(login("right"), [topic("forbidden")])
