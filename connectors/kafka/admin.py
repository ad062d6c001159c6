# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateImportUsage=false
"""Create and change topics on a cluster, and wait until they can be used."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    TopicMetadata,
)

from connectors.kafka.connection import Connection
from connectors.kafka.errors import NO_ANSWER, NOT_ALLOWED, REFUSED, KafkaUnavailable, TopicsError, error_of, explained
from connectors.kafka.topics import Alter, Create, Existing, Mismatch, Step, plan
from schemas.topics import Topic

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05
REQUEST_SECONDS = 15.0
ATTEMPT_SECONDS = 2.0  # of one try to reach a broker, so that a refused password is told before the whole timeout


class TopicAdmin:
    """The topics of one cluster. The constructor does no I/O.

    librdkafka's in-memory cluster cannot create topics: it names a controller that is none of its brokers, and a topic
    appears with 4 partitions when its metadata is asked for. On such a cluster that is how topics are created.

    Args:
        connection: how to reach the cluster.
        replication: replication factor of topics that are created.
        timeout: seconds to wait for the cluster, and for topics to become usable.
    """

    def __init__(self, connection: Connection, *, replication: int = 1, timeout: float = 30.0) -> None:
        self._connection = connection
        self._replication = replication
        self._timeout = timeout
        self._client: AdminClient | None = None
        self._refusal: KafkaError | None = None

    def existing(self, topics: Iterable[Topic]) -> dict[str, Existing]:
        """Return those of the topics that the cluster has.

        Raises:
            KafkaUnavailable: the cluster does not answer.
        """
        names = {topic.name for topic in topics}
        metadata = self._metadata()
        found = {name: one for name, one in metadata.topics.items() if name in names and one.error is None}
        configs = self._configs(sorted(found)) if _can_administer(metadata) else {}
        return {name: _existing(one, configs.get(name)) for name, one in found.items()}

    def plan(self, topics: Iterable[Topic]) -> list[Step]:
        """Return what has to be done so that the cluster has the topics.

        Raises:
            KafkaUnavailable: the cluster does not answer.
        """
        topics = list(topics)
        return plan(topics, self.existing(topics))

    def apply(self, steps: Sequence[Step]) -> None:
        """Create and alter, and return when every topic of the steps can be used. A mismatch is left as it is.

        A topic that somebody else has created meanwhile counts as created.

        Raises:
            TopicsError: a topic cannot be created or altered, or is not usable in time.
            KafkaUnavailable: the cluster does not answer.
        """
        creates = [step.topic for step in steps if isinstance(step, Create)]
        alters = [step for step in steps if isinstance(step, Alter)]
        if creates and _can_administer(self._metadata()):
            self._create(creates)
        else:
            for topic in creates:
                self._metadata(topic.name)
        if alters:
            self._alter(alters)
        self.wait_until_usable([*creates, *(step.topic for step in alters)])

    def wait_until_usable(self, topics: Sequence[Topic]) -> None:
        """Return once the topics are there, with the catalogue's settings and a leader for each partition.

        Raises:
            TopicsError: they are not within the timeout.
            KafkaUnavailable: the cluster does not answer.
        """
        deadline = time.monotonic() + self._timeout
        while pending := self._pending(topics):
            if time.monotonic() > deadline:
                raise TopicsError(f"not usable within {self._timeout:.0f} s: {', '.join(pending)}")
            time.sleep(POLL_SECONDS)  # between two looks; the condition above decides

    def _pending(self, topics: Sequence[Topic]) -> list[str]:
        existing = self.existing(topics) if topics else {}
        leaderless = {name for name, found in existing.items() if found.leaderless}
        unfinished = {step.topic.name for step in plan(topics, existing) if not isinstance(step, Mismatch)}
        return sorted(leaderless | unfinished)

    def _create(self, topics: Sequence[Topic]) -> None:
        new = [NewTopic(one.name, one.partitions, self._replication, config=one.config) for one in topics]
        self._await(self._admin().create_topics(new, request_timeout=REQUEST_SECONDS))
        log.info("topics_created", topics=[topic.name for topic in topics])

    def _alter(self, alters: Sequence[Alter]) -> None:
        resources: list[ConfigResource] = []
        for step in alters:
            entries = [
                ConfigEntry(one.name, one.new, incremental_operation=AlterConfigOpType.SET) for one in step.settings
            ]
            resources.append(ConfigResource(ConfigResource.Type.TOPIC, step.topic.name, incremental_configs=entries))
        futures = self._admin().incremental_alter_configs(resources, request_timeout=REQUEST_SECONDS)
        self._await({resource.name: future for resource, future in futures.items()})
        log.info("topics_altered", topics=[step.topic.name for step in alters])

    def _configs(self, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        if not resources:
            return {}
        found: dict[str, Mapping[str, str]] = {}
        for resource, future in self._admin().describe_configs(resources, request_timeout=REQUEST_SECONDS).items():
            try:
                entries: Mapping[str, ConfigEntry] = future.result()
            except KafkaException as error:
                if error_of(error).code() not in NOT_ALLOWED:
                    raise self._translated(resource.name, error) from error
                # Whoever may only read and write can still run; the settings are then somebody else's care.
                log.warning("topic_settings_unreadable", topic=resource.name, reason=error_of(error).str())
            else:
                found[resource.name] = {name: entry.value or "" for name, entry in entries.items()}
        return found

    def _await(self, futures: Mapping[str, Future[Any]]) -> None:
        problems: list[str] = []
        for topic, future in futures.items():
            try:
                future.result()
            except KafkaException as error:
                if error_of(error).code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                translated = self._translated(topic, error)
                if isinstance(translated, KafkaUnavailable):
                    raise translated from error
                problems.append(str(translated))
        if problems:
            raise TopicsError("\n".join(problems))

    def _admin(self) -> AdminClient:
        if self._client is None:
            try:
                self._client = AdminClient({**self._connection.client(), "log_level": 0}, error_cb=self._on_error)
            except KafkaException as error:
                raise KafkaUnavailable(f"the kafka options do not fit together: {error_of(error).str()}") from error
        return self._client

    def _metadata(self, topic: str | None = None) -> ClusterMetadata:
        """Return the metadata of the cluster or of one topic, as soon as there is a controller."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                metadata = self._admin().list_topics(topic, timeout=min(ATTEMPT_SECONDS, self._timeout))
                failure = KafkaUnavailable(f"the cluster at {self._connection.bootstrap} has no controller")
            except KafkaException as error:
                failure = self._translated(topic or "", error)
                if self._refusal is not None or not isinstance(failure, KafkaUnavailable):
                    raise failure from error  # waiting does not help
            else:
                if metadata.controller_id != -1:
                    return metadata
            if time.monotonic() > deadline:
                raise failure
            time.sleep(POLL_SECONDS)  # between two attempts; the condition above decides

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in REFUSED:
            self._refusal = error

    def _translated(self, topic: str, exception: KafkaException) -> TopicsError | KafkaUnavailable:
        error = error_of(exception)
        if error.code() not in NO_ANSWER:
            return TopicsError(explained(topic, error, self._replication))
        self._admin().poll(0)  # runs `_on_error`, which may know why
        bootstrap = self._connection.bootstrap
        if self._refusal is not None:
            return KafkaUnavailable(f"{bootstrap} refuses kafka.username and kafka.password: {self._refusal.str()}")
        return KafkaUnavailable(f"kafka.bootstrap {bootstrap} does not answer: {error.str()}")


