"""What a saga does next. Pure: a saga and an input give the saga afterwards and what is to be done.

A saga ends when every step is done, or every step is undone. It turns back when a store refuses a write that it can do
without, when one cannot be had in time, or when an operator says so; never once its pivot was sent. Steps are undone
after all that were waiting for them, each by the write that its store told of before it took the step's own. That
write has the version after it, so it takes effect only over what the saga wrote, and a write of the saga that arrives
late is superseded: one that was refused and is replayed from the dead letters, too.

Inputs may come twice, late, in any order, or for a step that is long past. After a crash the same input may be handled
again by a saga that has not seen it: the effects are the same.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from schemas.receipts import Receipt
from schemas.sagas import Request, SagaWrite, participant_of
from streams.sagas.definition import Definition, Patience
from streams.sagas.effects import Alert, Compensate, Effect, Send, Sending
from streams.sagas.state import Saga, StepState, StepStatus


class Decision(NamedTuple):
    """The saga afterwards, and what is to be done, in this order."""

    saga: Saga
    effects: tuple[Effect, ...] = ()


def begin(
    definition: Definition, saga_id: str, event_id: str, writes: Mapping[str, SagaWrite], now_ms: int
) -> Decision:
    """Begin a saga.

    Args:
        definition: of its kind.
        saga_id: unique.
        event_id: the fact that begins it.
        writes: by the name of their step. A step without one is left out: not every fact needs all of them.
        now_ms: milliseconds since 1970.

    Raises:
        ValueError: a write is of no step, or goes to another store than its step.
    """
    for name, write in writes.items():
        step = definition.find(name)
        if step is None:
            raise ValueError(f"saga {definition.name} has no step {name}")
        if participant_of(write) != step.store:
            raise ValueError(
                f"saga {definition.name}, step {name}: its write goes to the store {participant_of(write)}"
            )
    saga = Saga(
        id=saga_id,
        definition=definition.name,
        event_id=event_id,
        steps=tuple(
            # Of each the store is asked what it held: also one that cannot be taken back is fenced off once refused.
            StepState(name=step.name, write=replace(writes[step.name], undo=True), undo=_known(writes[step.name]))
            for step in definition.steps
            if step.name in writes
        ),
        deadline_ms=now_ms + definition.deadline_ms,
    )
    return advance(definition, saga, now_ms)


def hear(definition: Definition, saga: Saga, receipt: Receipt, now_ms: int) -> Decision:
    """Take what became of a write. A receipt that says nothing new changes nothing."""
    if saga.ended:
        return Decision(saga)
    for step in saga.steps:
        if not is_about(receipt, step):
            continue
        if step.status == "sent" and receipt.version == step.write.version:
            return _went_out(definition, saga, step, receipt, now_ms)
        if _is_missing_undo(step, receipt):
            told = _with(saga, replace(step, undo=receipt.undo))
            return advance(definition, replace(told, stuck=None), now_ms) if saga.backward else Decision(told)
        if step.status == "undoing" and receipt.version == undo_version(step):
            if receipt.result == "rejected":
                return _cannot_undo(saga, replace(step, refused=True, reason=receipt.reason))
            undone = replace(step, status="undone", due_ms=None, refused=False, reason=None)
            return advance(definition, _with(saga, undone, stuck=None), now_ms)
    return Decision(saga)


def is_about(receipt: Receipt, step: StepState) -> bool:
    """Whether a receipt is of a step's write, or of what takes that back: of whatever version."""
    write = step.write
    return write.entity == receipt.entity and participant_of(write) == receipt.store


