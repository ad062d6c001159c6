"""A saga that is fed one input at a time, and what it asked for."""

from collections.abc import Callable

from msgspec.structs import replace

from schemas.receipts import Receipt
from schemas.writes import Write
from streams.sagas.definition import Definition
from streams.sagas.effects import Alert, Effect
from streams.sagas.machine import begin, hear, wake
from streams.sagas.state import Saga

Tell = Callable[..., Receipt]


class Run:
    """A saga, and what it has asked for since the last look."""

    def __init__(self, definition: Definition, writes: dict[str, Write], tell: Tell) -> None:
        self.definition, self.writes, self.tell = definition, writes, tell
        self.now = 1_000_000
        self.saga, self.effects = begin(definition, "s1", "e7", writes, self.now)

    def take(self, decision: tuple[Saga, tuple[Effect, ...]]) -> None:
        self.saga, more = decision
        self.effects += more

    def told(self, step: str, result: str = "applied", *, undone: bool = False, reason: str | None = None) -> None:
        """Have a store tell of a step, or of its compensation."""
        write = self.writes[step]
        told = replace(write, version=write.version + 1) if undone else write
        self.take(hear(self.definition, self.saga, self.tell(told, result, reason=reason), self.now))

    def captured(self, *steps: str) -> None:
        """Have stores tell that they hold nothing of what steps write."""
        for step in steps:
            undo = replace(self.writes[step], op="delete", version=0)
            self.take(hear(self.definition, self.saga, self.tell(self.writes[step], "captured", undo), self.now))

    def later(self, ms: int) -> None:
        self.now += ms
        self.take(wake(self.definition, self.saga, self.now))

    def forget(self) -> None:
        """Look at nothing that was asked for so far."""
        self.effects = ()

    @property
    def asked(self) -> list[str]:
        """What was asked for since the last look, in words."""
        found = [f"{type(one).__name__} {one.reason if isinstance(one, Alert) else one.step}" for one in self.effects]
        self.forget()
        return found
