"""Windows of event time: which there are, when they close, and that a crash changes nothing of it."""

import asyncio
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.kafka.connection import Connection
from streams.runtime.app import StreamApp
from streams.runtime.entries import Changes
from streams.runtime.publisher import Publisher
from streams.runtime.state_folder import StateFolder
from streams.runtime.transactions import Transaction, Transactions
from streams.runtime.window_times import WindowTimes
from streams.runtime.windows import Closed, Late, Updated, WindowsChanged, WindowTable, WindowView

SECOND = timedelta(seconds=1)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def one_more(number: int | None) -> int:
    return (number or 0) + 1


def nothing(_: int | None) -> None:
    return None


# -- the arithmetic


def window_times(step_ms: int, steps: int, lateness_ms: int) -> WindowTimes:
    return WindowTimes(step_ms * steps, step_ms, lateness_ms)


WINDOWS = st.builds(window_times, st.integers(1, 10**6), st.integers(1, 50), st.integers(0, 10**7))
TIMES = st.integers(-(2**63), 2**63 - 1)


@given(WINDOWS, TIMES)
def test_every_time_belongs_to_as_many_windows_as_steps_fit_into_the_size(times: WindowTimes, time_ms: int) -> None:
    starts = times.starts(time_ms)
    assert len(starts) == times.size_ms // times.step_ms
    assert all(start % times.step_ms == 0 and start <= time_ms < start + times.size_ms for start in starts)
    assert not starts[0] - times.step_ms <= time_ms < starts[0] - times.step_ms + times.size_ms
    assert starts[-1] + times.step_ms > time_ms


@given(WINDOWS, TIMES)
def test_a_window_is_closed_when_the_watermark_is_the_lateness_past_its_end(times: WindowTimes, watermark: int) -> None:
    first_open = times.open_from(watermark)
    last_closed = first_open - times.step_ms
    assert first_open % times.step_ms == 0
    assert first_open + times.size_ms + times.lateness_ms > watermark
    assert last_closed + times.size_ms + times.lateness_ms <= watermark


@given(WINDOWS, TIMES)
def test_what_moves_the_watermark_is_not_late_itself(times: WindowTimes, time_ms: int) -> None:
    assert times.open_from(time_ms) <= times.starts(time_ms)[0]


