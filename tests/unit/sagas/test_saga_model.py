"""Whatever is lost, repeated, delayed or killed: in the end a saga is in all stores or in none.

The model is a world of one saga: its stores, and the topics between them and the coordinator. Topics keep the order of
a key and deliver at least once. Either side may be killed at any moment: what it had sent stays sent, and what it was
handling comes again to one that has forgotten it.
"""

from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from schemas.receipts import Receipt, Result
from schemas.sagas import SagaWrite
from schemas.writes import CacheWrite, Write
from streams.sagas.commands import CommandRefused, abort, retry
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.effects import Alert, Send
from streams.sagas.machine import Decision, begin, hear, wake
from streams.sagas.state import Saga

AT = datetime(2026, 11, 21, tzinfo=UTC)
OURS, THEIRS = 500, 600
PATIENCE = Patience(first_ms=1_000, longest_ms=4_000, attempts=3)
DEFINITION = Definition(
    name="model",
    steps=(
        Step(name="a", store="cache", patience=PATIENCE),
        Step(name="b", store="cache", patience=PATIENCE),
        Step(name="pivot", store="cache", kind="pivot", patience=PATIENCE),
        Step(name="c", store="cache", after=("a",), patience=PATIENCE),
        Step(name="last", store="cache", kind="retriable", patience=PATIENCE),
    ),
    deadline_ms=20_000,
    undo=PATIENCE,
)
NAMES = [step.name for step in DEFINITION.steps]
names = st.sampled_from(NAMES)


def write_of(name: str, value: str, version: int) -> CacheWrite:
    return CacheWrite(
        entity=f"e:{name}", version=version, source="s", event_id="e", occurred_at=AT, key=name, value=value
    )


class Held(NamedTuple):
    """What a store holds."""

    version: int = 0
    value: str | None = None