def wake(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    """Send again what has been waited for long enough; turn back, or tell somebody, when it is too long."""
    if saga.ended:
        return Decision(saga)
    effects: list[Effect] = []
    for step in saga.steps:
        if step.due_ms is None or step.due_ms > now_ms:
            continue
        patience = patience_of(definition, step)
        if step.attempts >= patience.attempts and not saga.backward and _may_turn_back(definition, saga):
            saga = _turned_back(saga)
        elif step.attempts >= patience.attempts and saga.stuck is None:
            saga = replace(saga, stuck=_waits_in_vain(step))
            effects.append(Alert(_waits_in_vain(step)))
        saga, again = _sent(definition, saga, step, step.status, now_ms)
        effects.append(again)
    if not saga.backward and saga.stuck is None and (why := _late(saga, now_ms)):
        if _may_turn_back(definition, saga):
            saga = _turned_back(saga)
        else:
            saga = replace(saga, stuck=why)
            effects.append(Alert(why))
    saga, more = advance(definition, saga, now_ms)
    return Decision(saga, (*effects, *more))


def advance(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    """Do all that nothing stands in the way of. Doing it twice does nothing the second time."""
    if saga.ended:
        return Decision(saga)
    if saga.backward:
        saga, effects = _undo_all(definition, saga, now_ms)
    else:
        saga, effects = _send_all(definition, saga, now_ms)
    if _statuses(saga) == {"undone" if saga.backward else "done"}:
        saga = replace(saga, ended=True, stuck=None)
    return Decision(saga, effects)


def is_late(step: StepState, now_ms: int) -> bool:
    """Whether a step is open for longer than its own deadline."""
    return step.status == "sent" and step.late_ms is not None and now_ms >= step.late_ms


def outstanding(saga: Saga) -> tuple[Sending, ...]:
    """Return what was sent and has no end yet, as it was sent last."""
    return tuple(_sending(step) for step in saga.steps if step.status in ("sent", "undoing"))


def undo_version(step: StepState) -> int:
    """Return the version of a step's compensation: the one after its write."""
    return step.write.version + 1


def turn_back(definition: Definition, saga: Saga, now_ms: int) -> Decision | None:
    """Undo all of it; None when it cannot be undone any more, or is being undone, or has ended."""
    if saga.ended or saga.backward or not _may_turn_back(definition, saga):
        return None
    return advance(definition, _turned_back(saga), now_ms)


def patience_of(definition: Definition, step: StepState) -> Patience:
    """Return how long what a step sent last is waited for."""
    return definition.undo if step.status == "undoing" else definition.step(step.name).patience


def _known(write: SagaWrite) -> SagaWrite | None:
    """Return what takes a write back, as far as that is known before anybody was asked."""
    return replace(write, op="delete", version=0, undo=False) if isinstance(write, Request) else None


def _went_out(definition: Definition, saga: Saga, step: StepState, receipt: Receipt, now_ms: int) -> Decision:
    if receipt.result == "captured":
        return Decision(_with(saga, replace(step, undo=receipt.undo or step.undo)))
    # One that was superseded by itself is told to have replaced nothing by who does not know what was told before it.
    told = receipt.undo is not None and (step.undo is None or receipt.result != "superseded")
    undo = receipt.undo if told else step.undo
    if receipt.result != "rejected":
        # A write that comes again after a crash is superseded by itself, and only an undo tells that from a newer one.
        applied = receipt.result == "applied" or receipt.undo_unknown
        step = replace(step, status="done", applied=applied, undo=undo, due_ms=None, reason=None)
        return advance(definition, _with(saga, step, stuck=None), now_ms)
    step = replace(step, undo=undo, reason=receipt.reason)
    if definition.step(step.name).kind == "retriable":
        return Decision(_with(saga, step))
    saga = _with(saga, replace(step, status="failed", due_ms=None))
    return advance(definition, saga if saga.backward else _turned_back(saga), now_ms)


def _is_missing_undo(step: StepState, receipt: Receipt) -> bool:
    """Whether a receipt tells, after the end of a write, what its store held before: not if that was told in time."""
    return (
        receipt.result == "captured"
        and receipt.version == step.write.version
        and step.status in ("done", "failed")
        and step.undo is None
        and receipt.undo is not None
    )


def _cannot_undo(saga: Saga, step: StepState) -> Decision:
    """Tell somebody at once, and once: the same again will hardly help, though it is sent again for ever."""
    if saga.stuck is not None:
        return Decision(_with(saga, step))
    why = f"{_named(step)} refuses the compensation of step {step.name}: {step.reason}"
    return Decision(replace(_with(saga, step), stuck=why), (Alert(why),))


def _send_all(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    if "waiting" not in _statuses(saga):
        return Decision(saga)
    steps, effects = list(saga.steps), list[Effect]()
    for index, step in enumerate(steps):
        if step.status == "waiting":
            declared = definition.step(step.name)
            if _all(saga.steps, definition.waits_for(declared), "done"):
                steps[index] = sent = _attempted(definition, step, "sent", now_ms)
                effects.append(_sending(sent))
    return Decision(replace(saga, steps=tuple(steps)) if effects else saga, tuple(effects))


def _undo_all(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    effects: list[Effect] = []
    before = None
    while saga is not before:  # a step that is undone at once makes way for others
        before = saga
        for step in before.steps:
            saga, more = _undo(definition, saga, step, now_ms)
            effects += more
    return Decision(saga, tuple(effects))


def _undo(definition: Definition, saga: Saga, step: StepState, now_ms: int) -> Decision:
    if step.status not in ("done", "failed"):
        return Decision(saga)
    if not _all(saga.steps, definition.waited_for_by(definition.step(step.name)), "undone"):
        return Decision(saga)
    if step.undo is not None:
        saga, effect = _sent(definition, saga, replace(step, attempts=0), "undoing", now_ms)
        return Decision(saga, (effect,))
    if not step.applied:  # the store held something newer, or took nothing
        return Decision(_with(saga, replace(step, status="undone")))
    why = f"step {step.name} cannot be undone: {_named(step)} did not tell what it held before"
    if saga.stuck is not None:
        return Decision(saga)
    return Decision(replace(saga, stuck=why), (Alert(why),))


def _sent(definition: Definition, saga: Saga, step: StepState, status: StepStatus, now_ms: int) -> tuple[Saga, Effect]:
    """Send what a step is waiting for, once more or for the first time."""
    step = _attempted(definition, step, status, now_ms)
    return _with(saga, step), _sending(step)


def _attempted(definition: Definition, step: StepState, status: StepStatus, now_ms: int) -> StepState:
    declared, attempts, late_ms = definition.step(step.name), step.attempts + 1, step.late_ms
    patience = definition.undo if status == "undoing" else declared.patience
    if attempts == 1 and status == "sent" and declared.deadline_ms is not None:  # at first, and at a retry
        late_ms = now_ms + declared.deadline_ms
    due_ms = now_ms + patience.pause_ms(attempts)
    return replace(step, status=status, attempts=attempts, due_ms=due_ms, late_ms=late_ms)


def _late(saga: Saga, now_ms: int) -> str | None:
    """Return what is not done in time; None: all is."""
    for step in saga.steps:
        if is_late(step, now_ms):
            told = f": {step.reason}" if step.reason else ""
            return f"the write of step {step.name} is past the deadline of its step, at {_named(step)}{told}"
    if now_ms >= saga.deadline_ms:
        return "it is past its deadline, and its pivot was sent: it can only go on"
    return None


def _sending(step: StepState) -> Sending:
    if step.status == "sent":
        return Send(step.name, step.write)
    assert step.undo is not None
    return Compensate(step.name, replace(step.undo, version=undo_version(step), undo=False))


def _may_turn_back(definition: Definition, saga: Saga) -> bool:
    """Whether nothing that cannot be taken back has been sent."""
    return all(
        step.status in ("waiting", "failed")
        for step in saga.steps
        if definition.step(step.name).kind != "compensatable"
    )


def _turned_back(saga: Saga) -> Saga:
    steps = [replace(step, status="undone") if step.status == "waiting" else step for step in saga.steps]
    return replace(saga, backward=True, stuck=None, steps=tuple(steps))


def _waits_in_vain(step: StepState) -> str:
    what = "compensation" if step.status == "undoing" else "write"
    told = f": {step.reason}" if step.reason else ""
    return f"the {what} of step {step.name} was sent {step.attempts} times to {_named(step)}{told}"


def _named(step: StepState) -> str:
    participant = participant_of(step.write)
    return "the participant outside" if participant == "outside" else f"the store {participant}"


def _statuses(saga: Saga) -> set[StepStatus]:
    return {step.status for step in saga.steps}


def _all(steps: Sequence[StepState], names: frozenset[str], status: str) -> bool:
    return not names or all(step.status == status for step in steps if step.name in names)


def _with(saga: Saga, step: StepState, **changes: None) -> Saga:
    name = step.name
    steps = [step if other.name == name else other for other in saga.steps]
    return replace(saga, steps=tuple(steps), **changes)
