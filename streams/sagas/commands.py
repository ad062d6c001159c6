"""What an operator may ask of a saga. Pure, as `machine` is."""

from msgspec.structs import replace

from streams.sagas.definition import Definition
from streams.sagas.machine import Decision, advance, is_late, patience_of, turn_back, wake
from streams.sagas.state import Saga, StepState


class CommandRefused(ValueError):  # noqa: N818 - reads as a state, which it is
    """What was asked for makes no sense for this saga now; the message says why, and what would."""


def retry(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    """Send again at once what is waited for, and be patient with it once more.

    Raises:
        CommandRefused: the saga has ended.
    """
    _open(saga)
    steps = tuple(step if step.due_ms is None else replace(step, due_ms=now_ms, attempts=0) for step in saga.steps)
    return wake(definition, replace(saga, steps=steps, stuck=None), now_ms)


def abort(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    """Undo the saga.

    Raises:
        CommandRefused: it has ended, is being undone already, or its pivot was sent.
    """
    _open(saga)
    if saga.backward:
        raise CommandRefused(f"saga {saga.id} is being undone already; retry sends its compensations again")
    decision = turn_back(definition, saga, now_ms)
    if decision is None:
        raise CommandRefused(
            f"saga {saga.id} cannot be undone: its pivot was sent; retry or resume takes it to its end"
        )
    return decision


def resume(definition: Definition, saga: Saga, now_ms: int) -> Decision:
    """Go on as if the steps that it is stuck at had been done, or undone, by hand: who asks vouches for it.

    Raises:
        CommandRefused: the saga has ended, or is not stuck.
    """
    _open(saga)
    if saga.stuck is None:
        raise CommandRefused(f"saga {saga.id} is not stuck; retry sends again what it waits for")
    steps = tuple(_settled(definition, saga, step, now_ms) for step in saga.steps)
    deadline_ms = max(saga.deadline_ms, now_ms + definition.deadline_ms)
    return advance(definition, replace(saga, steps=steps, stuck=None, deadline_ms=deadline_ms), now_ms)


def _settled(definition: Definition, saga: Saga, step: StepState, now_ms: int) -> StepState:
    in_vain = step.refused or step.attempts > patience_of(definition, step).attempts
    waits_in_vain = step.due_ms is not None and in_vain
    if step.status == "sent" and not saga.backward and (waits_in_vain or is_late(step, now_ms)):
        return replace(step, status="done", due_ms=None)
    cannot_be_undone = saga.backward and step.status == "done" and step.applied and step.undo is None
    if (step.status in ("sent", "undoing") and waits_in_vain) or cannot_be_undone:
        return replace(step, status="undone", due_ms=None)
    return step


def _open(saga: Saga) -> None:
    if saga.ended:
        raise CommandRefused(f"saga {saga.id} has ended: {saga.status}")
