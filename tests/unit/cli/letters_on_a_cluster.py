"""Dead letters on librdkafka's in-memory cluster, and the commands about them."""

import json
from typing import Any

from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from connectors.kafka.connection import Connection
from connectors.kafka.reading import StoredRecord, read_topics
from schemas.headers import VALUE_LEFT_OUT, Headers
from schemas.topics import Catalogue
from streams.cli import dlq
from streams.deadletters import dead_letter
from streams.runtime.publisher import Outgoing

CATALOGUE = Catalogue()
USER_EVENTS = CATALOGUE.user_events.name
GRAPH = CATALOGUE.writes("graph").name
UNPRINTABLE = b"\xff\x00"
HEADERS: Headers = (("ce_id", b"1"), ("tag", b"one"), ("tag", None), ("tag", UNPRINTABLE))


class BriskConsumer(Consumer):
    """Does not wait for more than there is."""

    patience = 10.0

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__({**config, "fetch.wait.max.ms": 10})

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        return super().consume(num_messages, min(timeout, 0.02))

    def list_topics(self, *args: Any, timeout: float = -1, **others: Any) -> Any:
        return super().list_topics(*args, timeout=min(timeout, self.patience), **others)


class Cluster:
    """Some dead letters, at the positions 0:0, 0:1, ... of their topic."""

    def __init__(self, bootstrap: str) -> None:
        self.connection = Connection(bootstrap=bootstrap)

    def holds(self, *letters: Outgoing) -> None:
        """Put dead letters into the first partition of their topic."""
        admin = AdminClient(dict(self.connection.client()))
        for topic in (CATALOGUE.dead_letters.name, CATALOGUE.letter_actions.name, USER_EVENTS, GRAPH):
            admin.list_topics(topic)  # which is how a topic is created on this cluster
        producer = Producer({**self.connection.client(), "linger.ms": 0})
        for number, one in enumerate(letters, start=1):
            headers: list[tuple[str, str | bytes | None]] = list(one.headers)
            producer.produce(one.topic, one.value, one.key, headers=headers, partition=0, timestamp=number)
        assert producer.flush(10) == 0

    def put(self, topic: str, key: str, value: bytes) -> None:
        """Put a record into another topic."""
        AdminClient(dict(self.connection.client())).list_topics(topic)
        producer = Producer({**self.connection.client(), "linger.ms": 0})
        producer.produce(topic, value, key, partition=0)
        assert producer.flush(10) == 0

    def records(self, topic: str) -> list[StoredRecord]:
        return read_topics(self.connection, [topic])

    def run(self, *arguments: str) -> Result:
        return run(*arguments, KAFKA_BOOTSTRAP=self.connection.bootstrap)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


def run(*arguments: str, **environ: str) -> Result:
    variables = {f"TRAVELOS_{name}": value for name, value in environ.items()}
    return CliRunner().invoke(dlq.app, list(arguments), env=variables)


def letter(
    message: str = "no `lat`",
    *,
    topic: str = USER_EVENTS,
    store: str | None = None,
    key: bytes | None = b"u1",
    value: bytes | None = b'{"a":1}',
    headers: Headers = HEADERS,
    offset: int = 7,
) -> Outgoing:
    record = StoredRecord(topic=topic, partition=3, offset=offset, timestamp=0, key=key, value=value, headers=headers)
    component, stage = ("ingest", "decode") if store is None else (f"deliver.{store}", "write")
    return dead_letter(
        CATALOGUE, record, component=component, stage=stage, error=ValueError(message), store=store, attempts=2
    )


def without_value(one: Outgoing) -> Outgoing:
    return Outgoing(one.topic, one.key, None, (*one.headers, (VALUE_LEFT_OUT, b"12000000")))
