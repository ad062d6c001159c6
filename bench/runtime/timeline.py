"""What follows from samples of progress, latency and memory: rates, percentiles, growth. Pure functions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Sample(NamedTuple):
    """One look at a worker: the monotonic clock, one for all processes of a machine, and what it has done by then.

    `done` counts events, `runs` the batches that they came in, `cpu` seconds.
    """

    at: float
    done: int
    cpu: float
    runs: int = 0


class Point(NamedTuple):
    """A value at a time."""

    at: float
    value: float


class Span(NamedTuple):
    """What workers did together from `start` to `end`, while all of them had work."""

    start: float
    end: float
    done: float
    cpu: float
    runs: float = 0.0

    @property
    def seconds(self) -> float:
        """How long that was."""
        return self.end - self.start

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.done / self.seconds


def span(timelines: Sequence[Sequence[Sample]]) -> Span:
    """Return what all workers did while each of them had work.

    Both ends of a worker's time are looks at which it had just finished something, so no rate is made better by where
    they fall.

    Raises:
        ValueError: there is no time at which all of them had work.
    """
    busy = [timeline for timeline in map(working, timelines) if len(timeline) > 1]
    start, end = (max(one[0].at for one in busy), min(one[-1].at for one in busy)) if busy else (0.0, 0.0)
    if len(busy) < len(timelines) or end <= start:
        raise ValueError("the workers never worked at the same time")

    def total(value: Callable[[Sample], float]) -> float:
        return sum(grown([Point(one.at, value(one)) for one in timeline], start, end) for timeline in busy)

    return Span(start, end, total(lambda one: one.done), total(lambda one: one.cpu), total(lambda one: one.runs))


def working(timeline: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples from the first to the last at which something had been finished since the one before."""
    moved = [index for index in range(1, len(timeline)) if timeline[index].done > timeline[index - 1].done]
    if timeline and timeline[0].done > 0:
        moved.insert(0, 0)
    return timeline[moved[0] : moved[-1] + 1] if moved else []


def grown(points: Sequence[Point], start: float, end: float) -> float:
    """Return by how much a value has grown between two times."""
    return _at(points, end) - _at(points, start)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all are not above (nearest rank)."""
    ordered = sorted(values)
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(0, rank - 1)]


def slope(points: Sequence[Point]) -> float:
    """Return by how much a value changes in a second: the line of least squares."""
    mean_at = sum(point.at for point in points) / len(points)
    mean = sum(point.value for point in points) / len(points)
    spread = sum((point.at - mean_at) ** 2 for point in points)
    return sum((point.at - mean_at) * (point.value - mean) for point in points) / spread if spread else 0.0


def _at(points: Sequence[Point], at: float) -> float:
    """Return a value at a time, on the straight line between the looks around it."""
    before = points[0]
    for point in points:
        if point.at >= at:
            gap = point.at - before.at
            return point.value if gap <= 0 else before.value + (point.value - before.value) * (at - before.at) / gap
        before = point
    return before.value