@pytest.mark.parametrize(
    ("size", "step", "lateness", "said"),
    [
        (timedelta(0), None, timedelta(0), "`size`"),
        (SECOND, timedelta(0), timedelta(0), "`step`"),
        (SECOND, timedelta(seconds=2), timedelta(0), "multiple"),
        (SECOND, timedelta(milliseconds=300), timedelta(0), "multiple"),
        (SECOND, None, -SECOND, "`lateness`"),
    ],
)
def test_times_that_make_no_windows_are_refused(size: Any, step: Any, lateness: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WindowTimes.of(size, step, lateness)


# -- the table


@pytest.fixture
def tumbling(state_app: StreamApp) -> WindowTable[int]:
    return state_app.windows("tumbling", int, changelog="tumbling-log", size=10 * SECOND, lateness=5 * SECOND)


@pytest.fixture
def begin(transactions: Transactions, tumbling: WindowTable[int]) -> Callable[[], tuple[Transaction, WindowView[int]]]:
    def begin() -> tuple[Transaction, WindowView[int]]:
        transaction = transactions.begin(0)
        return transaction, transaction.view(tumbling)

    return begin


async def test_events_are_counted_in_the_window_of_their_time_and_given_out_when_it_closes(
    begin: Any, source: Any
) -> None:
    transaction, view = begin()
    assert view.update("a", 1_000, source("in", 0), one_more) == Updated([(0, 1)])
    assert view.update("a", 9_999, source("in", 1), one_more) == Updated([(0, 2)])
    assert view.update("a", 10_000, source("in", 2), one_more) == Updated([(10_000, 1)])
    assert view.closed() == []
    await transaction.commit()
    transaction, view = begin()
    assert view.update("b", 3_000, source("in", 3), one_more) == Updated([(0, 1)])  # within the lateness
    assert view.update("b", 15_000, source("in", 4), one_more) == Updated([(10_000, 1)])
    assert view.closed() == [Closed(b"a", 0, 10_000, 2), Closed(b"b", 0, 10_000, 1)]
    assert view.closed() == []
    await transaction.commit()
    _, view = begin()
    assert view.get("a", 0) is None
    assert view.get("a", 10_000) == 1
    assert view.watermark_ms == 15_000
    assert view.closed() == []


async def test_an_event_after_its_window_closed_is_handed_back_as_late(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.update("a", 15_000, source("in", 0), one_more)
    await transaction.commit()
    _, view = begin()
    assert view.update("a", 9_999, source("in", 1), one_more) == Late((0,), 15_000)
    assert view.get("a", 0) is None


async def test_an_event_that_is_late_for_some_of_its_windows_says_for_which(
    state_app: StreamApp, transactions: Transactions, source: Any
) -> None:
    hopping = state_app.windows("hopping", int, changelog="hopping-log", size=10 * SECOND, step=5 * SECOND)
    view = transactions.begin(0).view(hopping)
    assert view.update("a", 12_000, source("in", 0), one_more) == Updated([(5_000, 1), (10_000, 1)])
    assert view.update("a", 7_000, source("in", 1), one_more) == Updated([(5_000, 2)], missed=(0,))
    assert view.update("a", 1_000, source("in", 2), one_more) == Late((-5_000, 0), 12_000)


async def test_a_replay_changes_nothing_and_is_never_late(begin: Any, source: Any, changelog: Any) -> None:
    told: list[Any] = []
    for _ in range(2):
        transaction, view = begin()
        told.append(view.update("a", 1_000, source("in", 0), one_more))
        view.update("a", 40_000, source("in", 1), one_more)
        view.closed()
        await transaction.commit()
    # Its window was given out, and what followed from that was sent.
    assert told == [Updated([(0, 1)]), Updated([], replayed=True)]
    assert begin()[1].update("a", 40_000, source("in", 1), one_more) == Updated([(40_000, 1)], replayed=True)


async def test_windows_wait_to_be_given_out_until_somebody_asks(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.update("a", 1_000, source("in", 0), one_more)
    view.update("a", 90_000, source("in", 1), one_more)
    await transaction.commit()
    assert begin()[1].closed() == [Closed(b"a", 0, 10_000, 1)]


async def test_the_mark_is_the_last_record_of_a_commit(begin: Any, source: Any, changelog: Any) -> None:
    for offset in range(3):
        transaction, view = begin()
        for number in range(5):
            view.update(f"key-{number}", 60_000 * offset, source("in", 5 * offset + number), one_more)
        view.closed()
        await transaction.commit()
        assert changelog.sent[-1].key == b"mark"


async def test_a_value_that_becomes_none_is_removed(begin: Any, source: Any) -> None:
    transaction, view = begin()
    view.update("a", 1_000, source("in", 0), one_more)
    assert view.update("a", 1_000, source("in", 1), nothing) == Updated([])
    view.update("a", 90_000, source("in", 2), one_more)
    assert view.closed() == []
    await transaction.commit()


async def test_other_windows_over_the_same_state_are_refused(
    begin: Any, tumbling: WindowTable[int], transactions: Transactions, source: Any
) -> None:
    transaction, view = begin()
    view.update("a", 1_000, source("in", 0), one_more)
    await transaction.commit()
    tumbling.times = WindowTimes(20_000, 10_000, 0)
    with pytest.raises(WindowsChanged, match=r"10000 ms.*`size` 20000"):
        transactions.begin(0).view(tumbling)


# -- crashes


class Event(NamedTuple):
    topic: str
    offset: int
    key: bytes
    time_ms: int
    partition: int = 0
    timestamp: int = 0
    value: bytes | None = None
    headers: tuple[()] = ()


TIMES_NEAR = WindowTimes(40, 10, 15)


class Model:
    """What comes of events that are read once: plain dicts."""

    def __init__(self) -> None:
        self.watermark: int | None = None
        self.windows: dict[tuple[int, bytes], int] = {}
        self.late: list[int] = []
        self.closed: list[Closed[int]] = []

    def apply(self, event: Event) -> None:
        self.watermark = event.time_ms if self.watermark is None else max(self.watermark, event.time_ms)
        open_from = TIMES_NEAR.open_from(self.watermark)
        starts = [start for start in TIMES_NEAR.starts(event.time_ms) if start >= open_from]
        for start in starts:
            self.windows[start, event.key] = self.windows.get((start, event.key), 0) + 1
        if not starts:
            self.late.append(event.offset)

    def close(self) -> None:
        if self.watermark is not None:
            open_from = TIMES_NEAR.open_from(self.watermark)
            for start, key in sorted(self.windows):
                if start < open_from:
                    count = self.windows.pop((start, key))
                    self.closed.append(Closed(key, start, start + TIMES_NEAR.size_ms, count))


class CrashingWindows(RuleBasedStateMachine):
    """One topic, read in batches; a crash leaves any prefix of a commit's changelog, and the offset uncommitted."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.events: list[Event] = []
        self.committed = 0  # source offset
        self.model = Model()
        self.late: dict[int, None] = {}
        self.closed: dict[Closed[int], None] = {}
        self.state_folder = StateFolder(Path(self.folder.name))
        app = StreamApp("w", Connection(bootstrap="127.0.0.1:1"), state_folder=self.state_folder, partitions=1)
        self.table = app.windows(
            "w",
            int,
            changelog="w-log",
            size=timedelta(milliseconds=40),
            step=timedelta(milliseconds=10),
            lateness=timedelta(milliseconds=15),
        )
        self.reached = -1

    @rule(events=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 60)), min_size=1, max_size=12))
    def produce(self, events: list[tuple[bytes, int]]) -> None:
        base = 5 * len(self.events)
        for key, jitter in events:
            self.events.append(Event("in", len(self.events), key, base + jitter))

    def attempt(self, count: int) -> tuple[WindowView[int], list[Event]]:
        """Process a batch and send what follows from it; nothing of the state is committed yet."""
        batch = self.events[self.committed : self.committed + count]
        view = Transactions(cast(Publisher, None)).begin(0).view(self.table)
        for event in batch:
            found = view.update(event.key, event.time_ms, event, one_more)
            if isinstance(found, Late):
                self.late[event.offset] = None
        self.closed |= dict.fromkeys(view.closed())
        return view, batch

    @rule(count=st.integers(1, 10))
    def process(self, count: int) -> None:
        view, batch = self.attempt(count)
        self.write(view, view.changes())
        self.finish(batch)

    @rule(count=st.integers(1, 10))
    def crash_before_the_offset_is_committed(self, count: int) -> None:
        view, _ = self.attempt(count)
        self.write(view, view.changes())

    @rule(count=st.integers(1, 10), part=st.floats(0, 1))
    def crash_in_the_middle_of_the_changelog(self, count: int, part: float) -> None:
        view, _ = self.attempt(count)
        changes = view.changes()
        left = round(part * len(changes))  # deletes go first, then puts
        survived = Changes(changes.puts[: max(0, left - len(changes.deletes))], changes.deletes[:left])
        self.write(view, survived)

    def write(self, view: WindowView[int], changes: Changes) -> None:
        if changes:
            self.reached += len(changes)
            view.write(changes, reached=self.reached)

    def finish(self, batch: list[Event]) -> None:
        for event in batch:
            self.model.apply(event)
        self.committed += len(batch)
        self.model.close()

    @invariant()
    def nothing_is_lost_or_done_twice(self) -> None:
        assert [offset for offset in self.late if offset < self.committed] == self.model.late
        known = set(self.closed)
        assert known.issuperset(self.model.closed)
        # Nothing is given out with another value than its final one.
        assert len({(one.key, one.start_ms) for one in known}) == len(known)

    def teardown(self) -> None:
        try:
            while self.committed < len(self.events):
                self.process(10)
            self.nothing_is_lost_or_done_twice()
            assert set(self.closed) == set(self.model.closed)
        finally:
            asyncio.run(self.table.store.stop())
            self.state_folder.close()
            self.folder.cleanup()


TestCrashingWindows = CrashingWindows.TestCase
TestCrashingWindows.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
