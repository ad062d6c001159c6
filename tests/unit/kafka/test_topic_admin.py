"""What a source does with a cluster that goes away while it creates topics."""

from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

from connectors.cdc.created_topics import CreatedTopics
from connectors.cdc.errors import Disconnected, KafkaRefused
from connectors.kafka import admin
from connectors.kafka.admin import TopicAdmin
from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from connectors.kafka.topics import Create
from schemas.topic import Topic
from schemas.topics import Catalogue

TOPIC = Catalogue().changes_of("public.users")
KAFKA = Connection(bootstrap="127.0.0.1:1")


class Cluster:
    """The driver's client of a cluster of one broker that refuses every topic for one reason."""

    def __init__(self, refusal: int) -> None:
        self._refusal = refusal

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> SimpleNamespace:
        return SimpleNamespace(controller_id=1, brokers={1: None}, topics={})

    def create_topics(self, new: Sequence[NewTopic], request_timeout: float) -> dict[str, Future[None]]:
        answers: dict[str, Future[None]] = {one.topic: Future() for one in new}
        for answer in answers.values():
            answer.set_exception(KafkaException(KafkaError(self._refusal)))
        return answers

    def poll(self, timeout: float) -> int:
        return 0


def cluster_that_says(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def client(*_: object, **__: object) -> Cluster:
        return Cluster(code)

    monkeypatch.setattr(admin, "AdminClient", client)


def create(topics: Sequence[Topic]) -> None:
    TopicAdmin(KAFKA, timeout=1.0).apply([Create(topic) for topic in topics])


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._DESTROY_BROKER,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.BROKER_NOT_AVAILABLE,
    ],
)
def test_a_broker_that_is_killed_while_a_topic_is_created_is_waited_for(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster_that_says(code, monkeypatch)
    with pytest.raises(KafkaUnavailable, match="does not answer"):
        create([TOPIC])
    with pytest.raises(Disconnected):
        CreatedTopics(KAFKA, create).ensure([TOPIC])


@pytest.mark.parametrize(
    "code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG]
)
def test_a_topic_that_is_refused_ends_the_source_with_the_reason(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_that_says(code, monkeypatch)
    with pytest.raises(TopicsError, match=TOPIC.name):
        create([TOPIC])
    with pytest.raises(KafkaRefused):
        CreatedTopics(KAFKA, create).ensure([TOPIC])