def ensure_topics(
    connection: Connection, topics: Iterable[Topic], *, replication: int = 1, timeout: float = 30.0
) -> list[Topic]:
    """Create the topics that are missing, wait until all can be used, and return the created ones.

    Settings that differ are logged and left alone: `travelos topics apply` changes them. Only a topic whose records
    turn out to have no key is altered at once, because as a compacted one it would refuse them.

    Raises:
        TopicsError: a topic cannot be created, or has another number of partitions.
        KafkaUnavailable: the cluster does not answer.
    """
    topics = list(topics)
    admin = TopicAdmin(connection, replication=replication, timeout=timeout)
    steps = admin.plan(topics)
    creates = [step for step in steps if isinstance(step, Create)]
    keyless = [step for step in steps if isinstance(step, Alter) and _has_to_be_whole(step)]
    admin.apply([*creates, *keyless])
    steps = admin.plan(topics)
    for step in steps:
        if isinstance(step, Alter):
            log.warning("topic_settings_differ", topic=step.topic.name, difference=str(step))
    mismatches = [str(step) for step in steps if isinstance(step, Mismatch)]
    if mismatches:
        raise TopicsError("\n".join(mismatches))
    return [step.topic for step in creates]


def _has_to_be_whole(step: Alter) -> bool:
    topic = step.topic
    is_compacted = any(setting.name == "cleanup.policy" for setting in step.settings)
    return topic.may_lack_keys and "compact" not in topic.cleanup and is_compacted


def _can_administer(metadata: ClusterMetadata) -> bool:
    return metadata.controller_id in metadata.brokers


def _existing(topic: TopicMetadata, config: Mapping[str, str] | None) -> Existing:
    partitions = topic.partitions.values()
    leaderless = sum(partition.leader == -1 for partition in partitions)
    return Existing(partitions=len(partitions), leaderless=leaderless, config=config)
