"""The topics that only the database can name: those of its tables, and those that rows of an outbox are routed to."""

from collections.abc import Callable, Sequence

from connectors.cdc.errors import Disconnected, KafkaRefused
from connectors.kafka.admin import TopicAdmin
from connectors.kafka.connection import Connection
from connectors.kafka.errors import KafkaUnavailable, TopicsError
from schemas.topics import Topic

CreateTopics = Callable[[Sequence[Topic]], object]

LOOK_SECONDS = 5.0  # the stream waits meanwhile, and must go on before the server takes us for dead (60 s)


class CreatedTopics:
    """Has each topic created once. The constructor does no I/O.

    Args:
        kafka: how to reach the cluster.
        create: creates topics that are missing; None when that is not ours to do.
    """

    def __init__(self, kafka: Connection, create: CreateTopics | None) -> None:
        self._kafka = kafka
        self._create = create
        self._known: set[str] = set()

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Create those that are missing.

        Raises:
            KafkaRefused: one cannot be created, or is not as it has to be.
            Disconnected: the cluster does not answer.
        """
        self._ask(topics, only_missing=False)

    def ensure_some(self, topic: Topic) -> None:
        """Create a topic unless there is one of that name, whatever it is like: somebody else may have made it.

        Raises:
            KafkaRefused, Disconnected: see `ensure`.
        """
        self._ask([topic], only_missing=True)

    def _ask(self, topics: Sequence[Topic], *, only_missing: bool) -> None:
        unknown = [topic for topic in topics if topic.name not in self._known]
        if self._create is None or not unknown:
            return
        wanted = unknown
        try:
            if only_missing:
                existing = TopicAdmin(self._kafka, timeout=LOOK_SECONDS).existing(unknown)
                wanted = [topic for topic in unknown if topic.name not in existing]
            if wanted:
                self._create(wanted)
        except KafkaUnavailable as error:
            raise Disconnected(str(error)) from None
        except TopicsError as error:
            raise KafkaRefused(str(error)) from None
        self._known.update(topic.name for topic in unknown)
