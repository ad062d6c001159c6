"""The sagas of one subject, one after the other in the order of their versions: the value of the table of lines.

The first one runs, the others wait until it is over. Pure: whoever keeps a line carries out what `Turn` asks for.
"""

from bisect import insort
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from schemas.receipts import Receipt
from schemas.sagas import Moment, SagaCommand, SagaEntry, SagaStart
from streams.sagas.commands import CommandRefused, abort, resume, retry
from streams.sagas.definition import Definition
from streams.sagas.effects import Alert, Compensate, Send, Sending
from streams.sagas.machine import Decision, begin, hear, is_about, outstanding, wake
from streams.sagas.state import Saga
from streams.sagas.telling import Running, entry_of, waiting_entry

HISTORY = 200  # moments of one saga that are kept; of a longer one the first tenth and the last
_FIRST = HISTORY // 10
# That all goes well is told with what it leads to: the next step, the end, or another attempt of what is missing.
_TOLD_LATER = frozenset({"captured", "applied", "superseded"})
UNDEFINED_MS = 60_000  # after which a saga whose definition is missing is looked at again
# A line is one record of a changelog, which takes 10 MiB, and what runs needs room for its writes and its undo values.
WAITING_BYTES = 4 * 1024 * 1024

_COMMANDS: dict[str, Callable[[Definition, Saga, int], Decision]] = {"retry": retry, "abort": abort, "resume": resume}


