"""What the log of sagas is told of one: where it stands, and what it has been through."""

from collections.abc import Sequence

from msgspec import Struct

from schemas.sagas import Moment, SagaEntry, SagaStart, StepEntry, participant_of
from streams.sagas.state import Saga


class Running(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A saga that has begun, and what it has been through."""

    saga: Saga
    subject: str
    version: int
    began_ms: int
    urgent: bool = False
    history: list[Moment] = []


def entry_of(running: Running, now_ms: int) -> SagaEntry:
    """Return what is told of a saga that has begun."""
    saga = running.saga
    return SagaEntry(
        id=saga.id,
        definition=saga.definition,
        subject=running.subject,
        version=running.version,
        event_id=saga.event_id,
        status=saga.status,
        began_ms=running.began_ms,
        at_ms=now_ms,
        steps=[
            StepEntry(
                name=step.name,
                store=participant_of(step.write),
                entity=step.write.entity,
                version=step.write.version,
                op=step.write.op,
                status=step.status,
                attempts=step.attempts,
                due_ms=step.due_ms,
                undo=None if step.undo is None else step.undo.op,
                reason=step.reason,
            )
            for step in saga.steps
        ],
        history=list(running.history),
        stuck=saga.stuck,
        due_ms=saga.due_ms,
    )


def waiting_entry(start: SagaStart, history: Sequence[Moment], now_ms: int) -> SagaEntry:
    """Return what is told of a saga that waits for those before it; its history begins when it began to wait."""
    return SagaEntry(
        id=start.id,
        definition=start.definition,
        subject=start.subject,
        version=start.version,
        event_id=start.event_id,
        status="waiting",
        began_ms=history[0].at_ms,
        at_ms=now_ms,
        history=list(history),
    )
