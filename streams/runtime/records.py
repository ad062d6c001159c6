"""Records as the driver hands them over, and runs of them: the unit in which everything here works."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from faust.types import TP
from msgspec import Struct

from streams.runtime.offsets import PartitionOffsets


class Record(Protocol):
    """A record as the driver hands it over. `timestamp` is in milliseconds."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...  # noqa: D102


class KafkaRecord(Struct, gc=False):
    """A record out of a fetch response; see `Record`. The collector need not look at it: it holds no cycles."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Run:
    """Consecutive records of one partition, in order.

    Whoever takes a run calls `begin`, and `finish` once everything that follows from its records is durable: only then
    may their offsets be committed. A run is `stale` when its partition was taken away or sought elsewhere since it was
    delivered: somebody else gets its records, and finishing it has no effect.
    """

    __slots__ = ("_books", "begun_at", "bytes", "offsets", "records", "tp")

    def __init__(self, tp: TP, records: Sequence[Record], offsets: PartitionOffsets, books: "Books") -> None:
        self.tp = tp
        self.records = records
        self.bytes = sum(len(record.value) for record in records if record.value is not None)
        self.offsets = offsets
        self.begun_at = 0.0  # when it was taken, on the monotonic clock
        self._books = books

    @property
    def stale(self) -> bool:
        """Whether this run is no longer ours."""
        return self._books.is_stale(self)

    def begin(self) -> bool:
        """Take the run; False when it is stale and must be left alone."""
        return self._books.begin(self)

    def finish(self) -> None:
        """Report that the run is done; twice is harmless."""
        self._books.finish(self)

    def reach(self, offset: int) -> None:
        """Report that all records before `offset` are done, of a run that takes long; they may be committed."""
        self._books.reach(self, offset)

    def hold_up(self, reason: str, seconds: float) -> None:
        """Tell that something outside is away, without which the run cannot go on, and when it is tried again.

        Its agent then counts as waiting, not as stuck.
        """
        self._books.hold_up(self, reason, seconds)

    @property
    def leaving(self) -> asyncio.Event:
        """Set once the run is to be let go when it waits: the worker stops, a rebalance begins, or the run is stale."""
        return self._books.leaving(self)

    async def pause(self, seconds: float) -> bool:
        """Wait for so long; False, at once, when the run is to be let go."""
        try:
            await asyncio.wait_for(self.leaving.wait(), seconds)
        except TimeoutError:
            return True
        return False

    def leave(self) -> None:
        """Give the run up unfinished: whoever reads the partition next gets its records again."""
        self._books.leave(self)

    def __repr__(self) -> str:
        return f"Run({self.tp.topic}-{self.tp.partition}, {self.records[0].offset}..{self.records[-1].offset})"


class Books(Protocol):
    """Who keeps the books of the runs that are out: the consumer."""

    def is_stale(self, run: Run) -> bool: ...  # noqa: D102
    def begin(self, run: Run) -> bool: ...  # noqa: D102
    def finish(self, run: Run) -> None: ...  # noqa: D102
    def reach(self, run: Run, offset: int) -> None: ...  # noqa: D102
    def hold_up(self, run: Run, reason: str, seconds: float) -> None: ...  # noqa: D102
    def leaving(self, run: Run) -> asyncio.Event: ...  # noqa: D102
    def leave(self, run: Run) -> None: ...  # noqa: D102


def joined(runs: Sequence[Run]) -> Run:
    """Return runs of one partition that follow each other, and have begun, as one."""
    if len(runs) == 1:
        return runs[0]
    first = runs[0]
    return Run(first.tp, [record for run in runs for record in run.records], first.offsets, _Joined(runs))


class _Joined:
    """The books of runs that were joined: what happens to the whole happens to each of them."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs

    def is_stale(self, run: Run) -> bool:  # noqa: ARG002 - the whole is nothing but its parts; so below
        return self._runs[0].stale

    def begin(self, run: Run) -> bool:  # noqa: ARG002
        return not self._runs[0].stale

    def finish(self, run: Run) -> None:  # noqa: ARG002
        for one in self._runs:
            one.finish()

    def reach(self, run: Run, offset: int) -> None:  # noqa: ARG002
        for one in self._runs:
            if one.records[-1].offset < offset:
                one.finish()
            elif one.records[0].offset < offset:
                one.reach(offset)

    def hold_up(self, run: Run, reason: str, seconds: float) -> None:  # noqa: ARG002
        self._runs[0].hold_up(reason, seconds)

    def leaving(self, run: Run) -> asyncio.Event:  # noqa: ARG002
        return self._runs[0].leaving

    def leave(self, run: Run) -> None:  # noqa: ARG002
        for one in self._runs:
            one.leave()