class World(RuleBasedStateMachine):
    """One saga, five stores of one entity each."""

    @initialize(
        held=st.dictionaries(names, st.just(Held(400, "old"))),
        refusing=st.dictionaries(names, st.booleans()),
        steps=st.sets(names, min_size=1),
        recognising=st.sets(names),
    )
    def begins(self, held: dict[str, Held], refusing: dict[str, bool], steps: set[str], recognising: set[str]) -> None:
        self.recognising = recognising  # stores that know a write that they took when it comes again
        self.held = {name: held.get(name, Held()) for name in NAMES}
        self.without = dict(self.held)  # what stores would hold if there was no saga
        self.refusing = {name for name, does in refusing.items() if does}
        self.writes: dict[str, deque[SagaWrite]] = {name: deque() for name in NAMES}
        self.compensations: dict[str, deque[SagaWrite]] = {name: deque() for name in NAMES}
        self.receipts: dict[str, deque[Receipt]] = {name: deque() for name in NAMES}
        self.told: dict[str, list[Receipt]] = {name: [] for name in NAMES}
        self.now = 0
        self.alerts = 0
        self.ended: Saga | None = None
        self.saga: Saga
        decision = begin(DEFINITION, "s", "e", {name: write_of(name, "ours", OURS) for name in steps}, 0)
        self.carry_out(decision)

    def carry_out(self, decision: Decision, *, killed: bool = False) -> None:
        """Publish the effects, then keep the saga unless the coordinator is killed in between."""
        for effect in decision.effects:
            if isinstance(effect, Alert):
                self.alerts += 1
            elif isinstance(effect, Send):
                self.writes[effect.step].append(effect.write)
            else:
                self.compensations[effect.step].append(effect.write)
        if decision.saga.backward:
            past = {step.name: step.status for step in decision.saga.steps}
            assert past.get("pivot") not in ("sent", "done"), "there was no way back"
            assert past.get("last") in (None, "undone")
        if not killed:
            self.saga = decision.saga

    @rule(name=names, compensation=st.booleans(), killed=st.sampled_from([None, None, None, "captured", "written"]))
    def a_store_works(self, name: str, compensation: bool, killed: str | None) -> None:
        topic = (self.compensations if compensation else self.writes)[name]
        if not topic:
            return
        write, held = topic[0], self.held[name]
        assert isinstance(write, CacheWrite)
        is_newer = write.version > held.version
        undo = None  # that is told with the end, which may be lost: nothing was held
        nothing = replace(write, value=None, op="delete", version=0, undo=False)
        if write.undo and is_newer and (held.value is not None or name not in self.recognising):
            content = replace(write, value=held.value, version=held.version, undo=False)
            self.tell(name, write, "captured", nothing if held.value is None else content)
        elif write.undo and name in self.recognising and (is_newer or held.version == write.version):
            undo = nothing
        if killed == "captured":
            return
        result: Result = "superseded"
        if is_newer and name in self.refusing:
            result = "rejected"
        elif is_newer:
            self.held[name] = Held(write.version, write.value if write.op == "upsert" else None)
            result = "applied"
        if killed == "written":
            return
        self.tell(name, write, result, undo)
        topic.popleft()

    def tell(self, name: str, write: Write, result: Result, undo: Write | None = None) -> None:
        receipt = Receipt(
            store="cache",
            entity=write.entity,
            version=write.version,
            source="s",
            event_id="e",
            result=result,
            at=AT,
            undo=undo,
        )
        self.receipts[name].append(receipt)
        self.told[name].append(receipt)

    @rule(name=names, killed=st.booleans())
    def the_saga_hears(self, name: str, killed: bool) -> None:
        if not self.receipts[name]:
            return
        decision = hear(DEFINITION, self.saga, self.receipts[name][0], self.now)
        self.carry_out(decision, killed=killed)
        if not killed:
            self.receipts[name].popleft()

    @rule(name=names, back=st.integers(1, 4))
    def receipts_come_again(self, name: str, back: int) -> None:
        """From an offset on, as after a rebalance; those that have not been read yet follow in any case."""
        read = self.told[name][: len(self.told[name]) - len(self.receipts[name])]
        self.receipts[name].extendleft(reversed(read[-back:]))

    @rule(name=names)
    def a_message_comes_again(self, name: str) -> None:
        for topic in (self.writes[name], self.compensations[name]):
            if topic:
                topic.append(topic[0])

    @rule(ms=st.integers(1, 8_000), killed=st.booleans())
    def time_passes(self, ms: int, killed: bool) -> None:
        self.now += ms
        self.carry_out(wake(DEFINITION, self.saga, self.now), killed=killed)

    @rule(name=names)
    def somebody_else_writes(self, name: str) -> None:
        if self.held[name].version < THEIRS:
            self.held[name] = self.without[name] = Held(THEIRS, "theirs")

    @rule(name=names)
    def a_store_changes_its_mind(self, name: str) -> None:
        self.refusing ^= {name}

    @rule()
    def an_operator_aborts(self) -> None:
        try:
            self.carry_out(abort(DEFINITION, self.saga, self.now))
        except CommandRefused:
            return

    @precondition(lambda self: not self.saga.ended)
    @rule()
    def an_operator_retries(self) -> None:
        self.carry_out(retry(DEFINITION, self.saga, self.now))

    @invariant()
    def an_ended_saga_stays_as_it_is(self) -> None:
        if self.ended is not None:
            assert self.saga == self.ended
        elif self.saga.ended:
            self.ended = self.saga

    @invariant()
    def what_is_not_ended_is_looked_at_again_or_somebody_was_told(self) -> None:
        assert self.saga.ended or self.saga.due_ms is not None or (self.saga.stuck and self.alerts)

    def teardown(self) -> None:
        if not hasattr(self, "saga"):
            return
        self.refusing.clear()  # what a store refuses for ever leaves a saga stuck, which was told
        for _ in range(40):
            for name in NAMES:
                while self.writes[name]:
                    self.a_store_works(name, compensation=False, killed=None)
                while self.compensations[name]:
                    self.a_store_works(name, compensation=True, killed=None)
                while self.receipts[name]:
                    self.the_saga_hears(name, killed=False)
            if not self.saga.ended:
                self.time_passes(5_000, killed=False)
        self.an_ended_saga_stays_as_it_is()
        assert self.saga.ended, self.saga
        steps = {step.name for step in self.saga.steps}
        for name in NAMES:
            expected = self.without[name].value
            if self.saga.status == "completed" and name in steps and self.held[name].version < THEIRS:
                expected = "ours"
            assert self.held[name].value == expected, (name, self.saga.status)


World.TestCase.settings = settings(stateful_step_count=40)
TestInAllStoresOrInNone = World.TestCase
