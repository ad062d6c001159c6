"""What is known of one saga: the value of the table of sagas, and of the topic `saga-log`."""

from typing import Literal

from msgspec import Struct

from schemas.sagas import SagaWrite

SagaStatus = Literal["started", "completed", "compensating", "compensated", "stuck"]

# waiting: not sent. sent: no outcome known. done: the store holds it, or something newer. failed: the store refuses it.
# undoing: its compensation was sent, no outcome known. undone: as if it had never been.
StepStatus = Literal["waiting", "sent", "done", "failed", "undoing", "undone"]


class StepState(Struct, frozen=True, kw_only=True, gc=False):
    """One step of a saga.

    Attributes:
        name: as in the definition.
        write: what it sends; its version is what receipts are told apart by.
        status: see `StepStatus`.
        applied: whether the store may hold the write itself: it said so, or cannot tell it from a newer one.
        undo: the write that makes the entity what it was before, as far as the store has told.
        attempts: of what was sent last, the write or its compensation.
        due_ms: when that is sent again, in milliseconds since 1970; None: nothing is awaited.
        late_ms: when its write has to be done; None: it was not sent, or its step has no deadline of its own.
        reason: why the store refused it, the last time.
        refused: whether that was its compensation.
    """

    name: str
    write: SagaWrite
    status: StepStatus = "waiting"
    applied: bool = False
    undo: SagaWrite | None = None
    attempts: int = 0
    due_ms: int | None = None
    late_ms: int | None = None
    reason: str | None = None
    refused: bool = False


class Saga(Struct, frozen=True, kw_only=True, gc=False):
    """One saga.

    Attributes:
        id: unique; the key of `saga-log`.
        definition: name of its kind.
        event_id: the fact that began it.
        steps: in the order of the definition.
        deadline_ms: when it turns back, in milliseconds since 1970, unless its pivot has been sent.
        backward: whether it is being undone.
        ended: whether nothing is left to be done.
        stuck: why somebody has to look at it; None when nobody has.
    """

    id: str
    definition: str
    event_id: str
    steps: tuple[StepState, ...]
    deadline_ms: int
    backward: bool = False
    ended: bool = False
    stuck: str | None = None

    @property
    def status(self) -> SagaStatus:
        """What operators are shown."""
        if self.stuck is not None:
            return "stuck"
        if self.backward:
            return "compensated" if self.ended else "compensating"
        return "completed" if self.ended else "started"

    @property
    def due_ms(self) -> int | None:
        """When `wake` is to be called next, in milliseconds since 1970; None: never."""
        if self.ended:
            return None
        in_time = not self.backward and self.stuck is None  # else whoever is to know of what is late does
        due = self.deadline_ms if in_time else None
        for step in self.steps:
            if step.due_ms is not None and (due is None or step.due_ms < due):
                due = step.due_ms
            if in_time and step.late_ms is not None and step.status == "sent" and (due is None or step.late_ms < due):
                due = step.late_ms
        return due
