"""Sagas of one subject, whatever is lost, repeated or killed: one after the other, and the stores hold what they agree.

The model is one coordinator's partition: the topics that it reads, with offsets that go back, its two tables, and the
stores behind the topics that it writes. The facts come in the order of their versions, as close as versions can be.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from connectors.kafka.reading import StoredRecord
from schemas.headers import Headers
from schemas.receipts import decode_receipt, encode_receipt
from schemas.sagas import (
    ENDED,
    Action,
    SagaAlert,
    SagaCommand,
    SagaEntry,
    SagaStart,
    SagaWrite,
    decode_saga_record,
    encode_saga_record,
)
from schemas.topics import Catalogue
from schemas.writes import CacheWrite, decode_write
from streams.routing.entities import write_version
from streams.runtime.publisher import Outgoing
from streams.sagas.batch import Batch
from streams.sagas.definition import Definition, Patience, Step
from streams.sagas.kinds import Kind, Kinds, begins
from streams.sagas.line import Line, Turn
from tests.unit.sagas.saga_stores import AT, Held, KilledAfter, Store
from tests.unit.sagas.saga_tables import Table, View

CATALOGUE = Catalogue()
STARTS, RECEIPTS, COMMANDS = (
    CATALOGUE.saga_starts.name,
    CATALOGUE.saga_receipts.name,
    CATALOGUE.saga_commands.name,
)
COMPENSATIONS, LOG, ALERTS = CATALOGUE.compensations("cache").name, CATALOGUE.saga_log.name, CATALOGUE.saga_alerts.name
PATIENCE = Patience(first_ms=1_000, longest_ms=4_000, attempts=3)
DEFINITION = Definition(
    name="model",
    steps=(
        Step(name="a", store="cache", entity="a", patience=PATIENCE),
        Step(name="b", store="cache", entity="b", patience=PATIENCE),
        Step(name="c", store="cache", entity="c", after=("a",), patience=PATIENCE),
    ),
    deadline_ms=20_000,
    undo=PATIENCE,
)
KINDS = Kinds([Kind(definition=DEFINITION, about="subject")])
SUBJECT = "subject:1"
NAMES = [step.name for step in DEFINITION.steps]
names = st.sampled_from(NAMES)
some = st.integers(0, 9)  # picks one of those that there are
which = st.integers(0, 2)  # of the sagas

# Where a coordinator may be killed: before anything is durable, between its two tables, before it sends, meanwhile.
KilledAt = Literal["deciding", "between", "kept", "sending"]
kills = st.sampled_from([None, None, None, "deciding", "between", "kept", "sending"])


class Told(NamedTuple):
    """A record of a topic that the coordinator reads."""

    value: bytes
    headers: Headers = ()


def start_of(number: int, steps: set[str]) -> SagaStart:
    version = 500 + number
    writes: dict[str, SagaWrite] = {
        name: CacheWrite(
            entity=f"{name}:1",
            version=write_version(version),
            source="s",
            event_id=f"e{number}",
            occurred_at=AT,
            key=name,
            value=number,
        )
        for name in sorted(steps)
    }
    return begins(DEFINITION, SUBJECT, version, f"e{number}", writes)


class Subject(RuleBasedStateMachine):
    """Three sagas of one subject, three stores of one entity each."""

    @initialize(
        held=st.dictionaries(names, st.just(Held(400, "old"))),
        steps=st.lists(st.sets(names, min_size=1), min_size=2, max_size=3),
        refusing=st.sets(st.tuples(names, which)),
        recognising=st.sets(names),
    )
    def begins(
        self, held: dict[str, Held], steps: list[set[str]], refusing: set[tuple[str, int]], recognising: set[str]
    ) -> None:
        self.stores = {name: Store(held.get(name, Held()), recognises=name in recognising) for name in NAMES}
        self.at_first = {name: store.held.value for name, store in self.stores.items()}
        self.refusing = refusing
        self.starts = [start_of(number, of) for number, of in enumerate(steps)]
        self.come = 0  # of the starts
        self.topics: dict[str, list[Told | None]] = {STARTS: [], RECEIPTS: [], COMMANDS: []}
        self.read = dict.fromkeys(self.topics, 0)
        self.reached = dict.fromkeys(self.topics, 0)  # what has been read once stays as it is
        self.sent: dict[tuple[str, bool], deque[tuple[CacheWrite, Headers]]] = {
            (name, back): deque() for name in NAMES for back in (False, True)
        }
        self.lines, self.ended = Table(Line), Table(SagaEntry)
        self.log: dict[str, SagaEntry] = {}
        self.alerts: set[tuple[str, str]] = set()
        self.now = 0
        self.is_away = False

    def coordinate(self, look: Callable[[Batch], None], killed: KilledAt | None = None) -> None:
        """Do what the coordinator does with a batch: tell of it, keep it, send what follows."""
        lines, ended = View(self.lines), View(self.ended)
        batch = Batch(CATALOGUE, KINDS, partition=0, lines=cast(Any, lines), ended=cast(Any, ended), now_ms=self.now)
        look(batch)
        batch.keep()
        self.publish(batch.before_commit())
        if killed != "deciding":
            ended.commit()
        if killed in ("kept", "sending", None):
            lines.commit()
            outputs = batch.outputs()
            self.publish(outputs if killed is None else outputs[: killed == "sending"])
        self.is_away = killed is not None

    def publish(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            assert record.value is not None
            if record.topic == ALERTS:
                alert = decode_saga_record(record.value, SagaAlert)
                self.alerts.add((alert.id, alert.reason))
            elif record.topic == LOG:
                entry = decode_saga_record(record.value, SagaEntry)
                assert entry.stuck is None or (entry.id, entry.stuck) in self.alerts, "nobody was told"
                before = self.log.get(entry.id)
                assert before is None or before.status not in ENDED or before.status == entry.status, "it was over"
                self.log[entry.id] = entry
            else:
                write = decode_write(record.value)
                assert isinstance(write, CacheWrite)
                earlier = [start for start in self.starts if write_version(start.version) < write.version - 1]
                assert all(self.ended.get(start.id) for start in earlier), "it was not its turn"
                self.sent[write.key, record.topic == COMPENSATIONS].append((write, record.headers))

    def under_way(self) -> list[tuple[str, bool]]:
        return [way for way, sent in self.sent.items() if sent]

    def unread(self) -> list[str]:
        return [topic for topic, told in self.topics.items() if self.read[topic] < len(told)]

    @precondition(lambda self: self.come < len(self.starts))
    @rule()
    def a_fact_is_told(self) -> None:
        self.topics[STARTS].append(Told(encode_saga_record(self.starts[self.come])))
        self.come += 1

    @precondition(lambda self: self.come)
    @rule(pick=some)
    def a_fact_is_told_again(self, pick: int) -> None:
        self.topics[STARTS].append(Told(encode_saga_record(self.starts[pick % self.come])))

    @precondition(lambda self: self.is_away)
    @rule()
    def another_takes_over(self) -> None:
        self.look_at_the_subject(Turn.again)

    @rule()
    def the_partition_moves(self) -> None:
        self.look_at_the_subject(Turn.again)

    def look_at_the_subject(self, look: Callable[[Turn], None], killed: KilledAt | None = None) -> None:
        if self.lines.get(SUBJECT) is None:
            self.is_away = False
        else:
            self.coordinate(lambda batch: look(batch.turn(SUBJECT)), killed)

    @precondition(lambda self: self.unread() and not self.is_away)
    @rule(pick=some, count=st.integers(1, 3), killed=kills)
    def the_coordinator_reads(self, pick: int, count: int, killed: KilledAt | None) -> None:
        topics = self.unread()
        topic = topics[pick % len(topics)]
        first = self.read[topic]
        records = [
            StoredRecord(
                topic=topic,
                partition=0,
                offset=offset,
                timestamp=0,
                key=SUBJECT.encode(),
                value=told.value,
                headers=told.headers,
            )
            for offset, told in enumerate(self.topics[topic][first : first + count], first)
            if told is not None
        ]

        def take(batch: Batch) -> None:
            for record in records:
                batch.take(record)

        self.reached[topic] = max(self.reached[topic], min(first + count, len(self.topics[topic])))
        self.coordinate(take, killed)
        if killed is None:
            self.read[topic] = min(first + count, len(self.topics[topic]))

    @rule(topic=st.sampled_from([STARTS, RECEIPTS, COMMANDS]), back=st.integers(1, 4))
    def records_come_again(self, topic: str, back: int) -> None:
        """From an offset on, as after a rebalance."""
        self.read[topic] = max(0, self.read[topic] - back)

    @precondition(lambda self: self.under_way())
    @rule(pick=some, killed=st.sampled_from([None, None, None, "captured", "written"]))
    def a_store_works(self, pick: int, killed: KilledAfter | None) -> None:
        ways = self.under_way()
        way = ways[pick % len(ways)]
        write, headers = self.sent[way][0]
        refused = not way[1] and (write.key, write.value) in self.refusing
        receipts, is_over = self.stores[write.key].take(write, refused=refused, killed=killed)
        self.topics[RECEIPTS] += [Told(encode_receipt(receipt), headers) for receipt in receipts]
        if is_over:
            self.sent[way].popleft()

    @rule(times=st.integers(1, 12), killed=kills)
    def all_goes_well_for_a_while(self, times: int, killed: KilledAt | None) -> None:
        for pick in range(times):
            if self.is_away:
                self.another_takes_over()
            if self.under_way():
                self.a_store_works(pick, killed=None)
            if self.unread():
                self.the_coordinator_reads(pick, 1, killed=killed if pick == times - 1 else None)

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

    @precondition(lambda self: self.reached[RECEIPTS] < len(self.topics[RECEIPTS]))
    @rule(pick=some)
    def a_receipt_is_lost(self, pick: int) -> None:
        """Not that a store told what it held: Kafka has that before the store is asked to take the write."""
        told, first = self.topics[RECEIPTS], self.reached[RECEIPTS]
        offset = first + pick % (len(told) - first)
        receipt = told[offset]
        if receipt is not None and decode_receipt(receipt.value).result != "captured":
            told[offset] = None

    @rule(ms=st.integers(1, 8_000))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @precondition(lambda self: not self.is_away)
    @rule(killed=kills)
    def the_coordinator_looks_at_its_clock(self, killed: KilledAt | None) -> None:
        self.look_at_the_subject(Turn.wake, killed)

    @rule(name=names, number=which)
    def a_store_changes_its_mind(self, name: str, number: int) -> None:
        self.refusing ^= {(name, number)}

    @precondition(lambda self: self.come)
    @rule(pick=some, action=st.sampled_from(["abort", "retry"]))
    def an_operator_asks(self, pick: int, action: Action) -> None:
        start = self.starts[pick % self.come]
        command = SagaCommand(id=start.id, subject=SUBJECT, action=action, by="ann", at=AT)
        self.topics[COMMANDS].append(Told(encode_saga_record(command)))

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        while self.come < len(self.starts):
            self.a_fact_is_told()
        for _ in range(40):
            if self.is_away:
                self.another_takes_over()
            while self.unread() or self.under_way():
                while self.under_way():
                    self.a_store_works(0, killed=None)
                while self.unread():
                    self.the_coordinator_reads(0, 3, killed=None)
            if self.lines.get(SUBJECT) is None:
                break
            self.time_passes(5_000)
            self.the_coordinator_looks_at_its_clock(killed=None)
        ends = [self.ended.get(start.id) for start in self.starts]
        assert [end and end.status for end in ends] == [self.log[start.id].status for start in self.starts]
        assert {end.status for end in ends} <= ENDED
        expected = dict(self.at_first)
        for start, end in zip(self.starts, ends, strict=True):
            if end.status == "completed":
                expected |= {name: cast(CacheWrite, write).value for name, write in start.writes.items()}
        assert {name: store.held.value for name, store in self.stores.items()} == expected


Subject.TestCase.settings = settings(stateful_step_count=60, max_examples=300)
TestOneAfterTheOther = Subject.TestCase
