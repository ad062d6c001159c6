"""What sources must have agreed on, from what they said. Pure: the agent's own batch, with its tables in memory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Generic, TypeVar

from msgspec import Struct, structs

from schemas.conflicts import EntityClaim, InvalidConflictRecord, decode_conflict_record, encode_conflict_record
from schemas.headers import ERROR_MESSAGE, header_map
from schemas.topics import Catalogue
from streams.conflicts.batch import Batch
from streams.conflicts.known import Known, Tally
from streams.conflicts.rules import Rules, subject_of
from streams.routing.changes import RowChange
from streams.runtime.records import KafkaRecord, Record

Position = tuple[str, int, int]  # topic, partition, offset

V = TypeVar("V")


class Settled(Struct, frozen=True):
    """What was said of entities whose types are settled.

    Attributes:
        rules: how they are settled.
        catalogue: the topics.
        said: the records of the topics of claims and of decisions.
    """

    rules: Rules
    catalogue: Catalogue
    said: Sequence[Record]

    def agreed(self, claims: Iterable[EntityClaim]) -> tuple[list[RowChange], dict[Position, str]]:
        """Return all that was agreed, in order, and the reason of each record that was refused.

        The topic of claims tells in which order the agent heard them, and what others have said there. A claim that is
        not in it counts as said before all that is: the topic is not kept as long as rows are. One that got lost is
        found all the same, since stores do not hold what it leads to.

        Args:
            claims: what follows from all changes of rows.
        """
        tables = Tables(_Memory[Known](), _Memory[Tally]())
        changes: list[RowChange] = []
        refused: dict[Position, str] = {}
        offsets = count()
        for record in (*self._unheard(claims), *self._in_order()):
            batch = Batch(self.catalogue, self.rules, tables.entities, tables.tallies, 0)
            batch.take(_numbered(record, next(offsets)))
            changes += batch.agreed()
            for letter in batch.letters:
                refused[record.topic, record.partition, record.offset] = header_map(letter.headers)[ERROR_MESSAGE]
        return changes, refused

    def _unheard(self, claims: Iterable[EntityClaim]) -> Iterator[Record]:
        heard = {_identity(said) for said in map(_claim_in, self.said) if said is not None}
        for said in claims:
            if _identity(said) not in heard:
                name = self.catalogue.claims.name
                key = subject_of(said.table, said.id).encode()
                yield KafkaRecord(name, 0, 0, 0, key, encode_conflict_record(said))

    def _in_order(self) -> Iterator[Record]:
        """Yield claims in their order, each after the decisions that were made before it; by their times, as none else.

        A decision names the claims that it is about, so one that comes too early or too late is none.
        """
        partitions: dict[int, tuple[list[Record], list[Record]]] = defaultdict(lambda: ([], []))
        for record in sorted(self.said, key=lambda one: one.offset):
            partitions[record.partition][record.topic == self.catalogue.conflict_commands.name].append(record)
        for claims, decisions in partitions.values():
            for claim in claims:
                while decisions and decisions[0].timestamp < claim.timestamp:
                    yield decisions.pop(0)
                yield claim
            yield from decisions


class Tables(Struct, frozen=True):
    """What is known of entities, and how many there are."""

    entities: "_Memory[Known]"
    tallies: "_Memory[Tally]"


class _Memory(Generic[V]):
    """A table in memory."""

    def __init__(self) -> None:
        self._values: dict[str, V | None] = {}
        self._positions: dict[tuple[str, str], int] = {}

    def get(self, key: str) -> V | None:
        return self._values.get(key)

    def position(self, key: str, topic: str) -> int:
        return self._positions.get((key, topic), -1)

    def put(self, key: str, value: V | None, record: Record) -> None:
        self._values[key] = value
        self._positions[key, record.topic] = record.offset


def _numbered(record: Record, offset: int) -> Record:
    """Return a record with an offset by which all that were said have an order, those of no topic too."""
    plain = KafkaRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
    )
    return structs.replace(plain, offset=offset)


def _claim_in(record: Record) -> EntityClaim | None:
    try:
        return None if record.value is None else decode_conflict_record(record.value, EntityClaim)
    except InvalidConflictRecord:
        return None  # it is refused in its turn, or it is a decision


def _identity(said: EntityClaim) -> tuple[str, str, str, int]:
    return said.table, said.id, said.source, said.version
