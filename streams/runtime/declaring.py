# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false
"""Topics that Faust declares: changelogs, repartitioned streams, replies."""

from collections.abc import Mapping
from concurrent.futures import Future

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.connection import Connection
from connectors.kafka.errors import NOT_ALLOWED, error_of

log = structlog.get_logger(__name__)


class TopicNotCreated(RuntimeError):  # noqa: N818 - says what happened
    """A topic that Faust declares could not be created; the message names it and what to do."""


def declare_topic(
    connection: Connection,
    topic: str,
    *,
    partitions: int,
    replication: int,
    settings: Mapping[str, str],
    timeout: float,
    must_be_new: bool = False,
) -> None:
    """Create a topic unless it is there; blocks until it can be used.

    Raises:
        TopicNotCreated: it could not be created, or was there although it must be new.
    """
    admin = AdminClient({**connection.client(), "log_level": 0})
    try:
        # Looked up first: whoever may not create topics can still use those that are there.
        if topic in admin.list_topics(timeout=timeout).topics and not must_be_new:
            return
        new = NewTopic(topic, partitions, replication, config=dict(settings))
        created: Future[None] = admin.create_topics([new], operation_timeout=timeout, request_timeout=timeout)[topic]
        created.result()
    except KafkaException as exception:
        error = error_of(exception)
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS and not must_be_new:
            return
        raise TopicNotCreated(f"topic {topic}: {error.str()}; {_advice(error)}") from exception
    log.info("topic_created", topic=topic, partitions=partitions, settings=dict(settings))


def _advice(error: KafkaError) -> str:
    if error.code() in NOT_ALLOWED:
        return "grant CREATE to this worker's user, or create it yourself and set topic_allow_declare=False"
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
        return "set topic_replication_factor to what the cluster has brokers for"
    return "create it yourself, or see to it that the brokers can"
