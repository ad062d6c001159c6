"""When the lines of a partition are due. Pure: rebuilt from the table when the partition comes to a worker."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator

from streams.sagas.line import Line


class Timers:
    """The times at which lines are to be looked at, and how many sagas there are.

    A time that has changed since stays in the heap and is passed over when it comes: it costs less than to look for it.

    Args:
        lines: what the table holds, by subject.
    """

    def __init__(self, lines: Iterable[tuple[str, Line]] = ()) -> None:
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._status: dict[str, str] = {}
        self._waiting: dict[str, int] = {}
        for subject, line in lines:
            self.note(subject, line)

    def __len__(self) -> int:
        return len(self._due)

    def note(self, subject: str, line: Line) -> None:
        """Take how a line is now."""
        if line.running is None:
            self._status.pop(subject, None)
        else:
            self._status[subject] = line.running.saga.status
        if line.waiting:
            self._waiting[subject] = len(line.waiting)
        else:
            self._waiting.pop(subject, None)
        due = line.due_ms
        known = self._due.get(subject)
        if due is None:
            self._due.pop(subject, None)
            return
        self._due[subject] = due
        # One that is due later than it was is found by the time that it had, and put back then.
        if known is None or due < known:
            heapq.heappush(self._heap, (due, subject))

    def due(self, now_ms: int, most: int) -> list[str]:
        """Return the subjects that are due, the longest due first, `most` of them at a time; they stay due."""
        found: list[str] = []
        seen: set[str] = set()
        while self._heap and self._heap[0][0] <= now_ms and len(found) < most:
            _, subject = heapq.heappop(self._heap)
            due = self._due.get(subject)
            if due is None or subject in seen:
                continue
            if due > now_ms:
                heapq.heappush(self._heap, (due, subject))
                continue
            seen.add(subject)
            found.append(subject)
        for subject in found:  # until what became of them is noted; a worker that fails in between finds them again
            heapq.heappush(self._heap, (self._due[subject], subject))
        return found

    def put_off(self, subject: str, due_ms: int) -> None:
        """Have a subject that is due looked at later."""
        if subject in self._due:
            self._due[subject] = due_ms

    def counts(self) -> Counter[str]:
        """Return how many sagas there are by status; "waiting" are those behind another one."""
        counts = Counter(self._status.values())
        counts["waiting"] = sum(self._waiting.values())
        return counts

    def open_subjects(self) -> Iterator[str]:
        """Yield the subjects that have a saga."""
        yield from self._status
        yield from self._waiting.keys() - self._status.keys()
