"""Whatever is lost, repeated, delayed or killed: in the end a saga is in all stores or in none.

The model is a world of one saga: its stores, and the topics between them and the coordinator. Topics keep the order of
a key, more or less, and deliver at least once. Either side may be killed at any moment: what it had sent stays sent,
and what it was handling comes again. The coordinator keeps what it decided before it sends what follows (decision 16);
whoever comes after it asks again for all that has no end.

One thing is not lost and comes before what follows from it: that a store told what it held. Kafka has acknowledged that
before the store is asked to take the write (decision 13). Only the end of the write by which it was told may pass it.
"""

from collections import deque
from collections.abc import Sequence
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.receipts import Receipt
from schemas.writes import CacheWrite
from streams.sagas.commands import CommandRefused, abort, resume, retry
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.effects import Alert, Send, Sending
from streams.sagas.machine import Decision, begin, hear, outstanding, wake
from streams.sagas.state import Saga, StepState
from tests.unit.sagas.saga_stores import AT, Held, KilledAfter, Store

OURS, THEIRS = 500, 600
PATIENCE = Patience(first_ms=1_000, longest_ms=4_000, attempts=3)
DEFINITION = Definition(
    name="model",
    steps=(
        Step(name="a", store="cache", patience=PATIENCE),
        Step(name="b", store="cache", patience=PATIENCE, deadline_ms=6_000),
        Step(name="pivot", store="cache", kind="pivot", patience=PATIENCE),
        Step(name="c", store="cache", after=("a",), patience=PATIENCE),
        Step(name="last", store="cache", kind="retriable", patience=PATIENCE, deadline_ms=5_000),
    ),
    deadline_ms=20_000,
    undo=PATIENCE,
)
NAMES = [step.name for step in DEFINITION.steps]
names = st.sampled_from(NAMES)
some = st.integers(0, 9)  # picks one of those that there are

# Where a coordinator may be killed: before it keeps what it decided, before it sends what follows, or while it does.
KilledWhile = Literal["deciding", "kept", "sending"]
kills = st.sampled_from([None, None, None, "deciding", "kept", "sending"])


def write_of(name: str) -> CacheWrite:
    return CacheWrite(
        entity=f"e:{name}", version=OURS, source="s", event_id="e", occurred_at=AT, key=name, value="ours"
    )


