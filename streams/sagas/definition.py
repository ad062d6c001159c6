"""What a saga consists of, declared once: steps, their order, and how long each is tried."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct

from schemas.sagas import Participant

# compensatable: what it wrote can be taken back.
# pivot: once it has been sent there is no way back; what comes after it will be done.
# retriable: comes after the pivot, and is tried until it is done.
StepKind = Literal["compensatable", "pivot", "retriable"]


class InvalidDefinition(ValueError):  # noqa: N818 - reads as a state, which it is
    """A definition that promises what it cannot hold; the message names the saga, the step and the fix."""


class Patience(Struct, frozen=True, kw_only=True):
    """How long something is tried: again and again, with pauses that double.

    Attributes:
        first_ms: the pause before the second attempt.
        longest_ms: no pause is longer.
        attempts: after so many somebody is told, or the saga turns back; compensations and retriable steps go on.
    """

    first_ms: int = 30_000
    longest_ms: int = 600_000
    attempts: int = 5

    def pause_ms(self, attempts: int) -> int:
        """Return the pause after so many attempts, 1 or more."""
        # Beyond 2**32 pauses only the bound counts, and the power would become a large number.
        return min(self.first_ms << min(attempts - 1, 32), self.longest_ms)


class Step(Struct, frozen=True, kw_only=True):
    """One write of a saga, or one request to somebody outside.

    Attributes:
        name: unique in the saga.
        store: that it goes to; "outside": to the participant behind the two topics.
        kind: what becomes of it when another step fails.
        entity: kind of the entity that it writes, as in "booking"; empty: any of that store.
        request_topic: of an outside participant: where it is asked.
        reply_topic: where it answers.
        after: names of the steps that have to be done before it; none: it goes out at once, beside the others.
        patience: how often it is sent, and with what pauses.
        deadline_ms: how long after it was first sent it has to be done; None: it has the time that the saga has.
    """

    name: str
    store: Participant
    kind: StepKind = "compensatable"
    after: tuple[str, ...] = ()
    patience: Patience = Patience()
    deadline_ms: int | None = None
    entity: str = ""
    request_topic: str = ""
    reply_topic: str = ""


class Definition(Struct, frozen=True, kw_only=True, dict=True):
    """A kind of saga.

    Attributes:
        name: of the kind, as in `trip_planned`.
        steps: each after those it names in `after`.
        deadline_ms: how long all steps together may take before the saga turns back.
        undo: how long a compensation is tried before somebody is told; it is tried for ever.

    Raises:
        InvalidDefinition: when it is made.
    """

    name: str
    steps: tuple[Step, ...]
    deadline_ms: int = 300_000
    undo: Patience = Patience(attempts=10)

    def __post_init__(self) -> None:
        """Refuse what cannot be all or nothing."""
        if not self.steps:
            raise InvalidDefinition(f"saga {self.name}: it has no steps")
        before: dict[str, Step] = {}
        for step in self.steps:
            self._check(step, before)
            before[step.name] = step

    def step(self, name: str) -> Step:
        """Return a step by its name.

        Raises:
            KeyError: there is none.
        """
        return self._by_name[name]

    def find(self, name: str) -> Step | None:
        """Return a step by its name; None when there is none."""
        return self._by_name.get(name)

    def covers(self, names: Iterable[str]) -> bool:
        """Whether all these steps are still declared; a saga may have begun under an earlier form of its definition."""
        return all(map(self._by_name.__contains__, names))

    def waits_for(self, step: Step) -> frozenset[str]:
        """Return the names of the steps that have to be done before one: those it names, and what its kind asks for."""
        return self._before[step.name]

    def waited_for_by(self, step: Step) -> frozenset[str]:
        """Return the names of the steps that wait for one; they are undone before it."""
        return self._after[step.name]

    # Asked for at every input of every saga: made once.
    @cached_property
    def _by_name(self) -> Mapping[str, Step]:
        return {step.name: step for step in self.steps}

    @cached_property
    def _before(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for step in self.steps:
            named = set(step.after)
            if step.kind != "compensatable":
                named |= _names(self.steps, "compensatable")
            if step.kind == "retriable":
                named |= _names(self.steps, "pivot")
            found[step.name] = frozenset(named - {step.name})
        return found

    @cached_property
    def _after(self) -> Mapping[str, frozenset[str]]:
        return {
            step.name: frozenset(other for other, before in self._before.items() if step.name in before)
            for step in self.steps
        }

    def _check(self, step: Step, before: dict[str, Step]) -> None:
        where = f"saga {self.name}, step {step.name}"
        if step.name in before:
            raise InvalidDefinition(f"{where}: there are two of that name")
        for name in step.after:
            if name not in before:
                raise InvalidDefinition(f"{where}: `after` names {name}, which is not a step before it")
            if step.kind == "compensatable" and before[name].kind != "compensatable":
                raise InvalidDefinition(
                    f"{where}: it can be taken back, but comes after {name}, which cannot; make it retriable"
                )
        if (step.store == "outside") != bool(step.request_topic and step.reply_topic):
            raise InvalidDefinition(
                f"{where}: a step outside, and no other one, names `request_topic` and `reply_topic`"
            )
        if step.deadline_ms is not None and not 0 < step.deadline_ms <= self.deadline_ms:
            raise InvalidDefinition(
                f"{where}: its deadline of {step.deadline_ms} ms is to be more than 0 and no more than the saga's own, "
                f"{self.deadline_ms} ms"
            )
        if step.kind == "pivot" and _names(before.values(), "pivot"):
            raise InvalidDefinition(f"{where}: there is a pivot already; make it retriable")


def _names(steps: Iterable[Step], kind: StepKind) -> set[str]:
    return {step.name for step in steps if step.kind == kind}
