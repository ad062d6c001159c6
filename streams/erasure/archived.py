"""What the archive holds of a person."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing

from confluent_kafka.admin import AdminClient

from connectors.archive.errors import ArchiveError
from connectors.archive.removing import remove
from connectors.kafka.connection import Connection
from connectors.kafka.lag import LagMeter, Position
from connectors.kafka.reading import StoredRecord
from connectors.sinks.errors import Unavailable
from connectors.storage import Storage
from schemas.topics import Catalogue
from streams.archive.plan import Plan, is_ours
from streams.persons.records import Belonging

_KAFKA_SECONDS = 15.0


class ArchivedRecords:
    """The records of persons in the archive, of whichever topic (`is_ours`); which those are tells `Belonging`.

    Args:
        connection: how to reach Kafka.
        catalogue: its topics.
        group: the consumer group of the archive.
        plan: which topics are archived.
        storage: where the archive lies, not open.
    """

    def __init__(self, connection: Connection, catalogue: Catalogue, group: str, plan: Plan, storage: Storage) -> None:
        self._connection = connection
        self._group = group
        self._storage = storage
        self._plan = plan
        self._is_ours = is_ours(plan, catalogue)
        self._belongs = Belonging(catalogue)

    def ends(self) -> Mapping[str, int]:
        """Return where the partitions of the topics that are archived end now, as "topic/partition".

        Raises:
            KafkaException: the brokers do not answer.
        """
        there = AdminClient({**self._connection.client(), "log_level": 0}).list_topics(timeout=_KAFKA_SECONDS).topics
        positions = self._positions(self._plan.topics(there))
        return {name: one.end for name, one in positions.items()}

    def remove(self, user: str, ends: Mapping[str, int], on_found: Callable[[], object] = lambda: None) -> int:
        """Take a person's records out of the archive, once it has come to some ends; return how many.

        Args:
            user: the person.
            ends: as `ends` has returned them.
            on_found: called at each record that is to go.

        Raises:
            KafkaException: the brokers do not answer.
            Unavailable: the archive has not come there yet, or the store does not answer.
        """
        behind = self._behind(ends)
        if behind:
            raise Unavailable(
                f"the archive has not come to the request yet in {', '.join(behind)}: does `travelos archive run` run?"
            )

        def is_theirs(record: StoredRecord) -> bool:
            found = self._belongs(record, user)
            if found:
                on_found()
            return found

        try:
            self._storage.open()
            return remove(self._storage, self._is_ours, is_theirs)
        except ArchiveError as error:
            raise Unavailable(str(error)) from error
        finally:
            self._storage.close()

    def _behind(self, ends: Mapping[str, int]) -> Sequence[str]:
        found = self._positions({name.rpartition("/")[0] for name in ends})
        return sorted(name for name, end in ends.items() if name in found and found[name].done < end)

    def _positions(self, topics: Iterable[str]) -> Mapping[str, Position]:
        with closing(LagMeter(self._connection, self._group)) as meter:
            return {f"{topic}/{number}": one for (topic, number), one in meter.positions(topics).items()}
