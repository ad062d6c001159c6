"""Whether a worker makes progress and, if not, why: a decision on what was seen at successive looks. No I/O, no clock.

A worker is live while every agent that has work moves an offset within the patience, or has no work. What does not
move is a stall. A stall that waits for something outside (brokers or a store that are away) leaves the worker live: a
restart would not help, and would cost the group a rebalance. Any other makes it stuck.
"""

from collections.abc import Hashable, Iterator
from itertools import groupby
from typing import Literal

from msgspec import Struct

State = Literal["starting", "rebalancing", "restoring", "running", "stopping"]

PATIENCE_SECONDS = 60.0
# Time between two looks counts no more than this: a process that was stopped for a while (SIGSTOP, a suspended
# machine) has not been stuck, it did not run.
LONGEST_STEP_SECONDS = 15.0
# A rebalance waits for the slowest member of the group, which Faust gives 60 s to come.
REBALANCE_FACTOR = 2.0


class Oldest(Struct, frozen=True):
    """The first of a partition's stretches of records that were delivered and are not finished."""

    first: int
    last: int
    timestamp_ms: int  # of its first record
    begun: bool = True  # whether its agent has taken it
    held_up: str | None = None  # why it cannot go on now, as told by who works on it


class PartitionSample(Struct, frozen=True):
    """One partition at one moment. All offsets are those of the next record, as Kafka commits them."""

    topic: str
    partition: int
    agent: str
    committed: int | None = None
    finished: int | None = None  # everything before it is finished; None: nothing was, since the partition was assigned
    position: int | None = None  # what is delivered next
    end: int | None = None  # of the log, as the last fetch told
    answered: float | None = None  # seconds since a fetch of it was answered
    oldest: Oldest | None = None
    open_runs: int = 0
    open_bytes: int = 0
    full: bool = False  # no more of it is asked for, until some of it is finished or it is no longer paused
    paused: tuple[str, ...] = ()  # the kinds of reasons for which somebody has asked for no more of it

    @property
    def name(self) -> str:
        """Topic and partition, as in logs."""
        return f"{self.topic}-{self.partition}"

    @property
    def lag(self) -> int:
        """Records that are not finished. Offsets without a record (compaction, transactions) count while unread."""
        first = self.oldest.first if self.oldest is not None else self.position
        return max(0, (self.end or 0) - first) if first is not None else 0


class TableRestore(Struct, frozen=True):
    """How far a table is read back from its changelog."""

    table: str
    restored: int
    remaining: int


class Sample(Struct, frozen=True):
    """A worker at one moment."""

    state: State
    partitions: tuple[PartitionSample, ...] = ()
    restores: tuple[TableRestore, ...] = ()
    away: str | None = None  # why no broker can be reached, when none can
    refused: str | None = None  # why the last commit was refused
    unacknowledged: int = 0  # records sent and not yet acknowledged


class Stall(Struct, frozen=True):
    """Something that has not moved for longer than the patience."""

    why: str
    seconds: float
    waiting: bool = False  # for something outside
    topic: str | None = None
    partition: int | None = None


class Verdict(Struct, frozen=True):
    """What a look came to: all that stalls."""

    stalls: tuple[Stall, ...] = ()

    @property
    def stuck(self) -> tuple[Stall, ...]:
        """The stalls for which a restart is due."""
        return tuple(stall for stall in self.stalls if not stall.waiting)

    @property
    def live(self) -> bool:
        """Whether the worker should go on as it is."""
        return not self.stuck

    @property
    def why(self) -> str:
        """All reasons in one line; empty when nothing stalls."""
        return "; ".join(stall.why for stall in self.stuck or self.stalls)


