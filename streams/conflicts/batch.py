"""What a batch of records does to the entities of a partition, and what is to be sent for it. It sends nothing."""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol, TypeVar

from msgspec import structs

from schemas.changes import InvalidChange
from schemas.conflicts import (
    ConflictCommand,
    ConflictEntry,
    EntityClaim,
    InvalidConflictRecord,
    Status,
    Verdict,
    decode_conflict_record,
    encode_conflict_record,
)
from schemas.topics import Catalogue
from streams.conflicts.canonical import NotCanonical
from streams.conflicts.claims import Content
from streams.conflicts.known import Known, OpenConflict, Tally, change_of, claim_of, entry_of, operation
from streams.conflicts.rules import Rule, Rules, subject_of, type_of
from streams.conflicts.settle import Decision, Entity, Outcome, decide, take
from streams.deadletters import dead_letter
from streams.routing.changes import RowChange
from streams.runtime.publisher import Outgoing
from streams.runtime.records import Record

COMPONENT = "reconcile"

V = TypeVar("V")

_STATUS: dict[Outcome, Status] = {"settled": "settled", "taken back": "taken back", "undecided": "undecided"}


class View(Protocol[V]):
    """What is asked of a table: the values of keys, with the offset of the record that last changed each."""

    def get(self, key: str, /) -> V | None: ...  # noqa: D102
    def position(self, key: str, topic: str, /) -> int: ...  # noqa: D102
    def put(self, key: str, value: V | None, record: Record, /) -> None: ...  # noqa: D102