class World(RuleBasedStateMachine):
    """One saga, five stores of one entity each."""

    saga: Saga

    @initialize(
        held=st.dictionaries(names, st.just(Held(400, "old"))),
        refusing=st.sets(names),
        refusing_for_ever=st.none() | names,
        steps=st.sets(names, min_size=1),
        recognising=st.sets(names),
        killed=st.sampled_from([None, "kept", "sending"]),
    )
    def begins(
        self,
        held: dict[str, Held],
        refusing: set[str],
        refusing_for_ever: str | None,
        steps: set[str],
        recognising: set[str],
        killed: KilledWhile | None,
    ) -> None:
        self.stores = {name: Store(held.get(name, Held()), recognises=name in recognising) for name in NAMES}
        self.without = {name: store.held.value for name, store in self.stores.items()}  # if there was no saga
        self.refusing, self.refusing_for_ever = refusing, refusing_for_ever
        # What was sent to each store and is not over yet: writes and compensations take different ways.
        self.sent: dict[tuple[str, bool], deque[CacheWrite]] = {
            (name, back): deque() for name in NAMES for back in (False, True)
        }
        self.receipts: dict[str, list[Receipt]] = {name: [] for name in NAMES}
        self.read = dict.fromkeys(NAMES, 0)  # of those
        self.now = 0
        self.alerts: set[str] = set()
        self.ended: Saga | None = None
        self.is_away = False  # the coordinator was killed, and nobody has come after it yet
        decision = begin(DEFINITION, "s", "e", {name: write_of(name) for name in steps}, 0)
        self.saga = decision.saga
        self.carry_out(decision, killed)

    def carry_out(self, decision: Decision, killed: KilledWhile | None = None) -> None:
        """Tell whom there is to tell, keep the saga, then send."""
        alerts = {effect.reason for effect in decision.effects if isinstance(effect, Alert)}
        stuck = decision.saga.stuck
        assert stuck is None or stuck == self.saga.stuck or stuck in alerts, "nobody was told"
        self.alerts |= alerts
        if decision.saga.backward:
            past = {step.name: step.status for step in decision.saga.steps}
            assert past.get("pivot") not in ("sent", "done"), "there was no way back"
            assert past.get("last") in (None, "undone")
        if killed != "deciding":
            self.saga = decision.saga
            effects = [effect for effect in decision.effects if not isinstance(effect, Alert)]
            self.send(effects[: {"kept": 0, "sending": 1, None: None}[killed]])
        self.is_away = killed is not None

    def send(self, effects: Sequence[Sending]) -> None:
        for effect in effects:
            assert isinstance(effect.write, CacheWrite)
            self.sent[effect.step, not isinstance(effect, Send)].append(effect.write)

    @precondition(lambda self: self.is_away)
    @rule()
    def another_takes_over(self) -> None:
        self.is_away = False
        self.send(outstanding(self.saga))

    @rule()
    def the_partition_moves(self) -> None:
        self.another_takes_over()

    def under_way(self) -> list[tuple[str, bool]]:
        return [way for way, sent in self.sent.items() if sent]

    def unread(self) -> list[str]:
        return [name for name in NAMES if self.read[name] < len(self.receipts[name])]

    @precondition(lambda self: self.under_way())
    @rule(pick=some, killed=st.sampled_from([None, None, None, "captured", "written"]))
    def a_store_works(self, pick: int, killed: KilledAfter | None) -> None:
        ways = self.under_way()
        way = ways[pick % len(ways)]
        name, _ = way
        receipts, is_over = self.stores[name].take(self.sent[way][0], refused=name in self.refusing, killed=killed)
        self.receipts[name] += receipts
        if is_over:
            self.sent[way].popleft()

    @precondition(lambda self: self.unread() and not self.is_away)
    @rule(pick=some, killed=kills)
    def the_saga_hears(self, pick: int, killed: KilledWhile | None) -> None:
        names = self.unread()
        name = names[pick % len(names)]
        self.carry_out(hear(DEFINITION, self.saga, self.receipts[name][self.read[name]], self.now), killed)
        if killed != "deciding":  # else it comes again to one that has forgotten it
            self.read[name] += 1

    @rule(name=names, back=st.integers(1, 4))
    def receipts_come_again(self, name: str, back: int) -> None:
        """From an offset on, as after a rebalance."""
        self.read[name] = max(0, self.read[name] - back)

    @precondition(lambda self: self.under_way())
    @rule(pick=some)
    def a_message_comes_again(self, pick: int) -> None:
        ways = self.under_way()
        sent = self.sent[ways[pick % len(ways)]]
        sent.append(sent[0])

    @precondition(lambda self: self.under_way())
    @rule(pick=some)
    def a_message_is_lost(self, pick: int) -> None:
        ways = self.under_way()
        self.sent[ways[pick % len(ways)]].popleft()

    @precondition(lambda self: self.unread())
    @rule(pick=some)
    def a_receipt_is_lost(self, pick: int) -> None:
        names = self.unread()
        name = names[pick % len(names)]
        if self.receipts[name][self.read[name]].result != "captured":
            del self.receipts[name][self.read[name]]

    @precondition(lambda self: self.unread())
    @rule(pick=some)
    def a_receipt_is_passed_by_the_one_after_it(self, pick: int) -> None:
        names = self.unread()
        name = names[pick % len(names)]
        told, first = self.receipts[name], self.read[name]
        if len(told) > first + 1 and (told[first].result != "captured" or told[first + 1].result == "applied"):
            told[first : first + 2] = [told[first + 1], told[first]]

    @precondition(lambda self: not self.is_away)
    @rule(ms=st.integers(1, 8_000), killed=kills)
    def time_passes(self, ms: int, killed: KilledWhile | None) -> None:
        self.now += ms
        self.carry_out(wake(DEFINITION, self.saga, self.now), killed)

    @rule(name=names)
    def somebody_else_writes(self, name: str) -> None:
        self.stores[name].held = Held(THEIRS, "theirs")
        self.without[name] = "theirs"

    @rule(name=names)
    def a_store_changes_its_mind(self, name: str) -> None:
        self.refusing ^= {name}

    @precondition(lambda self: not self.is_away)
    @rule(killed=kills)
    def an_operator_aborts(self, killed: KilledWhile | None) -> None:
        try:
            self.carry_out(abort(DEFINITION, self.saga, self.now), killed)
        except CommandRefused:
            return

    @precondition(lambda self: not self.is_away and not self.saga.ended)
    @rule(killed=kills)
    def an_operator_retries(self, killed: KilledWhile | None) -> None:
        self.carry_out(retry(DEFINITION, self.saga, self.now), killed)

    @precondition(lambda self: not self.is_away and self.saga.status == "stuck")
    @rule(killed=kills)
    def an_operator_resumes(self, killed: KilledWhile | None) -> None:
        decision = resume(DEFINITION, self.saga, self.now)
        for before, after in zip(self.saga.steps, decision.saga.steps, strict=True):
            self.do_by_hand(before, after)
        self.carry_out(decision, killed)

    def do_by_hand(self, before: StepState, after: StepState) -> None:
        """Do what whoever resumes a saga vouches for, with the version that what is under way would have had."""
        store = self.stores[before.name]
        if (before.status, after.status) == ("sent", "done"):
            held = Held(OURS, "ours")
        elif after.status == "undone" and (before.status in ("sent", "undoing") or before.applied):
            held = Held(OURS + 1, self.without[before.name])
        else:
            return
        store.held = max(store.held, held, key=lambda one: one.version)

    @invariant()
    def an_ended_saga_stays_as_it_is(self) -> None:
        if self.ended is not None:
            assert self.saga == self.ended
        elif self.saga.ended:
            self.ended = self.saga

    @invariant()
    def what_is_not_ended_is_looked_at_again_or_stuck(self) -> None:
        assert self.saga.ended or self.saga.due_ms is not None or self.saga.status == "stuck"

    @invariant()
    def of_what_is_stuck_somebody_was_told(self) -> None:
        assert self.saga.stuck is None or self.saga.stuck in self.alerts

    def teardown(self) -> None:
        if not hasattr(self, "saga"):
            return
        self.refusing = {name for name in NAMES if name == self.refusing_for_ever}
        self.come_to_rest()
        end = "undone" if self.saga.backward else "done"
        at_end = {step.name for step in self.saga.steps if step.status == end}
        for step in self.saga.steps:
            if step.name in at_end:
                assert self.is_held(step), step
            else:
                assert self.saga.status == "stuck"
                assert step.name == self.refusing_for_ever or self.must_wait(step, at_end), step
        self.refusing.clear()
        self.come_to_rest()
        assert self.saga.ended, self.saga
        assert all(map(self.is_held, self.saga.steps)), self.saga
        for name in NAMES:
            if name not in {step.name for step in self.saga.steps}:
                assert self.stores[name].held.value == self.without[name]

    def come_to_rest(self) -> None:
        """Lose and kill nothing more, until all that is under way has arrived and nothing new comes of it."""
        for _ in range(12):
            if self.is_away:
                self.another_takes_over()
            while self.under_way() or self.unread():
                while self.under_way():
                    self.a_store_works(0, killed=None)
                while self.unread():
                    self.the_saga_hears(0, killed=None)
                self.an_ended_saga_stays_as_it_is()
            if self.saga.ended:
                return
            self.time_passes(5_000, killed=None)
            self.of_what_is_stuck_somebody_was_told()

    def is_held(self, step: StepState) -> bool:
        """Whether a store holds what its step at its end says: the write, or what there was without the saga."""
        held, without = self.stores[step.name].held, self.without[step.name]
        return held.value == ("ours" if step.status == "done" and held.version < THEIRS else without)

    def must_wait(self, step: StepState, at_end: set[str]) -> bool:
        """Whether a step cannot come to its end as another one does not."""
        declared = DEFINITION.step(step.name)
        others = DEFINITION.waited_for_by(declared) if self.saga.backward else DEFINITION.waits_for(declared)
        return bool(others & {other.name for other in self.saga.steps} - at_end)


World.TestCase.settings = settings(stateful_step_count=60, max_examples=300)
TestInAllStoresOrInNone = World.TestCase