class UnknownDefinition(LookupError):  # noqa: N818 - says what is wrong
    """No saga of this name is defined here; the message names it and the fix."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no saga {name!r} is defined here, or not with all of its steps: bring it back, see sagas.declared"
        )


class LineFull(ValueError):  # noqa: N818 - says what is wrong
    """Too much waits for one subject; the message says how much, and for which saga."""

    def __init__(self, subject: str, waiting: int, runs: str) -> None:
        super().__init__(
            f"{waiting} sagas wait for {subject} already, in {WAITING_BYTES:,} bytes; the one that runs is {runs}: "
            "see `travelos sagas show`, and replay this start once it is over"
        )


class Told(NamedTuple):
    """A saga that somebody is to be told of, and why."""

    id: str
    definition: str
    reason: str


class Line(Struct, kw_only=True, omit_defaults=True, gc=False):
    """The sagas of one subject that are not over: the one that runs, and those that wait, by version.

    Attributes:
        held_ms: when the first of those that wait is tried again, as its definition is missing or has changed.
        waited: what has happened to those that wait, by id.
    """

    running: Running | None = None
    waiting: list[SagaStart] = []
    held_ms: int | None = None
    waited: dict[str, list[Moment]] = {}

    @property
    def due_ms(self) -> int | None:
        """When `Turn.wake` is to be called next, in milliseconds since 1970; None: never."""
        return self.held_ms if self.running is None else self.running.saga.due_ms

    @property
    def empty(self) -> bool:
        """Whether all its sagas are over."""
        return self.running is None and not self.waiting


class Turn:
    """What one batch of inputs does to a line.

    Args:
        find: returns a definition by its name; None: there is none.
        line: changed in place.
        now_ms: milliseconds since 1970.
    """

    def __init__(self, find: Callable[[str], Definition | None], line: Line, now_ms: int) -> None:
        self._find = find
        self._now_ms = now_ms
        self.line = line
        self.changed = False
        self.tells = False  # whether the log is to be told of its sagas
        # There are thousands of these at a time, and most do little: tuples that are empty take nothing.
        self.effects: tuple[tuple[Running, Sending], ...] = ()
        self.ended: tuple[SagaEntry, ...] = ()
        self.begun: tuple[SagaStart, ...] = ()
        self.alerts: tuple[Told, ...] = ()
        self._all = False
        self._news: tuple[str, ...] = ()  # of sagas that wait
        self._definition_of: tuple[str, Definition | None] = "", None  # of which saga: it is asked for at every input

    def knows(self, saga_id: str) -> bool:
        """Whether a saga runs or waits here, or has ended in this turn."""
        line = self.line
        if line.running is not None and line.running.saga.id == saga_id:
            return True
        return any(one.id == saga_id for one in (*line.waiting, *self.ended))

    def start(self, start: SagaStart) -> None:
        """Begin a saga, now or when those before it are over.

        Raises:
            UnknownDefinition: there is none of this name.
            LineFull: too much waits already.
            ValueError: its writes do not fit the definition.
        """
        line = self.line
        if line.empty:
            self._begin(start)
            return
        if self._find(start.definition) is None:
            raise UnknownDefinition(start.definition)
        if len(msgspec.json.encode((*line.waiting, start))) > WAITING_BYTES:
            runs = line.waiting[0].id if line.running is None else line.running.saga.id
            raise LineFull(start.subject, len(line.waiting), runs)
        insort(line.waiting, start, key=attrgetter("version"))
        line.waited[start.id] = self._waited(start)
        self._tell_waiting(start)

    def hear(self, receipt: Receipt) -> bool:
        """Take what became of a write of the saga that runs; return whether it said anything new."""
        running = self._running()
        definition = self._definition(running)
        before = running.saga
        decision = hear(definition, before, receipt, self._now_ms)
        if decision.saga is before:
            return False
        for step in before.steps:
            if is_about(receipt, step):
                what = f"compensation {receipt.result}" if step.status == "undoing" else receipt.result
                self._note(running, what, step.name, receipt.reason or "")
        self._take(running, decision)
        return True

    def command(self, command: SagaCommand) -> None:
        """Do what an operator asks; what makes no sense is noted in the saga's history."""
        by = f"{command.by}: {command.why}" if command.why else command.by
        running = self.line.running
        if running is None or running.saga.id != command.id:
            self._command_waiting(command, by)
            return
        definition = self._definition(running)
        try:
            decision = _COMMANDS[command.action](definition, running.saga, self._now_ms)
        except CommandRefused as refused:
            self._note(running, f"{command.action} refused", "", f"{by}: {refused}")
            return
        self._note(running, command.action, "", by)
        self._take(running, decision)

    def wake(self) -> None:
        """Do what is due."""
        if (due := self.line.due_ms) is None or due > self._now_ms:
            return
        running = self.line.running
        if running is None:
            self._begin_next()
            return
        definition = self._found(running.saga)
        if definition is None:
            self._take(running, _undefined(running.saga, self._now_ms))
        else:
            self._take(running, wake(definition, running.saga, self._now_ms))

    def tell(self) -> None:
        """Have the log told of the whole line as it is."""
        self.tells = self._all = True

    def again(self) -> None:
        """Ask once more for all that was asked for and has no end yet; state stays as it is."""
        running = self.line.running
        self.tell()
        # Without its definition nobody knows where an outside participant is asked.
        if running is not None and self._found(running.saga) is not None:
            self.effects += tuple((running, effect) for effect in outstanding(running.saga))

    def entries(self) -> Iterator[SagaEntry]:
        """Yield what is to be told of the sagas of the line as they are now, those that ended first."""
        yield from self.ended
        if self.tells:
            yield from self._open_entries()

    def _open_entries(self) -> Iterator[SagaEntry]:
        if self.line.running is not None:
            yield entry_of(self.line.running, self._now_ms)
        for start in self.line.waiting:
            if self._all or start.id in self._news:
                yield waiting_entry(start, self._waited(start), self._now_ms)

    def _begin(self, start: SagaStart) -> None:
        definition = self._find(start.definition)
        if definition is None:
            raise UnknownDefinition(start.definition)
        decision = begin(definition, start.id, start.event_id, start.writes, self._now_ms)
        running = Running(
            saga=decision.saga,
            subject=start.subject,
            version=start.version,
            began_ms=self._now_ms,
            urgent=start.urgent,
            history=self.line.waited.pop(start.id, []),
        )
        _add(running.history, Moment(self._now_ms, "began"))
        self.begun += (start,)
        self.line.running = running
        self._take(running, decision)

    def _begin_next(self) -> None:
        """Begin the first of those that wait. One whose definition has changed waits on, and so do those behind it."""
        line, held = self.line, self.line.held_ms is not None
        line.held_ms = None
        while line.running is None and line.waiting:
            start = line.waiting.pop(0)
            try:
                self._begin(start)
            except (UnknownDefinition, ValueError) as error:
                line.waiting.insert(0, start)
                line.held_ms = self._now_ms + UNDEFINED_MS
                self.changed = True
                if not held:
                    self.alerts += (Told(start.id, start.definition, str(error)),)
                    self._note_waiting(start, "alert", str(error))
                return

    def _end_unbegun(self, start: SagaStart, by: str) -> None:
        """End a saga of which nothing was written."""
        self._note_waiting(start, "abort", by)
        entry = waiting_entry(start, self.line.waited.pop(start.id), self._now_ms)
        self.ended += (replace(entry, status="compensated"),)

    def _take(self, running: Running, decision: Decision) -> None:
        before, saga = running.saga, decision.saga
        self.changed = self.changed or saga is not before
        running.saga = saga
        if saga.backward and not before.backward:
            # Also where nothing is to be sent yet: what is under way comes to its end first.
            self._note(running, "turned back")
        for effect in decision.effects:
            match effect:
                case Send(step=step):
                    self.effects += ((running, effect),)
                    self._note(running, "sent", step, _attempt(saga, step))
                case Compensate(step=step):
                    self.effects += ((running, effect),)
                    self._note(running, "compensation sent", step, _attempt(saga, step))
                case Alert(reason=reason):
                    self.alerts += (Told(saga.id, saga.definition, reason),)
                    self._note(running, "alert", "", reason)
        if saga.ended:
            self._note(running, saga.status)
            self.ended += (entry_of(running, self._now_ms),)
            self.line.running = None
            self._begin_next()

    def _command_waiting(self, command: SagaCommand, by: str) -> None:
        """Abort a saga that waits for its turn: nothing of it was written. Nothing else can be done about it."""
        start = next((one for one in self.line.waiting if one.id == command.id), None)
        if start is None:
            return
        if command.action != "abort":
            why = f"{by}: it waits for its turn; look at those before it"
            self._note_waiting(start, f"{command.action} refused", why)
            return
        if start is self.line.waiting[0]:
            self.line.held_ms = None  # that the next one cannot begin either is news
        self.line.waiting.remove(start)
        self._end_unbegun(start, by)
        if self.line.running is None:
            self._begin_next()

    def _note(self, running: Running, what: str, step: str = "", detail: str = "") -> None:
        self.changed = True
        self.tells = self.tells or what not in _TOLD_LATER
        _add(running.history, Moment(self._now_ms, what, step, detail))

    def _note_waiting(self, start: SagaStart, what: str, detail: str) -> None:
        self.line.waited[start.id] = _add(self._waited(start), Moment(self._now_ms, what, "", detail))
        self._tell_waiting(start)

    def _tell_waiting(self, start: SagaStart) -> None:
        self.changed = self.tells = True
        self._news += (start.id,)

    def _waited(self, start: SagaStart) -> list[Moment]:
        return self.line.waited.get(start.id) or [Moment(self._now_ms, "queued")]

    def _running(self) -> Running:
        assert self.line.running is not None
        return self.line.running

    def _definition(self, running: Running) -> Definition:
        definition = self._found(running.saga)
        if definition is None:
            raise UnknownDefinition(running.saga.definition)
        return definition

    def _found(self, saga: Saga) -> Definition | None:
        """Return how a saga goes on; None when its definition is gone, or has lost a step that it has begun with."""
        known, definition = self._definition_of
        if known != saga.id:
            definition = self._find(saga.definition)
            if definition is not None and not definition.covers([step.name for step in saga.steps]):
                definition = None
            self._definition_of = saga.id, definition
        return definition


def _undefined(saga: Saga, now_ms: int) -> Decision:
    """Tell somebody, once, that nobody knows how a saga goes on, and look again in a while."""
    later = now_ms + UNDEFINED_MS
    why = str(UnknownDefinition(saga.definition))
    steps = tuple(step if step.due_ms is None else replace(step, due_ms=later) for step in saga.steps)
    looked = replace(saga, steps=steps, deadline_ms=max(saga.deadline_ms, later), stuck=why)
    return Decision(looked, () if saga.stuck is not None else (Alert(why),))


def _add(history: list[Moment], moment: Moment) -> list[Moment]:
    history.append(moment)
    if len(history) > HISTORY:
        del history[_FIRST]
    return history


def _attempt(saga: Saga, name: str) -> str:
    for step in saga.steps:
        if step.name == name and step.attempts > 1:
            return f"attempt {step.attempts}"
    return ""