class Batch:
    """What a batch of records does to the entities of a partition.

    Args:
        catalogue: the topics.
        rules: how types are settled.
        entities: the table of what is known, by entity.
        tallies: the table of how many there are, by type.
        now_ms: milliseconds since 1970.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        rules: Rules,
        entities: View[Known],
        tallies: View[Tally],
        now_ms: int,
    ) -> None:
        self._catalogue = catalogue
        self._rules = rules
        self._entities = entities
        self._tallies = tallies
        self._now_ms = now_ms
        self._told: list[tuple[str, ConflictEntry | None]] = []  # None: nothing is known of the entity any more
        self._told_again: dict[str, ConflictEntry | None] = {}
        self._agreed: dict[str, RowChange] = {}
        # To be sent before anything is durable: what is refused leaves nothing in the state, so what comes after it may
        # have it refused no more when it comes again, and nobody would hear of it.
        self.letters: list[Outgoing] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.agreed_at: list[tuple[str, int]] = []  # type, when the change was made in ms since 1970
        self.tallies: dict[str, Tally] = {}

    def take(self, record: Record) -> None:
        """Take a record; what it is not good for becomes a dead letter."""
        act = self._command if record.topic == self._catalogue.conflict_commands.name else self._claim
        try:
            name, outcome = act(record)
        except (InvalidConflictRecord, InvalidChange, NotCanonical) as error:
            name, outcome = "", "refused"
            self.letters.append(dead_letter(self._catalogue, record, component=COMPONENT, stage="settle", error=error))
        self.outcomes[name, outcome] += 1

    def agreed(self) -> list[RowChange]:
        """Return what is agreed of each entity that something new was agreed of, or that is asked for again."""
        return list(self._agreed.values())

    def outputs(self) -> Iterator[Outgoing]:
        """Yield what is to be told of conflicts."""
        topic = self._catalogue.conflicts.name
        for subject, entry in (*self._told_again.items(), *self._told):
            yield Outgoing(topic, subject.encode(), None if entry is None else encode_conflict_record(entry))

    def _forget(self, record: Record) -> tuple[str, str]:
        """Forget an entity: what its sources have said and what was agreed. The stores keep what they have."""
        subject = (record.key or b"").decode(errors="replace")
        name = subject.partition(":")[0]
        known = self._entities.get(subject)
        if known is None or self._entities.position(subject, record.topic) >= record.offset:
            self._told_again[subject] = None if known is None else known.told
            return name, "replayed"
        self._keep_tally(name, -1, -(known.conflict is not None), record)
        self._entities.put(subject, None, record)
        self._agreed.pop(subject, None)
        self._told.append((subject, None))
        return name, "forgotten"

    def _claim(self, record: Record) -> tuple[str, str]:
        if record.value is None:
            return self._forget(record)
        said = decode_conflict_record(record.value, EntityClaim)
        rule = self._rules.of_table(said.table)
        if rule is None:
            raise InvalidConflictRecord(f"Expected a table whose type has a strategy, got {said.table!r}")
        subject, name = subject_of(said.table, said.id), type_of(said.table)
        if record.key != subject.encode():
            raise InvalidConflictRecord(f"Expected the key of the record to be the entity, {subject!r}")
        if self._replayed(record, subject):
            return name, "replayed"
        known = self._entities.get(subject)
        if known is not None and known.table != said.table:
            raise InvalidConflictRecord(f"{subject} is a row of {known.table}, not of {said.table}: give it another id")
        before = known or Known(table=said.table, id=said.id, entity=Entity())
        decision = take(before.entity, claim_of(said), rule.settle, self._rules.window_ms, by_member=rule.by_member)
        if decision.outcome == "superseded":
            return name, decision.outcome
        after = self._after(subject, before, decision.entity, name, said.at_ms)
        if decision.conflict:
            conflict = before.conflict or OpenConflict(f"{subject}/{said.source}/{said.version}", self._now_ms)
            told = self._tell(subject, after, conflict, decision, rule)
            after = structs.replace(after, conflict=conflict if decision.outcome == "undecided" else None, told=told)
        self._count(name, before if known is not None else None, after, record)
        self._entities.put(subject, after, record)
        return name, decision.outcome

    def _after(self, subject: str, before: Known, entity: Entity, name: str, at_ms: int) -> Known:
        """Return what is known once something was heard; what is agreed now is to be routed.

        Raises:
            InvalidChange: it is no row of the table.
        """
        was, now = before.entity.agreed, entity.agreed
        if now is None or (was is not None and was.version == now.version):
            return structs.replace(before, entity=entity)
        content = None if was is None else was.content
        after = structs.replace(before, entity=entity, op=operation(content, now.content))
        earlier = self._agreed.get(subject)
        self._agree(subject, after, content if earlier is None else earlier.before)
        self.agreed_at.append((name, at_ms))
        return after

    def _command(self, record: Record) -> tuple[str, str]:
        command = decode_conflict_record(record.value, ConflictCommand)
        subject, name = command.entity, command.entity.partition(":")[0]
        if self._replayed(record, subject):
            return name, "replayed"
        known = self._entities.get(subject)
        rule = None if known is None else self._rules.of_table(known.table)
        if known is None or rule is None or known.conflict is None or known.conflict.id != command.id:
            return name, "late"
        sides, conflict = known.entity.undecided, known.conflict
        verdict = Verdict(by=command.by, at=command.at, why=command.why)
        status: Status = "decided"
        try:
            if {one.source: one.version for one in sides} != command.seen:
                raise InvalidConflictRecord("a source has said something else since; look at it again")
            entity = decide(known.entity, command.content)
            after = structs.replace(self._after(subject, known, entity, name, self._now_ms), conflict=None)
        except (InvalidConflictRecord, InvalidChange) as error:
            after, status, verdict = known, "undecided", structs.replace(verdict, refused=str(error))
        entry = entry_of(
            subject, after, conflict, sides, status, strategy=rule.strategy, now_ms=self._now_ms, verdict=verdict
        )
        self._told.append((subject, entry))
        self._count(name, known, after, record)
        self._entities.put(subject, structs.replace(after, told=entry), record)
        return name, "decided" if status == "decided" else "not decided"

    def _replayed(self, record: Record, subject: str) -> bool:
        """Whether state has a record's effect already; then what is agreed is sent again, and what was told last."""
        if self._entities.position(subject, record.topic) < record.offset:
            return False
        known = self._entities.get(subject)
        if known is not None:
            self._agree(subject, known)
            if known.told is not None:
                self._told_again[subject] = known.told
        return True

    def _agree(self, subject: str, known: Known, before: Content | None = None) -> None:
        change = change_of(known, before)
        if change is not None:
            self._agreed[subject] = change

    def _tell(
        self, subject: str, known: Known, conflict: OpenConflict, decision: Decision, rule: Rule
    ) -> ConflictEntry:
        status = _STATUS[decision.outcome]
        entry = entry_of(
            subject, known, conflict, decision.conflict, status, strategy=rule.strategy, now_ms=self._now_ms
        )
        self._told.append((subject, entry))
        return entry

    def _count(self, name: str, before: Known | None, after: Known, record: Record) -> None:
        """Keep the number of entities, and of those that wait for a decision."""
        waits = (after.conflict is not None) - (before is not None and before.conflict is not None)
        self._keep_tally(name, before is None, waits, record)

    def _keep_tally(self, name: str, new: int, waits: int, record: Record) -> None:
        """Count what a record does, unless that is counted: tallies may be durable without the entities."""
        if (new or waits) and self._tallies.position(name, record.topic) < record.offset:
            tally = self._tallies.get(name) or Tally()
            tally = self.tallies[name] = Tally(tally.entities + new, tally.undecided + waits)
            self._tallies.put(name, tally, record)