class Progress:
    """Judges a worker by successive samples.

    Args:
        patience: how many seconds something that has work may not move.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._seen: dict[Hashable, tuple[object, float]] = {}
        self._looked_at: float | None = None
        self._clock = 0.0  # seconds of which we know what happened
        self._starved: dict[tuple[str, int], float] = {}

    def look(self, sample: Sample, now: float) -> Verdict:
        """Return what stalls; `now` is in seconds and never goes back."""
        if self._looked_at is not None:
            self._clock += min(now - self._looked_at, LONGEST_STEP_SECONDS)
        self._looked_at = now
        self._starved.clear()
        kept: set[Hashable] = set()
        stalls = list(self._stalls(sample, kept))
        self._seen = {key: seen for key, seen in self._seen.items() if key in kept}
        if sample.away is None:
            return Verdict(tuple(stalls))
        waits = (Stall(f"{sample.away}: {one.why}", one.seconds, True, one.topic, one.partition) for one in stalls)
        return Verdict(tuple(waits))

    def starved(self, topic: str, partition: int) -> float:
        """Return for how many seconds nothing was delivered of a partition that holds more; 0 when it is not so."""
        return self._starved.get((topic, partition), 0.0)

    def _unchanged(self, key: Hashable, value: object, kept: set[Hashable]) -> float:
        """Return for how many seconds `value` has been what it is."""
        kept.add(key)
        if key not in self._seen or self._seen[key][0] != value:
            self._seen[key] = (value, self._clock)
        return self._clock - self._seen[key][1]

    def _stalls(self, sample: Sample, kept: set[Hashable]) -> Iterator[Stall]:
        in_state = self._unchanged("state", sample.state, kept)
        match sample.state:
            case "starting":
                if in_state >= self._patience:
                    yield Stall(f"no partitions were assigned since the start {in_state:.0f} s ago", in_state, True)
            case "rebalancing":
                if in_state >= self._patience * REBALANCE_FACTOR:
                    yield Stall(f"a rebalance has been going on for {in_state:.0f} s", in_state)
            case "restoring":
                yield from self._restore_stall(sample, kept)
            case "running":
                for partition in sample.partitions:
                    yield from self._commit_stall(sample, partition, kept)
                    yield from self._fetch_stall(partition, kept)
                by_agent = sorted(sample.partitions, key=lambda one: one.agent)
                for agent, partitions in groupby(by_agent, key=lambda one: one.agent):
                    yield from self._agent_stall(sample, agent, list(partitions), kept)
            case "stopping":
                return  # bounded by the stop itself

    def _restore_stall(self, sample: Sample, kept: set[Hashable]) -> Iterator[Stall]:
        seconds = self._unchanged("restore", sample.restores, kept)
        if seconds < self._patience:
            return
        left = [one for one in sample.restores if one.remaining > 0]
        if not left:
            yield Stall(f"the restore of tables has not begun or not ended for {seconds:.0f} s", seconds)
        for one in left[:1]:
            share = f"{one.restored:,} of {one.restored + one.remaining:,} for {seconds:.0f} s"
            yield Stall(f"the restore of table {one.table} makes no progress ({share})", seconds)

    def _commit_stall(self, sample: Sample, one: PartitionSample, kept: set[Hashable]) -> Iterator[Stall]:
        due = one.finished is not None and one.finished > (one.committed or 0)
        seconds = self._unchanged(("commit", one.topic, one.partition), (due, one.committed), kept)
        if due and seconds >= self._patience:
            reason = sample.refused or "no commit has succeeded"
            why = f"{one.name} is finished up to {one.finished} and not committed for {seconds:.0f} s: {reason}"
            yield Stall(why, seconds, topic=one.topic, partition=one.partition)

    def _fetch_stall(self, one: PartitionSample, kept: set[Hashable]) -> Iterator[Stall]:
        answered = one.answered is not None and one.answered < self._patience
        read = one.position is not None and one.end is not None and one.position >= one.end
        starved = one.oldest is None and not one.paused and not (answered and read)
        seconds = self._unchanged(("fetch", one.topic, one.partition), (starved, one.position), kept)
        if starved:
            self._starved[one.topic, one.partition] = seconds
        if starved and seconds >= self._patience:
            what = f"although its lag is {one.lag:,}" if answered else "and no fetch is answered"
            why = f"nothing was delivered of {one.name} for {seconds:.0f} s {what}"
            yield Stall(why, seconds, topic=one.topic, partition=one.partition)

    def _agent_stall(
        self, sample: Sample, agent: str, partitions: list[PartitionSample], kept: set[Hashable]
    ) -> Iterator[Stall]:
        busy = [(one, one.oldest) for one in partitions if one.oldest is not None]
        moved = tuple((one.topic, one.partition, one.committed, one.finished) for one in partitions)
        seconds = self._unchanged(("agent", agent), (bool(busy), moved), kept)
        if not busy or seconds < self._patience:
            return
        # What is held up comes first, because it tells why; then what was begun, which holds back the rest.
        one, oldest = min(busy, key=lambda pair: (pair[1].held_up is None, not pair[1].begun, pair[1].timestamp_ms))
        run = f"{one.name} {oldest.first}..{oldest.last}"
        if oldest.held_up is not None:
            why = f"agent {agent} waits with {run} for {seconds:.0f} s: {oldest.held_up}"
        elif oldest.begun:
            why = f"agent {agent} has been processing {run} for {seconds:.0f} s"
            if sample.unacknowledged:
                why += f" while {sample.unacknowledged:,} records sent are not acknowledged"
        else:
            why = f"agent {agent} has not taken {run} for {seconds:.0f} s"
        yield Stall(why, seconds, oldest.held_up is not None, one.topic, one.partition)
