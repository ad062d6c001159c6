"""Which offset of a partition may be committed: the lowest one whose work is not finished.

Faust's own arithmetic counts single offsets and fills gaps, which is wrong for runs, and upstream wrong for concurrency
above 1 (faust-streaming issue 606: it commits past unfinished work). Here what was delivered is kept in order, so gaps
left by compaction and transactions need no arithmetic at all.
"""

from collections import deque


class PartitionOffsets:
    """Offsets delivered from one partition during one assignment.

    A stretch is delivered with `start`, in ascending order, and reported with `finish`, in any order; both take the
    same time however many are open.
    """

    def __init__(self) -> None:
        self._open: deque[list[int]] = deque()  # [first, last, finished, timestamp, done before], ascending
        self._by_first: dict[int, list[int]] = {}
        self._next: int | None = None
        self._last = -1

    @property
    def committable(self) -> int | None:
        """The offset to commit: all before it is finished. None when nothing has been finished yet."""
        return self._next

    @property
    def unfinished(self) -> int:
        """Number of stretches delivered and not finished, and those waiting behind them."""
        return len(self._open)

    @property
    def oldest(self) -> tuple[int, int, int] | None:
        """First and last offset of the first unfinished stretch, and its timestamp; None when none is open."""
        if not self._open:
            return None
        first, last, _, timestamp, _ = self._open[0]
        return first, last, timestamp

    def start(self, first: int, last: int, timestamp: int = 0) -> None:
        """Note that the records `first`..`last` were delivered; `timestamp` is that of the first, for `oldest`.

        Raises:
            ValueError: they do not lie after everything delivered before.
        """
        if last < first or first <= self._last:
            raise ValueError(f"records {first}..{last} were delivered out of order")
        self._open.append(stretch := [first, last, 0, timestamp, 0])
        self._by_first[first] = stretch
        self._last = last

    def pass_over(self, end: int) -> None:
        """Note that everything before `end` that is a record was delivered; what lies between holds none."""
        if end <= self._last + 1:
            return
        self._last = end - 1
        if self._open:
            self._open[-1][1] = end - 1
        else:
            self._next = end

    def advance(self, first: int, offset: int) -> None:
        """Note that of the stretch that began with `first`, all before `offset` is done."""
        stretch = self._by_first.get(first)
        if stretch is None:
            return
        stretch[4] = max(stretch[4], offset)
        if stretch is self._open[0]:
            self._next = max(stretch[4], self._next or 0)

    def finish(self, first: int) -> None:
        """Note that the stretch that began with `first` is done; twice is harmless."""
        stretch = self._by_first.get(first)
        if stretch is None:
            return
        stretch[2] = 1
        while self._open and self._open[0][2]:
            begun, last, *_ = self._open.popleft()
            del self._by_first[begun]
            self._next = last + 1
        if self._open and self._open[0][4]:
            self._next = self._open[0][4]
