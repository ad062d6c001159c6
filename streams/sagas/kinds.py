"""Kinds of sagas: a definition, and the facts that begin one. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from schemas.events import BaseEvent
from schemas.sagas import SagaStart, SagaWrite, participant_of
from schemas.writes import Write
from streams.routing.changes import RowChange
from streams.routing.entities import entity
from streams.sagas.definition import Definition, InvalidDefinition

Operation = Literal["c", "u", "d"]  # create, update, delete; rows of a snapshot are no facts that happen now


class Kind(Struct, frozen=True, kw_only=True):
    """A kind of saga, what begins it, and what it is about.

    Attributes:
        definition: its steps.
        about: kind of the entity that it is about, as in "booking": sagas of one entity run one after the other.
        events: types of events that begin it.
        subject_field: their field with the id of that entity.
        tables: tables, as "schema.table", whose changes begin it; the entity's id is the row's.
        operations: which changes.
    """

    definition: Definition
    about: str
    events: tuple[type[BaseEvent], ...] = ()
    subject_field: str = "user_id"
    tables: frozenset[str] = frozenset()
    operations: frozenset[Operation] = frozenset()


class Routed(NamedTuple):
    """The writes of a fact: those that go to their stores at once, and the saga that sees to the others."""

    at_once: Sequence[Write]
    saga: SagaStart | None


class Kinds:
    """All kinds of sagas that run here.

    Raises:
        InvalidDefinition: two have one name, begin with the same fact, or write the same entities and are about
            different ones; or one has no name for what it is about.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.all = tuple(kinds)
        self._definitions: dict[str, Definition] = {}
        self._events: dict[type[BaseEvent], Kind] = {}
        self._rows: dict[tuple[str, str], Kind] = {}
        written: dict[tuple[str, str], Kind] = {}
        for kind in self.all:
            name = kind.definition.name
            if name in self._definitions:
                raise InvalidDefinition(f"saga {name}: there are two of that name")
            self._definitions[name] = kind.definition
            for step in kind.definition.steps:
                other = written.setdefault((step.store, step.entity), kind) if step.entity else kind
                if other.about != kind.about:
                    raise InvalidDefinition(
                        f"saga {name}, step {step.name}: it writes {step.entity} to {step.store}, as does saga "
                        f"{other.definition.name}, which is about a {other.about} and not a {kind.about}: sagas of one "
                        "entity would run side by side; give both the same `about`"
                    )
            for event in kind.events:
                _add(self._events, event, kind, f"the event {event.__struct_config__.tag}")
                if kind.subject_field not in event.__struct_fields__:
                    raise InvalidDefinition(f"saga {name}: {event.__name__} has no field {kind.subject_field}")
            for table in kind.tables:
                for operation in kind.operations:
                    _add(self._rows, (table, operation), kind, f"the operation {operation} of {table}")

    def definition(self, name: str) -> Definition | None:
        """Return a definition by its name; None when there is none."""
        return self._definitions.get(name)

    @property
    def reply_topics(self) -> list[str]:
        """The topics in which outside participants answer."""
        steps = (step for kind in self.all for step in kind.definition.steps)
        return sorted({step.reply_topic for step in steps if step.reply_topic})

    def taken_back_in(self, store: str) -> list[str]:
        """Return the steps, each as "saga.step", that a store must be able to take back."""
        return [
            f"{kind.definition.name}.{step.name}"
            for kind in self.all
            for step in kind.definition.steps
            if step.store == store and step.kind == "compensatable"
        ]

    def of_event(self, event: BaseEvent, writes: Sequence[Write], *, urgent: bool = False) -> Routed:
        """Share out the writes that follow from an event."""
        kind = self._events.get(type(event))
        if kind is None:
            return Routed(writes, None)
        subject = entity(kind.about, getattr(event, kind.subject_field))
        return _routed(kind, subject, event.version, event.event_id, writes, urgent=urgent)

    def of_change(self, change: RowChange, writes: Sequence[Write]) -> Routed:
        """Share out the writes that follow from a change of a row."""
        kind = self._rows.get((change.table, change.change.op))
        if kind is None:
            return Routed(writes, None)
        cause = change.cause
        return _routed(kind, entity(kind.about, change.row_id), cause["version"], cause["event_id"], writes)


def begins(
    definition: Definition,
    subject: str,
    version: int,
    event_id: str,
    writes: Mapping[str, SagaWrite],
    *,
    urgent: bool = False,
) -> SagaStart:
    """Return what begins a saga; the same fact gives the same id, however often it is told."""
    return SagaStart(
        id=f"{definition.name}/{subject}/{event_id}",
        definition=definition.name,
        subject=subject,
        version=version,
        event_id=event_id,
        writes=dict(writes),
        urgent=urgent,
    )


def steps_of(definition: Definition, writes: Iterable[Write]) -> tuple[dict[str, Write], list[Write]]:
    """Return the writes of a definition's steps, by step, and those that are of none."""
    taken: dict[str, Write] = {}
    rest: list[Write] = []
    for write in writes:
        kind, participant = write.entity.partition(":")[0], participant_of(write)
        for step in definition.steps:
            if step.store == participant and step.entity in ("", kind) and step.name not in taken:
                taken[step.name] = write
                break
        else:
            rest.append(write)
    return taken, rest


def _routed(
    kind: Kind, subject: str, version: int, event_id: str, writes: Collection[Write], *, urgent: bool = False
) -> Routed:
    taken, rest = steps_of(kind.definition, writes)
    if not taken:
        return Routed(rest, None)
    return Routed(rest, begins(kind.definition, subject, version, event_id, taken, urgent=urgent))


def _add(known: dict[Any, Kind], fact: Any, kind: Kind, named: str) -> None:
    if fact in known:
        first = known[fact].definition.name
        raise InvalidDefinition(f"saga {kind.definition.name}: {named} begins the saga {first} already")
    known[fact] = kind
