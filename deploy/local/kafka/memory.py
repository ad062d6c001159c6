"""librdkafka's in-memory cluster: a Kafka for demonstrations and tests that lives as long as this process.

It speaks the real protocol over TCP, groups included, so any client of any process can use it. What it lacks: no
CreateTopics (a topic appears with 4 partitions when first asked for), about 5 MB a partition are kept, nothing
outlives the process. Source: librdkafka's rdkafka_mock.h.
"""

from confluent_kafka import Producer

from deploy.local.process import ServerFailed


class MemoryKafka:
    """A cluster with one broker on a free port of the loopback interface."""

    partitions = 4

    def __init__(self) -> None:
        self._owner: Producer | None = None
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """The address clients connect to."""
        return self._bootstrap

    def start(self, timeout: float = 10) -> None:
        """Create the cluster.

        Raises:
            ServerFailed: it did not answer.
        """
        self._owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = list(self._owner.list_topics(timeout=timeout).brokers.values())
        if not brokers:
            raise ServerFailed("the in-memory Kafka cluster did not answer")
        self._bootstrap = f"{brokers[0].host}:{brokers[0].port}"

    def stop(self) -> None:
        """Drop the cluster with everything in it."""
        self._owner = None
        self._bootstrap = ""
